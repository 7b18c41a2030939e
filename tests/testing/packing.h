// Packed weights from and to plain [in][out] matrices, element by element: an oracle independent of
// the operators.
#pragma once

#include "kernels/gemm/matmul.h"
#include "tests/testing/kernel_case.h"

namespace grouper::testing {

inline int64_t PackedAt(int64_t in, int64_t k, int64_t column) {
  return (column / 32 * in + k) * 32 + column % 32;
}

// plain [experts, in, out] -> [experts, panels, in, 32].
inline Owned Pack(const Owned& plain, int64_t experts, int64_t in, int64_t out) {
  Owned packed(plain.view.dtype, {experts, PackedPanels(out), in, 32});
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t k = 0; k < in; ++k) {
      for (int64_t c = 0; c < out; ++c) {
        packed.Put(e * PackedElements(in, out) + PackedAt(in, k, c),
                   plain.Get((e * in + k) * out + c));
      }
    }
  }
  return packed;
}
inline Owned Unpack(const Owned& packed, int64_t experts, int64_t in, int64_t out) {
  Owned plain(packed.view.dtype, {experts, in, out});
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t k = 0; k < in; ++k) {
      for (int64_t c = 0; c < out; ++c) {
        plain.Put((e * in + k) * out + c,
                  packed.Get(e * PackedElements(in, out) + PackedAt(in, k, c)));
      }
    }
  }
  return plain;
}
// The view of one expert as a dense packed weight.
inline Tensor Dense(const Owned& packed) {
  return Tensor::Cube(packed.view.data, packed.view.dtype, packed.view.shape[1],
                      packed.view.shape[2], 32);
}

}  // namespace grouper::testing
