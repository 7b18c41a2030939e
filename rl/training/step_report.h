// What a step of GRPO leaves in metrics.jsonl, and its line on the console (grpo.md 11). Pure
// functions of the step's groups and update.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "proto/trace.pb.h"
#include "rl/learner/update_stage.h"
#include "rl/run/metrics.h"

namespace grouper {

// reward.*, group.*, rollout.length_* and .truncated: means over SCORED completions, drops by
// status and reason.
void CollectRewards(std::span<const Group> groups, StepMetrics* metrics);
// Under dynamic sampling: rollout.rounds, group.trained, group.dropped and its reasons,
// rollout.dropped_tokens.
void CollectDropped(std::span<const Group> groups, int64_t rounds, StepMetrics* metrics);
// check.*, update.*, loss.*, kl.*, ratio.*, clip.*, batch.*, router.*, optimizer.*: sums, means or
// ends over the step's updates; policy_version after them.
void CollectUpdates(const StepUpdate& step, uint64_t policy_version, StepMetrics* metrics);

std::string ProgressLine(int64_t step, const StepMetrics& metrics);

}  // namespace grouper
