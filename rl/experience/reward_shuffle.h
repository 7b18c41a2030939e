// Rewards that carry no information (reward.shuffle), as the control of learning tests. A pure
// function.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

// Permutes the rewards of all scored completions of a step, keyed by seed and step. A plain random
// permutation agrees with the truth by chance, by about 1 / sqrt(n), and that much moves a policy.
// So the completions with one true reward, and those of one group among them, receive each of the
// step's rewards nearly in proportion; which of them receives which is random. Completions without
// a reward still have none.
void ShuffleRewards(uint64_t seed, int64_t step, std::vector<Group>* groups);

}  // namespace grouper
