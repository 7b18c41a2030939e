#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_tree.h"
#include "kernels/moe/combine.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {
constexpr int64_t kRowGrain = 64;
}  // namespace

void Combine(Stream& stream, const CombineArgs& args) {
  const int64_t k = args.slot_row.shape[1], width = args.y.shape[1];
  const real *shared = args.shared.as<real>(), *residual = args.residual.as<real>();
  ParallelRows(stream, args.slot_row.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int32_t* rows = args.slot_row.as<int32_t>() + t * k;
      const real* weights = args.weights.as<real>() + t * args.weights.row_stride;
      real* out = args.out.as<real>() + t * args.out.row_stride;
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i;
        Lanes acc = Zero();
        for (int64_t slot = 0; slot < k; ++slot) {
          const Lanes y = LoadFirst(args.y.as<real>() + rows[slot] * args.y.row_stride + i, n);
          const Lanes w = Set(args.weights.empty() ? real{1} : weights[slot]);
          acc = Fma(w, y, acc);
        }
        if (shared != nullptr)
          acc = Add(acc, LoadFirst(shared + t * args.shared.row_stride + i, n));
        if (residual != nullptr) {
          acc = Add(acc, LoadFirst(residual + t * args.residual.row_stride + i, n));
        }
        StoreFirst(out + i, acc, n);
      }
    }
  });
}

void CombineBackward(Stream& stream, const CombineBackwardArgs& args) {
  const int64_t k = args.slot_row.shape[1], width = args.y.shape[1];
  ParallelRows(stream, args.slot_row.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* dout = args.dout.as<real>() + t * args.dout.row_stride;
      for (int64_t slot = 0; slot < k; ++slot) {
        const int64_t row = args.slot_row.as<int32_t>()[t * k + slot];
        const real* y = args.y.as<real>() + row * args.y.row_stride;
        real* dy = args.dy.as<real>() + row * args.dy.row_stride;
        const Lanes w = Set(args.weights.as<real>()[t * args.weights.row_stride + slot]);
        const real dot = RowTree(width, [&](int64_t i, Lanes chain) {
          const int64_t n = width - i;
          const Lanes d = LoadFirst(dout + i, n);
          const Lanes next = Fma(d, LoadFirst(y + i, n), chain);
          StoreFirst(dy + i, Mul(w, d), n);
          return next;
        });
        args.dweights.as<real>()[t * args.dweights.row_stride + slot] = dot;
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
