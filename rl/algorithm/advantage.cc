#include "rl/algorithm/advantage.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace grouper {
namespace {

struct Moments {
  int64_t n = 0;
  double mean = 0;
  double squares = 0;  // sum of squared deviations
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

// Of the scored members, summed in order.
Moments MomentsOf(std::span<const std::optional<double>> rewards) {
  Moments m;
  double sum = 0;
  for (const auto& r : rewards) {
    if (!r) continue;
    sum += *r;
    m.low = std::min(m.low, *r);
    m.high = std::max(m.high, *r);
    ++m.n;
  }
  if (m.n == 0) return m;
  m.mean = sum / static_cast<double>(m.n);
  for (const auto& r : rewards) {
    if (!r) continue;
    const double d = *r - m.mean;
    m.squares += d * d;
  }
  return m;
}

// Of the members of both (Chan, Golub and LeVeque 1983). All terms of the squares are positive, so
// nothing cancels.
Moments Merge(const Moments& a, const Moments& b) {
  if (a.n == 0) return b;
  if (b.n == 0) return a;
  const double na = static_cast<double>(a.n), nb = static_cast<double>(b.n), n = na + nb;
  const double d = b.mean - a.mean;
  return {.n = a.n + b.n,
          .mean = a.mean + d * (nb / n),
          .squares = a.squares + b.squares + d * d * (na * nb / n),
          .low = std::min(a.low, b.low),
          .high = std::max(a.high, b.high)};
}

double SampleStd(const Moments& m) {
  return m.n > 1 ? std::sqrt(m.squares / static_cast<double>(m.n - 1)) : 0;
}

// The most that rounding may have moved rewards apart or a mean away from them: one unit in the
// last place of the largest reward for each addition of a sum over the members, and 16 more for the
// additions that a rubric makes a reward of.
double RoundingOf(const Moments& m) {
  const double ulp = std::numeric_limits<double>::epsilon();
  return static_cast<double>(m.n + 16) * ulp * std::max(std::fabs(m.low), std::fabs(m.high));
}
// Squares of differences below this have lost digits to underflow.
constexpr double kLeastDifference = 1e-140;
bool AreEqual(const Moments& m) {
  return m.n == 0 || m.high - m.low <= std::max(RoundingOf(m), kLeastDifference);
}

// For every scored member, the moments of all the others: those before it merged with those after
// it.
std::vector<Moments> MomentsOfOthers(std::span<const std::optional<double>> rewards) {
  const auto one = [&](size_t i) {
    return rewards[i] ? Moments{1, *rewards[i], 0, *rewards[i], *rewards[i]} : Moments();
  };
  std::vector<Moments> others(rewards.size());
  Moments before, after;
  for (size_t i = 0; i < rewards.size(); ++i) {
    others[i] = before;
    before = Merge(before, one(i));
  }
  for (size_t i = rewards.size(); i-- > 0;) {
    others[i] = Merge(others[i], after);
    after = Merge(one(i), after);
  }
  return others;
}

double LeaveOneOut(double reward, const Moments& others, double eps) {
  const double difference = reward - others.mean;
  return AreEqual(others) ? difference : difference / (SampleStd(others) + eps);
}

}  // namespace

std::vector<double> GroupAdvantages(std::span<const std::optional<double>> rewards,
                                    const AdvantageConfig& config) {
  std::vector<double> advantages(rewards.size(), 0.0);
  const Moments all = MomentsOf(rewards);
  const bool baseline = config.kind() != AdvantageConfig::NONE;
  if (all.n < 2 || (baseline && AreEqual(all))) return advantages;
  std::vector<Moments> others;
  if (config.kind() == AdvantageConfig::LOO_STD) others = MomentsOfOthers(rewards);
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
      case AdvantageConfig::LOO_STD:
        advantages[i] = LeaveOneOut(*rewards[i], others[i], config.eps());
        break;
      case AdvantageConfig::NONE:
        advantages[i] = *rewards[i];
        break;
    }
  }
  return advantages;
}

bool RewardsAreEqual(std::span<const std::optional<double>> rewards) {
  return AreEqual(MomentsOf(rewards));
}

bool DividesByDeviation(const AdvantageConfig& config) {
  return config.kind() == AdvantageConfig::GRPO || config.kind() == AdvantageConfig::LOO_STD;
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
  const Moments m = MomentsOf(rewards);
  group->set_reward_mean(m.mean);
  group->set_reward_std(AreEqual(m) ? 0 : SampleStd(m));
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
    // Where the deviation is hardly above the rounding of the mean, so is that of the advantages.
    const double slack = AreEqual(m) ? 0 : RoundingOf(m) / SampleStd(m);
    CHECK(std::fabs(sum / n) <= 1e-6 + slack &&
              largest <= (n - 1) / std::sqrt(n) * (1 + 1e-9) + slack,
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
