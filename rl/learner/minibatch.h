// How the outputs of a step are divided among its updates (docs/algorithms.md 8): each output
// belongs to exactly one minibatch, and all minibatches have the same size. The division is a pure
// function of the run's seed, the step and the rollout ids.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/config.pb.h"
#include "rl/learner/batch.h"

namespace grouper {

// kUser when the outputs of a step cannot be divided evenly, or when a sampling filter would give a
// later minibatch another distribution than the one that was sampled from.
void CheckMinibatches(const Config& config);

// BY_OUTPUT divides single outputs in the order of a permutation from Philox stream 1, as R1 does;
// BY_GROUP divides whole groups in the order of their prompts. Each minibatch is in canonical
// order.
std::vector<std::vector<TrainSequence>> SplitStep(const Config& config, int64_t step,
                                                  std::vector<TrainSequence> sequences);

}  // namespace grouper
