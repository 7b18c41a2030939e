// Advantages of a group from its rewards (grpo.md 3). Members that are not SCORED leave mean, std
// and loss: a scorer's failure is never a reward.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// One value a member; nullopt: not scored, advantage 0. Fewer than two scored members, or equal
// rewards: all 0 without a division (config NONE: A = r).
std::vector<double> GroupAdvantages(std::span<const std::optional<double>> rewards,
                                    const AdvantageConfig& config);

// Fills advantages (a dropped group gets none), reward_mean, reward_std and no_signal from
// group->scores, less group->kl_penalties where there are some. kInternal naming the
// group when a reward is not finite or a property of the advantages fails (grpo.md 11, 4).
void AssignAdvantages(const AdvantageConfig& config, Group* group);

}  // namespace grouper
