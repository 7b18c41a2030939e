#include "kernels/gemm/matmul.h"

#include "kernels/dispatch.h"

namespace grouper {

using numerics::kPanelColumns;

void Matmul(Stream& stream, const MatmulArgs& args) {
  CheckReal("[matmul] x", args.x);
  const DType dtype = args.x.dtype;
  const int64_t rows = args.x.dim(0), in = args.x.dim(1), out = args.out.dim(1);
  const int64_t packed[3] = {PackedPanels(out), in, kPanelColumns};
  CheckMatrix("[matmul] x", args.x, dtype, rows, in);
  CheckTensor("[matmul] weight", args.weight, dtype, 3, packed);
  CheckMatrix("[matmul] out", args.out, dtype, rows, out);
  if (!args.bias.empty()) CheckVector("[matmul] bias", args.bias, dtype, out);
  if (!args.residual.empty()) CheckMatrix("[matmul] residual", args.residual, dtype, rows, out);
  GROUPER_DISPATCH(Matmul, stream, args, dtype);
}

void MatmulWeightGrad(Stream& stream, const MatmulWeightGradArgs& args) {
  CheckReal("[matmul_weight_grad] x", args.x);
  const DType dtype = args.x.dtype;
  const int64_t rows = args.x.dim(0), in = args.x.dim(1), out = args.dy.dim(1);
  const int64_t packed[3] = {PackedPanels(out), in, kPanelColumns};
  CheckMatrix("[matmul_weight_grad] x", args.x, dtype, rows, in);
  CheckMatrix("[matmul_weight_grad] dy", args.dy, dtype, rows, out);
  CheckTensor("[matmul_weight_grad] grad", args.grad, dtype, 3, packed);
  GROUPER_DISPATCH(MatmulWeightGrad, stream, args, dtype);
}

void GroupedMatmul(Stream& stream, const GroupedMatmulArgs& args) {
  CheckReal("[grouped_matmul] x", args.x);
  const DType dtype = args.x.dtype;
  const int64_t in = args.x.dim(1), rows = args.out.dim(0), out = args.out.dim(1);
  const int64_t experts = args.offsets.dim(0) - 1;
  const int64_t packed[4] = {experts, PackedPanels(out), in, kPanelColumns};
  CheckMatrix("[grouped_matmul] x", args.x, dtype, -1, in);
  CheckVector("[grouped_matmul] offsets", args.offsets, DType::kInt32, experts + 1);
  CheckTensor("[grouped_matmul] weight", args.weight, dtype, 4, packed);
  CheckMatrix("[grouped_matmul] out", args.out, dtype, rows, out);
  if (!args.row_index.empty()) {
    CheckVector("[grouped_matmul] row_index", args.row_index, DType::kInt32, rows);
  } else {
    CHECK(args.x.dim(0) == rows,
          "[grouped_matmul] without row_index, x must have one row per output row",
          Named("x_rows", args.x.dim(0)), Named("out_rows", rows));
  }
  GROUPER_DISPATCH(GroupedMatmul, stream, args, dtype);
}

void GroupedMatmulWeightGrad(Stream& stream, const GroupedMatmulWeightGradArgs& args) {
  CheckReal("[grouped_matmul_weight_grad] x", args.x);
  const DType dtype = args.x.dtype;
  const int64_t in = args.x.dim(1), rows = args.dy.dim(0), out = args.dy.dim(1);
  const int64_t experts = args.offsets.dim(0) - 1;
  const int64_t packed[4] = {experts, PackedPanels(out), in, kPanelColumns};
  CheckMatrix("[grouped_matmul_weight_grad] x", args.x, dtype, -1, in);
  CheckVector("[grouped_matmul_weight_grad] offsets", args.offsets, DType::kInt32, experts + 1);
  CheckMatrix("[grouped_matmul_weight_grad] dy", args.dy, dtype, rows, out);
  CheckTensor("[grouped_matmul_weight_grad] grad", args.grad, dtype, 4, packed);
  if (!args.row_index.empty()) {
    CheckVector("[grouped_matmul_weight_grad] row_index", args.row_index, DType::kInt32, rows);
  }
  GROUPER_DISPATCH(GroupedMatmulWeightGrad, stream, args, dtype);
}

void TransposePacked(Stream& stream, const TransposePackedArgs& args) {
  CheckReal("[transpose_packed] weight", args.weight);
  const DType dtype = args.weight.dtype;
  const int64_t experts = args.weight.dim(0);
  const int64_t from[4] = {experts, PackedPanels(args.out), args.in, kPanelColumns};
  const int64_t to[4] = {experts, PackedPanels(args.in), args.out, kPanelColumns};
  CheckTensor("[transpose_packed] weight", args.weight, dtype, 4, from);
  CheckTensor("[transpose_packed] transposed", args.transposed, dtype, 4, to);
  GROUPER_DISPATCH(TransposePacked, stream, args, dtype);
}

}  // namespace grouper
