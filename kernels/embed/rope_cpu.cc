#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embed/rope.h"

namespace grouper::cpu::GROUPER_VARIANT {

void Rope(Stream& stream, const RopeArgs& args) {
  const int64_t half = args.head_dim / 2, heads = args.x.shape[1] / args.head_dim;
  const int32_t* positions = args.positions.as<int32_t>();
  ParallelRows(stream, args.x.shape[0], 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* cos = args.cos.as<real>() + positions[t] * half;
      const real* sin = args.sin.as<real>() + positions[t] * half;
      for (int64_t h = 0; h < heads; ++h) {
        real* x = args.x.as<real>() + t * args.x.row_stride + h * args.head_dim;
        if (args.interleaved) {
          for (int64_t i = 0; i < half; ++i) {
            const real s = args.inverse ? -sin[i] : sin[i];
            const real a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = FmaReal(-b, s, a * cos[i]);
            x[2 * i + 1] = FmaReal(b, cos[i], a * s);
          }
          continue;
        }
        for (int64_t i = 0; i < half; i += kLanes) {
          const int64_t n = half - i;
          const Lanes c = LoadFirst(cos + i, n);
          const Lanes raw = LoadFirst(sin + i, n);
          const Lanes s = args.inverse ? Sub(Zero(), raw) : raw;
          const Lanes a = LoadFirst(x + i, n), b = LoadFirst(x + half + i, n);
          StoreFirst(x + i, Fma(Sub(Zero(), b), s, Mul(a, c)), n);
          StoreFirst(x + half + i, Fma(b, c, Mul(a, s)), n);
        }
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
