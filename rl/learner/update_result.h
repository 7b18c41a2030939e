// What one update reports. RatioStats and TokenCounts are sums over tokens, which add up over the
// updates of a step.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/loss/policy_loss.h"
#include "rl/learner/mismatch.h"

namespace grouper {

// Ratios of the current policy to the sampler, and KL estimators to the reference, over the tokens
// that were backpropagated.
struct RatioStats {
  int64_t tokens = 0;
  int64_t not_one = 0;  // tokens whose ratio is not exactly 1
  double sum = 0;
  double max = 0;
  int64_t clipped_low = 0;  // tokens whose gradient the clip removed
  int64_t clipped_high = 0;
  int64_t clipped_dual = 0;
  double k1_sum = 0;  // to the reference, without clamps (docs/algorithms.md 6)
  double k3_sum = 0;
  int64_t kl_zero_tokens = 0;  // tokens at which the reference was this very policy, so KL was 0

  RatioStats& operator+=(const RatioStats& more) {
    tokens += more.tokens;
    not_one += more.not_one;
    sum += more.sum;
    max = std::max(max, more.max);
    clipped_low += more.clipped_low;
    clipped_high += more.clipped_high;
    clipped_dual += more.clipped_dual;
    k1_sum += more.k1_sum;
    k3_sum += more.k3_sum;
    kl_zero_tokens += more.kl_zero_tokens;
    return *this;
  }
};

// Sampled tokens by what became of them. in_loss, unscored and truncated add up to all of them.
struct TokenCounts {
  int64_t in_loss = 0;     // T of docs/algorithms.md 4: tokens of the completions in the loss
  int64_t unscored = 0;    // of completions without a reward
  int64_t truncated = 0;   // of completions that loss.truncated MASK takes out of the loss
  int64_t no_signal = 0;   // of in_loss: forwarded and compared, but not backpropagated
  int64_t off_policy = 0;  // sampled under an older version than their update's
  int64_t forwarded = 0;   // inputs of the forward passes, prompts included

  TokenCounts& operator+=(const TokenCounts& more) {
    in_loss += more.in_loss;
    unscored += more.unscored;
    truncated += more.truncated;
    no_signal += more.no_signal;
    off_policy += more.off_policy;
    forwarded += more.forwarded;
    return *this;
  }
};

struct UpdateResult {
  MismatchCounts check;
  bool updated = false;  // false: no completion had signal; weights and version are unchanged
  double loss = 0;       // with the KL and the entropy term, where the loss has them
  double lr = 0;
  double grad_norm = 0;
  double entropy_mean = 0;
  RatioStats ratios;
  TokenCounts tokens;
  int64_t sequences = 0;  // N of docs/algorithms.md 4: completions in the loss
  // Load of the busiest expert over the mean load, less 1, and of the idlest one over the mean
  // load: means over the MoE layers.
  double max_violation = 0;
  double least_share = 0;
};

}  // namespace grouper
