// The loss of the GRPO family as arithmetic on arrays; it knows no model (docs/algorithms.md 4 to
// 6). Everything is computed in double from recorded values. The denominators are integers over the
// whole minibatch, given by the caller, so the cut into micro-batches cannot change the loss.
// Sequences are packed: sequence i has tokens [offsets[i], offsets[i + 1]), all of them chosen by
// the policy.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/loss/kl.h"

namespace grouper {

enum class Surrogate { kPpo, kGspo, kGspoToken, kCispo, kReinforce };
enum class Aggregation { kToken, kSeq, kSeqSum, kConst };

struct PolicyLossRule {
  Surrogate surrogate = Surrogate::kPpo;
  double clip_low = 0.2;
  double clip_high = 0.28;
  double dual_clip = 0;         // c > 1; 0: off
  double log_ratio_clamp = 20;  // 0: none
  Aggregation aggregation = Aggregation::kToken;
  int64_t const_length = 0;  // L of Aggregation::kConst
  KlRule kl;
  double kl_beta = 0;
};

// Counts of the whole minibatch, known before any backward.
struct LossDenominators {
  int64_t sequences = 0;  // N: rollouts with at least one token
  int64_t tokens = 0;     // T
};

struct PolicyLossArgs {
  std::span<const int64_t> offsets;      // [sequences + 1]
  std::span<const float> log_probs;      // [tokens] current policy
  std::span<const float> old_log_probs;  // [tokens] recorded by the sampler
  std::span<const float> ref_log_probs;  // [tokens] or empty
  std::span<const double> advantages;    // [sequences]
  LossDenominators denominators;
  PolicyLossRule rule;
  std::span<double> dlog_probs;  // [tokens] out
};

struct PolicyLossResult {
  double loss = 0;    // sum over the tokens of this call, already divided by the denominators
  double k1_sum = 0;  // sums over tokens of k1 and k3 without clamps, where a reference is given
  double k3_sum = 0;
  int64_t clipped_low = 0;  // tokens whose gradient the clip cut
  int64_t clipped_high = 0;
  int64_t clipped_dual = 0;
  int64_t ratio_not_one = 0;  // tokens whose ratio is not exactly 1
  int64_t tokens = 0;
  double ratio_sum = 0;
  double ratio_max = 0;
};

// The weight of each token of a sequence with n tokens (docs/algorithms.md 4).
double TokenWeight(const PolicyLossRule& rule, const LossDenominators& all, int64_t n);

PolicyLossResult PolicyLoss(const PolicyLossArgs& args);

}  // namespace grouper
