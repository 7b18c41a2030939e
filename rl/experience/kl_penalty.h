// KL in the reward (loss.kl_place IN_REWARD; docs/algorithms.md 6): before the advantages are
// computed, beta times the sum of the estimator over a completion's tokens is subtracted from its
// reward. The penalty has no gradient. The policy's log-probs are those that the sampler recorded,
// because they are the current policy's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/learner/reference.h"

namespace grouper {

struct KlPenaltySum {
  double estimator = 0;  // sum over the tokens
  int64_t tokens = 0;
};

// Sets kl_penalties of every group that is not dropped; the scores keep the rewards of their
// verdicts. The penalties of a group depend on no other group. kInternal, naming the rollout, when
// a penalty is not finite.
KlPenaltySum AddKlPenalties(const Config& config, Reference* reference, std::span<Group> groups);

}  // namespace grouper
