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
#include "rl/learner/packed_pass.h"
#include "rl/learner/reference.h"

namespace grouper {

struct KlPenaltySum {
  double estimator = 0;  // sum over the tokens
  int64_t tokens = 0;
  // Groups whose rewards are equal and whose penalties are not. Where advantages are divided by the
  // deviation, theirs are as large as those of any other group, however small the penalties are.
  int64_t groups_of_penalty_alone = 0;
};

// Sets kl_penalties of every group that is not dropped; the scores keep the rewards of their
// verdicts. The penalties of a group depend on no other group. With sampling filters the reference
// needs the ids that the sampler kept; `sampler`, a pass over the weights that sampled, is run to
// find them again. kInternal, naming the rollout, when a penalty is not finite.
KlPenaltySum AddKlPenalties(const Config& config, PackedPass* sampler, Reference* reference,
                            std::span<Group> groups);

}  // namespace grouper
