// Log-probabilities of given tokens, with the arithmetic of the sampler: both compute their softmax
// over tiles of 256 ids with the same code (softmax_tiles.h, docs/numerics.md 8). With m the
// largest z, s = sum exp(z - m) and e = sum (z - m) exp(z - m):
//   log_prob = (z - m) - log s        entropy = log s - e / s
// Under a rule with filters, the set S of kept ids is computed again from the logits.
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
  // [rows] int32 out or empty: number of ids in S; 0 without filters. Where the logits are equal,
  // an equal number means an equal set: S is a prefix of one order, larger z first, then lower id.
  Tensor kept_sizes;
};
GROUPER_OP(TokenLogProbs)

// dlogits = dlog_prob * (onehot - softmax_S) / T + dentropy * dH/dlogits; the entropy H has no
// filter.
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
