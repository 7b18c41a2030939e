// Dynamic sampling (DAPO, Yu et al. 2025; grpo.md 7): which groups of a step are trained on. A pure
// function of the verdicts in order of prompt; when a group was sampled or scored changes nothing.
// What is not trained on stays in the trace with the reason.
#pragma once

#include <cstdint>
#include <span>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// kUser when max_rounds is below 1.
void CheckDynamicSampling(const DynamicSamplingConfig& config);

// Sets Group.dropped of every group: the first `wanted` with some but not all SCORED members right
// are trained on, later ones are "surplus", the others "all_right", "all_wrong" or "unscored".
// Returns how many are trained on.
int64_t ChooseGroups(int64_t wanted, std::span<Group> groups);

// Tokens of the completions of dropped groups.
int64_t DroppedTokens(std::span<const Group> groups);

}  // namespace grouper
