#include "kernels/optim/adamw.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"
#include "kernels/numerics.h"

namespace grouper {

void Adamw(Stream& stream, const AdamwArgs& args) {
  CheckReal("[adamw] param", args.param);
  const DType dtype = args.param.dtype;
  const int64_t n = args.param.dim(0);
  CheckVector("[adamw] grad", args.grad, dtype, n);
  CheckVector("[adamw] m", args.m, dtype, n);
  CheckVector("[adamw] v", args.v, dtype, n);
  if (!args.not_finite.empty()) {
    CheckVector("[adamw] not_finite", args.not_finite, DType::kInt32, 1);
  }
  CHECK(args.update >= 1, "[adamw] updates count from 1", Named("update", args.update));
  GROUPER_DISPATCH(Adamw, stream, args, dtype);
}

double GradSquares(Stream& stream, const GradSquaresArgs& args) {
  CheckReal("[grad_squares] grad", args.grad);
  const int64_t n = args.grad.dim(0), block = numerics::kNormBlock;
  const int64_t blocks = (n + block - 1) / block;
  CheckVector("[grad_squares] blocks", args.blocks, DType::kFloat64, blocks);
  double* sums = args.blocks.as<double>();
  cpu::ParallelFor(stream, blocks, [&](int64_t b) {
    const int64_t end = std::min(n, (b + 1) * block);
    double sum = 0;
    for (int64_t i = b * block; i < end; ++i) {
      const double g = args.grad.dtype == DType::kFloat32
                           ? static_cast<double>(args.grad.as<float>()[i])
                           : args.grad.as<double>()[i];
      sum += g * g;
    }
    sums[b] = sum;
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; ++b) total += sums[b];
  return total;
}

double ClipScale(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }

}  // namespace grouper
