// Dense products on packed weights. Every output is one fused multiply-add chain over the input
// dimension that starts at +0 (at the bias, where there is one); K is never split (numerics.md 2,
// 10).
#pragma once

#include "kernels/numerics.h"
#include "kernels/op.h"

namespace grouper {

// Shape of the packed form of a [in, out] weight: [ceil(out / 32)][in][32], zero padded.
inline int64_t PackedPanels(int64_t out) {
  return (out + numerics::kPanelColumns - 1) / numerics::kPanelColumns;
}
inline int64_t PackedElements(int64_t in, int64_t out) {
  return PackedPanels(out) * in * numerics::kPanelColumns;
}

// out = x * weight (+ bias) (+ residual, added to the finished chain).
struct MatmulArgs {
  Tensor x;         // [rows, in]
  Tensor weight;    // [panels, in, 32] packed
  Tensor bias;      // [out] or empty
  Tensor residual;  // [rows, out] or empty; may be out
  Tensor out;       // [rows, out]
};
GROUPER_OP(Matmul)

// grad += x^T * dy, packed like the weight: each element's chain over rows goes on from what grad
// holds, so cutting rows into consecutive calls changes no bit. Columns past `out` stay zero.
struct MatmulWeightGradArgs {
  Tensor x;     // [rows, in]
  Tensor dy;    // [rows, out]
  Tensor grad;  // [panels, in, 32] in and out
};
GROUPER_OP(MatmulWeightGrad)

// Per-expert products over row lists: output row r, offsets[e] <= r < offsets[e + 1], is
// x[row_index[r]] * weight[e]. Rows are not copied.
struct GroupedMatmulArgs {
  Tensor x;          // [tokens, in]
  Tensor row_index;  // [rows] int32, row of x; empty: row r of x
  Tensor offsets;    // [experts + 1] int32
  Tensor weight;     // [experts, panels, in, 32] packed
  Tensor out;        // [rows, out]
};
GROUPER_OP(GroupedMatmul)

// grad[e] += sum over r of expert e, ascending, of x[row_index[r]]^T * dy[r]; chains go on as
// above.
struct GroupedMatmulWeightGradArgs {
  Tensor x;          // [tokens, in]
  Tensor row_index;  // [rows] int32 or empty
  Tensor offsets;    // [experts + 1] int32
  Tensor dy;         // [rows, out]
  Tensor grad;       // [experts, panels, in, 32] in and out
};
GROUPER_OP(GroupedMatmulWeightGrad)

// The packed form of the transposed weight, for dX = dY * W^T: from [experts, ceil(out/32), in, 32]
// to [experts, ceil(in/32), out, 32]. A copy, no arithmetic.
struct TransposePackedArgs {
  Tensor weight;      // [experts, panels, in, 32]
  Tensor transposed;  // [experts, ceil(in / 32), out, 32]
  int64_t in = 0;
  int64_t out = 0;
};
GROUPER_OP(TransposePacked)

}  // namespace grouper
