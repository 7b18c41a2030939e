// A step's outputs dealt to its updates (grpo.md 7): each to exactly one minibatch, all of one
// size. A pure function of the run's seed, the step and the rollout ids.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/config.pb.h"
#include "rl/learner/batch.h"

namespace grouper {

// kUser when the outputs of a step cannot be dealt evenly, or a later minibatch would not see the
// distribution that was sampled from.
void CheckMinibatches(const Config& config);

// BY_OUTPUT: in the order of a permutation from Philox stream 1 (R1); BY_GROUP: whole groups in
// prompt order. Each minibatch stands in canonical order.
std::vector<std::vector<TrainSequence>> SplitStep(const Config& config, int64_t step,
                                                  std::vector<TrainSequence> sequences);

}  // namespace grouper
