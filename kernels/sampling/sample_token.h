// Draws one token a row. The token is a function of its logits and its address (seed, rollout id,
// position): Philox stream `stream_id`, choice in 64-bit integers on two levels, tile then token
// (numerics.md 4, 5). Log-softmax statistics come from the tile tree that token_log_probs uses:
// equal bits by construction.
#pragma once

#include "kernels/op.h"
#include "kernels/sampling/sampling_rule.h"

namespace grouper {

struct SampleTokenArgs {
  Tensor logits;       // [rows, vocab] fp32 or fp64
  Tensor rollout_ids;  // [rows] uint64
  Tensor positions;    // [rows] int32, absolute index of the drawn token
  uint64_t seed = 0;
  uint32_t stream_id = 0;  // base/random.h: 0 training, 5 evaluation
  SamplingRule rule;
  Tensor tokens;         // [rows] int32 out; -1 where a logit is NaN or +inf or all are -inf
  Tensor log_probs;      // [rows] out: under what was sampled from
  Tensor raw_log_probs;  // [rows] out or empty: temperature applied, no filter
  Tensor entropies;      // [rows] out, nats, temperature applied, no filter
  Tensor kept_sizes;     // [rows] int32 out or empty: ids that the filters left; 0 without filters
};
GROUPER_OP(SampleToken)

}  // namespace grouper
