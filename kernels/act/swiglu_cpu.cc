#include "kernels/act/swiglu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_math.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {
constexpr int64_t kRowGrain = 64;
}  // namespace

void Swiglu(Stream& stream, const SwigluArgs& args) {
  const int64_t width = args.out.shape[1];
  ParallelRows(stream, args.out.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* gate = args.gate_up.as<real>() + t * args.gate_up.row_stride;
      const real* up = gate + width;
      real* out = args.out.as<real>() + t * args.out.row_stride;
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i;
        const Lanes g = LoadFirst(gate + i, n);
        StoreFirst(out + i, Mul(Mul(g, Sigmoid(g)), LoadFirst(up + i, n)), n);
      }
    }
  });
}

void SwigluBackward(Stream& stream, const SwigluBackwardArgs& args) {
  const int64_t width = args.dout.shape[1];
  ParallelRows(stream, args.dout.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* gate = args.gate_up.as<real>() + t * args.gate_up.row_stride;
      const real* dout = args.dout.as<real>() + t * args.dout.row_stride;
      real* dgate = args.dgate_up.as<real>() + t * args.dgate_up.row_stride;
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i;
        const Lanes g = LoadFirst(gate + i, n), u = LoadFirst(gate + width + i, n);
        const Lanes d = LoadFirst(dout + i, n);
        const Lanes s = Sigmoid(g), gs = Mul(g, s);
        const Lanes slope = Fma(gs, Sub(Set(1), s), s);
        StoreFirst(dgate + i, Mul(Mul(d, u), slope), n);
        StoreFirst(dgate + width + i, Mul(d, gs), n);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
