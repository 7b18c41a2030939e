// AdamW with decoupled decay (Loshchilov and Hutter 2019): p -= lr * wd * p; then
// p -= lr * (m / c1) / (sqrt(v / c2) + eps). c1 = 1 - beta1^t and c2 = 1 - beta2^t are computed in
// double and rounded once.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct AdamwArgs {
  Tensor param;           // [n] in and out
  Tensor grad;            // [n]
  Tensor m;               // [n] in and out
  Tensor v;               // [n] in and out
  double grad_scale = 1;  // global-norm clip
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;
  int64_t update = 1;  // t, from 1
  // [1] int32 in and out, or empty: set to 1 if an element of param, m or v is not finite after the
  // update, otherwise left as it is. So one flag can serve several calls.
  Tensor not_finite = {};
};
GROUPER_OP(Adamw)

// Sum of squares in double: blocks of 4,096 elements, each a chain, blocks left to right
// (docs/numerics.md 10). Returns NaN or inf when an element is not finite.
struct GradSquaresArgs {
  Tensor grad;    // [n]
  Tensor blocks;  // [ceil(n / 4096)] fp64 scratch
};
double GradSquares(Stream& stream, const GradSquaresArgs& args);
// min(1, max_norm / (norm + 1e-6)).
double ClipScale(double norm, double max_norm);

}  // namespace grouper
