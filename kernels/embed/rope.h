// Rotary position embedding (Su et al. 2021), in place. Half pairs are (i, i + dim / 2),
// interleaved pairs (2i, 2i + 1). Every output is one multiply and one fma: fma(-x2, sin, x1 * cos)
// and fma(x2, cos, x1 * sin).
#pragma once

#include "kernels/op.h"

namespace grouper {

struct RopeArgs {
  Tensor x;          // [tokens, heads * head_dim] in and out; rows may be strided
  Tensor positions;  // [tokens] int32, < rows of cos
  Tensor cos;        // [max_positions, head_dim / 2]
  Tensor sin;        // [max_positions, head_dim / 2]
  int64_t head_dim = 0;
  bool interleaved = false;
  bool inverse = false;  // the backward: rotate by the negated angle
};
GROUPER_OP(Rope)

}  // namespace grouper
