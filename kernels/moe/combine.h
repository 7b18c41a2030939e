// Adds the outputs of a token's experts: acc = +0; acc = fma(w_k, y_k, acc) for its slots k in
// order; then + shared expert; then + residual (docs/numerics.md 5).
#pragma once

#include "kernels/op.h"

namespace grouper {

struct CombineArgs {
  Tensor y;         // [tokens * k, width], rows as DispatchPlan lists them
  Tensor slot_row;  // [tokens, k] int32, row of y
  Tensor weights;   // [tokens, k] or empty: 1
  Tensor shared;    // [tokens, width] or empty
  Tensor residual;  // [tokens, width] or empty; may be out
  Tensor out;       // [tokens, width]
};
GROUPER_OP(Combine)

// dy[row] = w * dout[token]; dweights[token, k] = sum (R256) dout . y[row].
struct CombineBackwardArgs {
  Tensor dout;      // [tokens, width]
  Tensor y;         // [tokens * k, width], the forward's
  Tensor slot_row;  // [tokens, k] int32
  Tensor weights;   // [tokens, k]
  Tensor dy;        // [tokens * k, width] out; may be y
  Tensor dweights;  // [tokens, k] out
};
GROUPER_OP(CombineBackward)

}  // namespace grouper
