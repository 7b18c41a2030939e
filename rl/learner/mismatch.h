// The memcmp of P1: what the sampler recorded against what the learner computes, for every sampled
// token (numerics.md 7). Counts, and names the first difference.
#pragma once

#include <cstdint>
#include <string>

#include "policy/memory/activations.h"
#include "rl/learner/batch.h"

namespace grouper {

struct MismatchCounts {
  int64_t tokens = 0;  // compared
  int64_t logprob_mismatch = 0;
  int64_t expert_mismatch = 0;    // (token, layer, slot)
  int64_t kept_set_mismatch = 0;  // tokens whose filters left sets of two sizes
  int64_t ratio_not_one = 0;
  int64_t nonfinite =
      0;              // log-probs that are NaN, infinite or above 0, entropies outside [0, log V]
  std::string first;  // rollout, position and both bit patterns of the first difference

  int64_t total() const {
    return logprob_mismatch + expert_mismatch + kept_set_mismatch + ratio_not_one + nonfinite;
  }
  // Of other tokens.
  void Add(const MismatchCounts& more);
};

// What the learner computed, one entry a target of a sequence.
struct LearnerTokens {
  std::span<const float> log_probs, entropies;
  std::span<const int32_t> kept_sizes;
  int64_t vocab_size = 0;
};

// Experts of the sequence's input tokens start at token row first_token of the activations.
void CompareSequence(const TrainSequence& sequence, const LearnerTokens& learner,
                     const Activations& activations, int64_t first_token, MismatchCounts* counts);

}  // namespace grouper
