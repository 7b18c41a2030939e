// KL in the reward (grpo.md 5, loss.kl_place IN_REWARD): beta times the sum of the estimator over a
// completion's tokens is taken off its reward before the advantages; it has no gradient. The
// policy's log-probs are those that the sampler recorded: they are the current policy's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/learner/reference.h"

namespace grouper {

struct KlPenaltySum {
  double estimator = 0;  // over the tokens
  int64_t tokens = 0;
};

// Sets kl_penalties of every group that is not dropped; scores keep the rewards of their verdicts.
// A group's penalties depend on no other group. kInternal naming the rollout when one is not
// finite.
KlPenaltySum AddKlPenalties(const Config& config, Reference* reference, std::span<Group> groups);

}  // namespace grouper
