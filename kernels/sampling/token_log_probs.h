// Log-probability of given tokens under the sampler's own arithmetic: one softmax tree for both
// (numerics.md 5). lse = m + log s; log_prob = (z - m) - log s; entropy = log s - e / s, over tiles
// of 256 ids. With a filter the set S is found again from the same logits by the same code.
#pragma once

#include "kernels/op.h"
#include "kernels/sampling/sampling_rule.h"

namespace grouper {

struct TokenLogProbsArgs {
  Tensor logits;   // [rows, vocab]
  Tensor targets;  // [rows] int32
  SamplingRule rule;
  Tensor log_probs;  // [rows] out: under S; -inf when the target is outside S
  Tensor entropies;  // [rows] out: no filter
  // [rows] int32 out or empty: ids in S; 0 without filters. With equal logits an equal size is an
  // equal set: S is a prefix of one total order, larger z first, ties to the lower id.
  Tensor kept_sizes;
};
GROUPER_OP(TokenLogProbs)

// dlogits = dlog_prob * (onehot - softmax_S) / T + dentropy * dH/dlogits, H unfiltered.
struct TokenLogProbsBackwardArgs {
  Tensor logits;   // [rows, vocab]
  Tensor targets;  // [rows] int32
  SamplingRule rule;
  Tensor dlog_probs;  // [rows]
  Tensor dentropies;  // [rows] or empty
  Tensor dlogits;     // [rows, vocab] out; may be logits
};
GROUPER_OP(TokenLogProbsBackward)

}  // namespace grouper
