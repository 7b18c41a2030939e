#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/optim/adamw.h"

namespace grouper::cpu::GROUPER_VARIANT {

void Adamw(Stream& stream, const AdamwArgs& args) {
  // Corrections in double, rounded once.
  double power1 = 1, power2 = 1;
  for (int64_t i = 0; i < args.update; ++i) {
    power1 *= args.beta1;
    power2 *= args.beta2;
    if (power1 < 1e-300 && power2 < 1e-300) break;
  }
  const Lanes c1 = Set(static_cast<real>(1 - power1)), c2 = Set(static_cast<real>(1 - power2));
  const Lanes b1 = Set(static_cast<real>(args.beta1)), b2 = Set(static_cast<real>(args.beta2));
  const Lanes n1 = Set(static_cast<real>(1 - args.beta1)),
              n2 = Set(static_cast<real>(1 - args.beta2));
  const Lanes scale = Set(static_cast<real>(args.grad_scale)),
              eps = Set(static_cast<real>(args.eps));
  const Lanes lr = Set(static_cast<real>(args.lr));
  const Lanes decay = Set(static_cast<real>(args.lr * args.weight_decay));
  ParallelRows(stream, args.param.shape[0], 16384, [&](int64_t begin, int64_t end) {
    Lanes finite = Zero();  // turns into NaN for good at the first number that is not finite
    for (int64_t i = begin; i < end; i += kLanes) {
      const int64_t n = end - i;
      real *p = args.param.as<real>() + i, *m = args.m.as<real>() + i, *v = args.v.as<real>() + i;
      const Lanes g = Mul(LoadFirst(args.grad.as<real>() + i, n), scale);
      const Lanes m1 = Fma(n1, g, Mul(b1, LoadFirst(m, n)));
      const Lanes v1 = Fma(n2, Mul(g, g), Mul(b2, LoadFirst(v, n)));
      Lanes x = LoadFirst(p, n);
      x = Sub(x, Mul(decay, x));
      const Lanes step = Div(Div(m1, c1), Add(Sqrt(Div(v1, c2)), eps));
      x = Sub(x, Mul(lr, step));
      StoreFirst(p, x, n);
      StoreFirst(m, m1, n);
      StoreFirst(v, v1, n);
      Lanes seen = Fma(x, Zero(), Fma(m1, Zero(), Mul(v1, Zero())));  // 0, or NaN
      if (n < kLanes) seen = Select(FirstMask(n), seen, Zero());  // no element is behind the rest
      finite = Add(finite, seen);
    }
    if (!args.not_finite.empty() && Bits(Equal(finite, finite)) != 0xffffu) {
      __atomic_store_n(args.not_finite.as<int32_t>(), 1, __ATOMIC_RELAXED);
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
