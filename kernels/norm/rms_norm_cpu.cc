#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_tree.h"
#include "kernels/norm/rms_norm.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kRowGrain = 32;

// 1 / sqrt(sum / width + eps), IEEE division and root.
GROUPER_INLINE real InverseRms(const real* x, int64_t width, real eps) {
  const real squares = RowTree(width, [&](int64_t i, Lanes chain) {
    const Lanes v = LoadFirst(x + i, width - i);
    return Fma(v, v, chain);
  });
  return real{1} / SqrtReal(FmaReal(squares, real{1} / static_cast<real>(width), eps));
}

}  // namespace

void RmsNorm(Stream& stream, const RmsNormArgs& args) {
  const int64_t width = args.x.shape[1];
  const real eps = static_cast<real>(args.eps);
  const real* gain = args.gain.as<real>();
  ParallelRows(stream, args.x.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* x = args.x.as<real>() + t * args.x.row_stride;
      real* out = args.out.as<real>() + t * args.out.row_stride;
      const Lanes inv = Set(InverseRms(x, width, eps));
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i;
        StoreFirst(out + i, Mul(Mul(LoadFirst(x + i, n), inv), LoadFirst(gain + i, n)), n);
      }
    }
  });
}

void RmsNormBackward(Stream& stream, const RmsNormBackwardArgs& args) {
  const int64_t tokens = args.x.shape[0], width = args.x.shape[1];
  const real eps = static_cast<real>(args.eps);
  const real* gain = args.gain.as<real>();
  real* inv = args.inv.as<real>();

  ParallelRows(stream, tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* x = args.x.as<real>() + t * args.x.row_stride;
      const real* dy = args.dy.as<real>() + t * args.dy.row_stride;
      real* dx = args.dx.as<real>() + t * args.dx.row_stride;
      const real r = InverseRms(x, width, eps);
      inv[t] = r;
      const real dot = RowTree(width, [&](int64_t i, Lanes chain) {
        const int64_t n = width - i;
        return Fma(Mul(LoadFirst(dy + i, n), LoadFirst(gain + i, n)), LoadFirst(x + i, n), chain);
      });
      const Lanes scale = Set(r);
      const Lanes pull = Set(-(r * r * r * (dot / static_cast<real>(width))));
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i;
        const Lanes g = Mul(LoadFirst(dy + i, n), LoadFirst(gain + i, n));
        const Lanes d = Fma(LoadFirst(x + i, n), pull, Mul(g, scale));
        StoreFirst(dx + i, Add(LoadFirst(dx + i, n), d), n);
      }
    }
  });

  // One chain per column over the tokens in order; columns are independent.
  real* dgain = args.dgain.as<real>();
  ParallelFor(stream, (width + kLanes - 1) / kLanes, [&](int64_t block) {
    const int64_t i = block * kLanes, n = width - i;
    Lanes sum = LoadFirst(dgain + i, n);
    for (int64_t t = 0; t < tokens; ++t) {
      const Lanes x = LoadFirst(args.x.as<real>() + t * args.x.row_stride + i, n);
      const Lanes dy = LoadFirst(args.dy.as<real>() + t * args.dy.row_stride + i, n);
      sum = Fma(dy, Mul(x, Set(inv[t])), sum);
    }
    StoreFirst(dgain + i, sum, n);
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
