// Products of a matrix with a packed weight, and their gradients.
//
// A weight [in, out] is stored in panels of 32 output columns (numerics::kPanelColumns):
// weight[panel][k][c] is the number of row k and column 32 * panel + c; columns past `out` are 0.
//
// Every output is one chain of fused multiply-adds over k = 0 .. in - 1, starting at +0 or at the
// bias. A chain is never split over threads, vectors or blocks, so an output depends on its own row
// and column only, and has the same bits on every machine (docs/numerics.md 2). How the loops are
// blocked for speed: row_product.h.
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

// grad += x^T * dy, packed like the weight. Each number of grad continues its chain over the rows
// from the value it has, so cutting the rows into consecutive calls changes no bit. Columns past
// `out` stay zero.
struct MatmulWeightGradArgs {
  Tensor x;     // [rows, in]
  Tensor dy;    // [rows, out]
  Tensor grad;  // [panels, in, 32] in and out
};
GROUPER_OP(MatmulWeightGrad)

// One product per expert, over the list of its rows: output row r with offsets[e] <= r <
// offsets[e + 1] is x[row_index[r]] * weight[e]. Rows of x are read in place, not copied.
struct GroupedMatmulArgs {
  Tensor x;          // [tokens, in]
  Tensor row_index;  // [rows] int32, row of x; empty: row r of x
  Tensor offsets;    // [experts + 1] int32
  Tensor weight;     // [experts, panels, in, 32] packed
  Tensor out;        // [rows, out]
};
GROUPER_OP(GroupedMatmul)

// grad[e] += sum over the rows r of expert e, ascending, of x[row_index[r]]^T * dy[r]. Chains
// continue as in MatmulWeightGrad.
struct GroupedMatmulWeightGradArgs {
  Tensor x;          // [tokens, in]
  Tensor row_index;  // [rows] int32 or empty
  Tensor offsets;    // [experts + 1] int32
  Tensor dy;         // [rows, out]
  Tensor grad;       // [experts, panels, in, 32] in and out
};
GROUPER_OP(GroupedMatmulWeightGrad)

// The packed form of the transposed weight, which dX = dY * W^T reads: from [experts, ceil(out/32),
// in, 32] to [experts, ceil(in/32), out, 32]. A copy, no arithmetic.
struct TransposePackedArgs {
  Tensor weight;      // [experts, panels, in, 32]
  Tensor transposed;  // [experts, ceil(in / 32), out, 32]
  int64_t in = 0;
  int64_t out = 0;
};
GROUPER_OP(TransposePacked)

}  // namespace grouper
