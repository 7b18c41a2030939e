// The gated unit of Shazeer 2020 (arXiv:2002.05202): out = (gate * sigmoid(gate)) * up. The sigmoid
// is computed from exp(-|x|) (docs/numerics.md 3).
#pragma once

#include "kernels/op.h"

namespace grouper {

struct SwigluArgs {
  Tensor gate_up;  // [rows, 2 * width]: gate first, then up
  Tensor out;      // [rows, width]
};
GROUPER_OP(Swiglu)

// dgate = dout * up * (s + gate * s * (1 - s)); dup = dout * gate * s; s = sigmoid(gate).
struct SwigluBackwardArgs {
  Tensor gate_up;   // [rows, 2 * width], the forward's input
  Tensor dout;      // [rows, width]
  Tensor dgate_up;  // [rows, 2 * width]; may be gate_up
};
GROUPER_OP(SwigluBackward)

}  // namespace grouper
