// The control of learning tests (reward.shuffle): rewards that say nothing. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

// Permutes the rewards of all scored completions of a step, keyed (seed, step). A plain random
// permutation agrees with the truth by chance, by 1 / sqrt(n), and chance moves a policy. So the
// completions of one true reward, and of one group among them, receive each of the step's rewards
// nearly in proportion; who of them receives which is random. Completions without a reward keep
// none.
void ShuffleRewards(uint64_t seed, int64_t step, std::vector<Group>* groups);

}  // namespace grouper
