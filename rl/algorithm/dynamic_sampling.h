// Dynamic sampling (DAPO, arXiv:2503.14476; docs/algorithms.md 9): which groups of a step are
// trained on. The choice is a pure function of the verdicts in order of prompt; it does not depend
// on when a group was sampled or scored. A group that is not trained on stays in the trace with the
// reason.
#pragma once

#include <cstdint>
#include <span>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// Sets Group.dropped of every group. The first `wanted` groups in which some but not all SCORED
// members are right are trained on; later ones of the kind are "surplus"; the others are
// "all_right", "all_wrong" or "unscored". Returns the number of groups that are trained on.
int64_t ChooseGroups(int64_t wanted, std::span<Group> groups);

// The number of tokens in the completions of dropped groups.
int64_t DroppedTokens(std::span<const Group> groups);

}  // namespace grouper
