#include "kernels/moe/combine.h"

#include "kernels/dispatch.h"

namespace grouper {

void Combine(Stream& stream, const CombineArgs& args) {
  CheckReal("[combine] y", args.y);
  const DType dtype = args.y.dtype;
  const int64_t tokens = args.slot_row.dim(0), k = args.slot_row.dim(1), width = args.y.dim(1);
  CheckMatrix("[combine] y", args.y, dtype, tokens * k, width);
  CheckMatrix("[combine] slot_row", args.slot_row, DType::kInt32, tokens, k);
  CheckMatrix("[combine] out", args.out, dtype, tokens, width);
  if (!args.weights.empty()) CheckMatrix("[combine] weights", args.weights, dtype, tokens, k);
  if (!args.shared.empty()) CheckMatrix("[combine] shared", args.shared, dtype, tokens, width);
  if (!args.residual.empty())
    CheckMatrix("[combine] residual", args.residual, dtype, tokens, width);
  GROUPER_DISPATCH(Combine, stream, args, dtype);
}

void CombineBackward(Stream& stream, const CombineBackwardArgs& args) {
  CheckReal("[combine_backward] y", args.y);
  const DType dtype = args.y.dtype;
  const int64_t tokens = args.slot_row.dim(0), k = args.slot_row.dim(1), width = args.y.dim(1);
  CheckMatrix("[combine_backward] dout", args.dout, dtype, tokens, width);
  CheckMatrix("[combine_backward] y", args.y, dtype, tokens * k, width);
  CheckMatrix("[combine_backward] weights", args.weights, dtype, tokens, k);
  CheckMatrix("[combine_backward] dy", args.dy, dtype, tokens * k, width);
  CheckMatrix("[combine_backward] dweights", args.dweights, dtype, tokens, k);
  GROUPER_DISPATCH(CombineBackward, stream, args, dtype);
}

}  // namespace grouper
