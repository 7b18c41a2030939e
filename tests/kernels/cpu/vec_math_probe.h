// A test operator: fma, exp and log of arrays through the 16-lane type of each form.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct VecMathProbeArgs {
  Tensor a, b, c;        // [n], n a multiple of 16
  Tensor fma, exp, log;  // [n] out; exp of a, log of b
};
GROUPER_OP(VecMathProbe)

}  // namespace grouper
