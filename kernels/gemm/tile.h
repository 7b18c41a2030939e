// The micro-kernels of all products, compiled per instruction set. A tile is kRows x (16 *
// kVectors) outputs, one accumulator each, K ascending: how rows and columns are tiled changes no
// bit.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// Rows of a full tile: as many as keep all accumulators in registers beside two operands.
#if defined(GROUPER_FORM_AVX512)
constexpr int kTileRows = 14;
#elif defined(GROUPER_FORM_AVX2)
constexpr int kTileRows = 3;
#else
constexpr int kTileRows = 2;
#endif

// acc[r][v] = fma(a(r, k), b(k)[v], acc[r][v]) for k = 0 .. depth-1. a(r, k) = rows[r][k * a_step];
// b(k) = b + k * b_step, kVectors lanes; panels of 32 columns lie panel_step apart.
template <int kRows, int kPanels>
GROUPER_INLINE void Multiply(Lanes (&acc)[kRows][2 * kPanels], const real* const* rows,
                             int64_t a_step, const real* b, int64_t b_step, int64_t panel_step,
                             int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    Lanes w[2 * kPanels];
    for (int p = 0; p < kPanels; ++p) {
      w[2 * p] = Load(b + p * panel_step + k * b_step);
      w[2 * p + 1] = Load(b + p * panel_step + k * b_step + kLanes);
    }
    for (int r = 0; r < kRows; ++r) {
      const Lanes x = Set(rows[r][k * a_step]);
      for (int v = 0; v < 2 * kPanels; ++v) acc[r][v] = Fma(x, w[v], acc[r][v]);
    }
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
