#include "rl/algorithm/advantage.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace grouper {
namespace {

struct Moments {
  int64_t n = 0;
  double mean = 0;
  double squares = 0;  // sum of squared deviations
};

// Of the scored members except `left_out` (-1: of all of them), summed in order.
Moments MomentsOf(std::span<const std::optional<double>> rewards, int64_t left_out) {
  Moments m;
  double sum = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(rewards.size()); ++i) {
    if (!rewards[static_cast<size_t>(i)] || i == left_out) continue;
    sum += *rewards[static_cast<size_t>(i)];
    ++m.n;
  }
  if (m.n == 0) return m;
  m.mean = sum / static_cast<double>(m.n);
  for (int64_t i = 0; i < static_cast<int64_t>(rewards.size()); ++i) {
    if (!rewards[static_cast<size_t>(i)] || i == left_out) continue;
    const double d = *rewards[static_cast<size_t>(i)] - m.mean;
    m.squares += d * d;
  }
  return m;
}

double SampleStd(const Moments& m) {
  return m.n > 1 ? std::sqrt(m.squares / static_cast<double>(m.n - 1)) : 0;
}

bool AllEqual(std::span<const std::optional<double>> rewards) {
  std::optional<double> first;
  for (const auto& r : rewards) {
    if (!r) continue;
    if (!first) first = r;
    if (*r != *first) return false;
  }
  return true;
}

}  // namespace

std::vector<double> GroupAdvantages(std::span<const std::optional<double>> rewards,
                                    const AdvantageConfig& config) {
  std::vector<double> advantages(rewards.size(), 0.0);
  const Moments all = MomentsOf(rewards, -1);
  const bool baseline = config.kind() != AdvantageConfig::NONE;
  if (all.n < 2 || (baseline && AllEqual(rewards))) return advantages;
  const double n = static_cast<double>(all.n);
  const double std =
      config.std() == AdvantageConfig::SAMPLE ? SampleStd(all) : std::sqrt(all.squares / n);
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!rewards[i]) continue;
    const double centered = *rewards[i] - all.mean;
    switch (config.kind()) {
      case AdvantageConfig::GRPO:
        advantages[i] = centered / (std + config.eps());
        break;
      case AdvantageConfig::CENTERED:
        advantages[i] = centered;
        break;
      case AdvantageConfig::RLOO:
        advantages[i] = centered * n / (n - 1);
        break;
      case AdvantageConfig::LOO_STD: {
        const Moments others = MomentsOf(rewards, static_cast<int64_t>(i));
        const double spread = SampleStd(others);
        const double difference = *rewards[i] - others.mean;
        advantages[i] = spread > 0 ? difference / (spread + config.eps()) : difference;
        break;
      }
      case AdvantageConfig::NONE:
        advantages[i] = *rewards[i];
        break;
    }
  }
  return advantages;
}

void AssignAdvantages(const AdvantageConfig& config, Group* group) {
  CHECK(group->scores_size() == group->completions_size(),
        "[advantage] a group must have one score per completion",
        Named("group", group->prompt().ordinal()), Named("scores", group->scores_size()),
        Named("completions", group->completions_size()));
  std::vector<std::optional<double>> rewards;
  CHECK(group->kl_penalties_size() == 0 || group->kl_penalties_size() == group->scores_size(),
        "[advantage] a group must have one KL penalty per completion",
        Named("prompt", group->prompt().ordinal()));
  for (int i = 0; i < group->scores_size(); ++i) {
    const reward::v1::ScoreResult& score = group->scores(i);
    const bool scored = score.status() == reward::v1::ScoreResult::SCORED;
    CHECK(scored == score.has_reward(),
          "[advantage] a reward must be present exactly when the status is SCORED",
          Named("item", score.item_id()));
    CHECK(!scored || std::isfinite(score.reward()), "[advantage] a reward is not finite",
          Named("item", score.item_id()));
    const double penalty = group->kl_penalties_size() > 0 ? group->kl_penalties(i) : 0;
    rewards.push_back(scored ? std::optional<double>(score.reward() - penalty) : std::nullopt);
  }
  const std::vector<double> advantages = GroupAdvantages(rewards, config);
  const Moments m = MomentsOf(rewards, -1);
  group->set_reward_mean(m.mean);
  group->set_reward_std(AllEqual(rewards) ? 0 : SampleStd(m));
  group->set_no_signal(
      std::all_of(advantages.begin(), advantages.end(), [](double a) { return a == 0; }));
  group->mutable_advantages()->Assign(advantages.begin(), advantages.end());

  double sum = 0, largest = 0;
  for (double a : advantages) {
    CHECK(std::isfinite(a), "[advantage] an advantage is not finite",
          Named("prompt", group->prompt().ordinal()));
    sum += a;
    largest = std::max(largest, std::fabs(a));
  }
  if (config.kind() == AdvantageConfig::GRPO && config.std() == AdvantageConfig::SAMPLE &&
      m.n > 1) {
    const double n = static_cast<double>(m.n);
    CHECK(std::fabs(sum / n) <= 1e-6 && largest <= (n - 1) / std::sqrt(n) * (1 + 1e-9),
          "[advantage] a group's advantages have a wrong mean or size",
          Named("prompt", group->prompt().ordinal()), Named("mean", sum / n),
          Named("largest", largest));
  }
  if (!group->dropped().empty()) group->clear_advantages();
}

void AssignRewardMoments(const AdvantageConfig& config, Group* group) {
  AssignAdvantages(config, group);
  group->clear_advantages();
}

}  // namespace grouper
