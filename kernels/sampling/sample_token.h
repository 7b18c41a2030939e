// Draws one token per row of logits.
//
// 1. z = logit / temperature; the filters of the rule leave a set of kept ids (sampling_rule.h).
// 2. The softmax statistics of the kept ids come from tiles of 256 ids (softmax_tiles.h), the same
//    code that TokenLogProbs runs, so sampler and learner report equal bits.
// 3. Philox gives two 64-bit words for the address (seed, stream_id, rollout id, position). The
//    first chooses a tile, the second a token in the tile, by integer masses round(2^40 *
//    probability): integers have the same total in any order (docs/numerics.md 7 and 8).
//
// So a token is a function of its logits, its rule and its address, and of nothing else.
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
  Tensor log_probs;      // [rows] out: under the distribution that was sampled from
  Tensor raw_log_probs;  // [rows] out or empty: temperature applied, no filter
  Tensor entropies;      // [rows] out, nats, temperature applied, no filter
  Tensor kept_sizes;     // [rows] int32 out or empty: number of kept ids; 0 without filters
};
GROUPER_OP(SampleToken)

}  // namespace grouper
