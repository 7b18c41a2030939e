// Compares the bits that the sampler recorded with those that the learner computes, for every
// sampled token (docs/numerics.md 11). It counts the differences and describes the first one.
#pragma once

#include <cstdint>
#include <string>

#include "rl/learner/packed_pass.h"

namespace grouper {

struct MismatchCounts {
  int64_t tokens = 0;  // compared
  int64_t logprob_mismatch = 0;
  int64_t expert_mismatch = 0;    // (token, layer, slot)
  int64_t kept_set_mismatch = 0;  // tokens at which the filters left sets of two sizes
  int64_t ratio_not_one = 0;
  // Log-probs that are NaN, infinite or above 0, and entropies outside [0, log V].
  int64_t nonfinite = 0;
  std::string first;  // rollout, position and both bit patterns of the first difference

  int64_t total() const {
    return logprob_mismatch + expert_mismatch + kept_set_mismatch + ratio_not_one + nonfinite;
  }
  // Adds the counts of other tokens.
  void Add(const MismatchCounts& more);
};

// What the learner computed, with one entry per target of a sequence.
struct LearnerTokens {
  std::span<const float> log_probs, entropies;
  std::span<const int32_t> kept_sizes;
  int64_t vocab_size = 0;
};

// Compares the log-probs and kept sets of one sequence.
void CompareSequence(const TrainSequence& sequence, const LearnerTokens& learner,
                     MismatchCounts* counts);
// Compares the experts of the tokens that a pass computed.
void CompareExperts(const ComputedTokens& computed, MismatchCounts* counts);

}  // namespace grouper
