#include "trace/query/stats.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace grouper {
namespace {

using reward::v1::ScoreResult;

double Ratio(double sum, int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void StepStats::Add(const Group& group) {
  step = group.step();
  ++groups;
  if (group.no_signal()) ++no_signal_groups;
  completions += group.completions_size();
  for (const Completion& completion : group.completions()) {
    tokens += completion.ids_size();
    max_tokens = std::max<int64_t>(max_tokens, completion.ids_size());
    if (completion.finish_reason() == Completion::LENGTH) ++truncated;
    for (const float entropy : completion.entropies()) entropy_sum += entropy;
    entropy_tokens += completion.entropies_size();
  }
  for (const ScoreResult& score : group.scores()) {
    const bool known = ScoreResult::Status_IsValid(score.status());
    ++statuses[known ? static_cast<size_t>(score.status()) : 0];
    if (score.status() != ScoreResult::SCORED) continue;
    if (score.verdict() == ScoreResult::CORRECT || score.verdict() == ScoreResult::AC) ++correct;
    if (score.has_reward()) {
      ++rewarded;
      reward_sum += score.reward();
    }
  }
}

double StepStats::reward_mean() const { return Ratio(reward_sum, rewarded); }
double StepStats::accuracy() const { return Ratio(static_cast<double>(correct), scored()); }
double StepStats::length_mean() const { return Ratio(static_cast<double>(tokens), completions); }
double StepStats::truncated_share() const {
  return Ratio(static_cast<double>(truncated), completions);
}
double StepStats::entropy_mean() const { return Ratio(entropy_sum, entropy_tokens); }

std::vector<StepStats> CollectStats(TraceReader* reader) {
  std::map<int64_t, StepStats> by_step;
  reader->ReadGroups(
      {},
      [&](GroupEntry& entry) {
        by_step[entry.group.step()].Add(entry.group);
        return true;
      },
      [&](const StepRecord& record) {
        StepStats& stats = by_step[record.step()];
        stats.step = record.step();
        stats.record = record;
      });
  std::vector<StepStats> steps;
  for (auto& [step, stats] : by_step) steps.push_back(std::move(stats));
  return steps;
}

}  // namespace grouper
