// Choice of experts from router logits (DeepSeek-V3 and kin; numerics.md 3b). Scores by softmax
// (sum in id order) or sigmoid; the bias is added for the choice only; order: biased score
// descending, ties to the lower id. Groups of consecutive experts that are not chosen are masked
// with -inf. Weights come from unbiased scores: divided by (sum in slot order + 1e-20) when
// renormalised, then scaled. A NaN score chooses expert -1 in every slot of that token: the caller
// stops the run. Given experts take the place of the choice (routing replay, grpo.md 6): bias and
// groups have no say, the weights are those of the live scores, so the live choice given gives the
// same bits, and gradient reaches the router through the given experts.
#pragma once

#include "kernels/op.h"

namespace grouper {

inline constexpr int64_t kMaxExperts = 256;

enum class RouterScore { kSoftmax, kSigmoid };
enum class RouterGroupScore { kMax, kTop2Sum };

struct RouterRule {
  RouterScore score = RouterScore::kSigmoid;
  int64_t groups = 1;
  int64_t top_groups = 1;
  RouterGroupScore group_score = RouterGroupScore::kTop2Sum;
  bool renormalize = true;
  double scale = 1;
};

struct RouterTopkArgs {
  Tensor logits;   // [tokens, experts]
  Tensor bias;     // [experts] or empty
  Tensor scores;   // [tokens, experts] out
  Tensor experts;  // [tokens, k] int32 out, k-th chosen
  Tensor weights;  // [tokens, k] out
  RouterRule rule;
  Tensor given = {};  // [tokens, k] int32, distinct ids in slot order, or empty: choose
};
GROUPER_OP(RouterTopk)

// dlogits from dweights; no gradient through choice or bias.
struct RouterTopkBackwardArgs {
  Tensor scores;    // [tokens, experts]
  Tensor experts;   // [tokens, k] int32
  Tensor weights;   // [tokens, k]
  Tensor dweights;  // [tokens, k]
  Tensor dlogits;   // [tokens, experts] out
  RouterRule rule;
};
GROUPER_OP(RouterTopkBackward)

}  // namespace grouper
