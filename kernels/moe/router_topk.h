// Choice of a token's experts from its router logits (DeepSeek-V3, arXiv:2412.19437, eq. 12 to 16;
// docs/numerics.md 5).
//
// 1. Scores: softmax (its sum in id order) or sigmoid of the logits.
// 2. Choice: the k experts with the largest score + bias, ties to the lower id. The bias balances
//    the load and takes part in the choice only. With groups of consecutive experts, only experts
//    of the top_groups best groups are eligible.
// 3. Weights: the scores without bias of the chosen experts, divided by (their sum in slot order +
//    1e-20) if renormalize is set, then times scale.
//
// Given experts replace step 2 (routing replay, docs/algorithms.md 8): their weights are those of
// the scores of this call, so giving back this call's own choice changes no bit, and gradients
// reach the router through the given experts.
//
// A NaN score chooses expert -1 in every slot of its token; the caller then stops the run.
#pragma once

#include "kernels/op.h"

namespace grouper {

inline constexpr int64_t kMaxExperts = 1024;

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
  Tensor experts;  // [tokens, k] int32 out, best first
  Tensor weights;  // [tokens, k] out
  RouterRule rule;
  Tensor given = {};  // [tokens, k] int32, distinct ids in slot order; empty: choose
};
GROUPER_OP(RouterTopk)

// dlogits from dweights. The choice and the bias have no gradient.
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
