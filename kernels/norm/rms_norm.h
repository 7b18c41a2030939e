// y = x * (1 / sqrt(mean(x^2) + eps)) * gain, row by row (Zhang and Sennrich 2019). The sum of
// squares is an R256 tree (kernels/cpu/row_tree.h); x * inv is rounded before it is multiplied by
// gain (docs/numerics.md 3).
#pragma once

#include "kernels/op.h"

namespace grouper {

struct RmsNormArgs {
  Tensor x;     // [tokens, width] fp32 or fp64
  Tensor gain;  // [width] dtype of x
  Tensor out;   // [tokens, width]; may be x
  double eps = 1e-6;
};
GROUPER_OP(RmsNorm)

// Adds to dx, and continues the chain of dgain over the tokens in their order.
// dx_i += inv * (gain_i dy_i) - x_i * inv^3 / width * sum_j(gain_j dy_j x_j).
struct RmsNormBackwardArgs {
  Tensor x;      // [tokens, width], the forward's input
  Tensor gain;   // [width]
  Tensor dy;     // [tokens, width]
  Tensor dx;     // [tokens, width] in and out
  Tensor dgain;  // [width] in and out
  Tensor inv;    // [tokens] scratch
  double eps = 1e-6;
};
GROUPER_OP(RmsNormBackward)

}  // namespace grouper
