#include "kernels/cpu/vec_math.h"
#include "tests/kernels/cpu/vec_math_probe.h"

namespace grouper::cpu::GROUPER_VARIANT {

void VecMathProbe(Stream&, const VecMathProbeArgs& args) {
  for (int64_t i = 0; i < args.a.shape[0]; i += kLanes) {
    const Lanes a = Load(args.a.as<real>() + i), b = Load(args.b.as<real>() + i),
                c = Load(args.c.as<real>() + i);
    Store(args.fma.as<real>() + i, Fma(a, b, c));
    Store(args.exp.as<real>() + i, Exp(a));
    Store(args.log.as<real>() + i, Log(b));
  }
}

}  // namespace grouper::cpu::GROUPER_VARIANT
