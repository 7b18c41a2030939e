// The advantages of a group from its rewards (docs/algorithms.md 3). Members that are not SCORED
// count neither in the mean and deviation nor in the loss, because a scorer's failure is never a
// reward.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// One advantage per member. nullopt means not scored and gives 0. With fewer than two scored
// members, or with equal rewards, all are 0 without a division (with kind NONE the advantage is the
// reward). LOO_STD does not divide where the others are equal. The time is linear in the members.
std::vector<double> GroupAdvantages(std::span<const std::optional<double>> rewards,
                                    const AdvantageConfig& config);

// True if the scored rewards differ by no more than rounding explains: (n + 16) * 2^-52 times the
// largest of them in size, or 1e-140 (docs/algorithms.md 3). A deviation of that size would be one
// of noise.
bool RewardsAreEqual(std::span<const std::optional<double>> rewards);

// True if the advantages of this kind are divided by a deviation of the rewards.
bool DividesByDeviation(const AdvantageConfig& config);

// Fills advantages (a dropped group gets none), reward_mean, reward_std and no_signal from the
// rewards in group->scores, less group->kl_penalties if there are any. kInternal, naming the group,
// when a reward is not finite or the advantages lack a property that they must have
// (docs/algorithms.md 13).
void AssignAdvantages(const AdvantageConfig& config, Group* group);

// The same without the advantages, for groups that are measured but not trained on.
void AssignRewardMoments(const AdvantageConfig& config, Group* group);

}  // namespace grouper
