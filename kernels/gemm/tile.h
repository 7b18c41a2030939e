// The micro-kernel of all products, compiled per instruction set. A tile is kRows x (16 * kVectors)
// outputs, one accumulator each, K ascending: how rows and columns are tiled changes no bit.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

using numerics::kPanelColumns;
// Vectors of a panel's row.
constexpr int kPanelVectors = static_cast<int>(kPanelColumns) / kLanes;
// Numbers of a cache line.
constexpr int64_t kLineReals = 16;

// A full tile: as many accumulators as fit into the registers beside its operands.
#if defined(GROUPER_FORM_AVX512)
constexpr int kTileRows = 14;
constexpr int kTileVectors = 2;
constexpr int kSinglePanels = 4;  // of one row
#elif defined(GROUPER_FORM_AVX2)
constexpr int kTileRows = 6;
constexpr int kTileVectors = 1;
constexpr int kSinglePanels = 3;
#else
constexpr int kTileRows = 2;
constexpr int kTileVectors = 2;
constexpr int kSinglePanels = 1;
#endif

// acc[r][v] = fma(a(r, k), b(k)[v], acc[r][v]), one k. a(r, k) = rows[r][k * a_step]; vectors lie
// side by side in panels of two, `panel_step` apart: b + k * b_step.
template <int kRows, int kVectors>
GROUPER_INLINE void MultiplyOne(Lanes (&acc)[kRows][kVectors], const real* const* rows,
                                int64_t a_step, const real* b, int64_t b_step, int64_t panel_step,
                                int64_t k) {
  Lanes w[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    w[v] = Load(b + v / kPanelVectors * panel_step + v % kPanelVectors * kLanes + k * b_step);
  }
  for (int r = 0; r < kRows; ++r) {
    const Lanes x = Set(rows[r][k * a_step]);
    for (int v = 0; v < kVectors; ++v) acc[r][v] = Fma(x, w[v], acc[r][v]);
  }
}

// The same for k = 0 .. depth-1, by runs of a length that the compiler knows. With each run `lines`
// cache lines of what comes next are brought near, from `fetch` on.
constexpr int64_t kRun = 32;
template <int kRows, int kVectors>
GROUPER_INLINE void Multiply(Lanes (&acc)[kRows][kVectors], const real* const* rows, int64_t a_step,
                             const real* b, int64_t b_step, int64_t panel_step, int64_t depth,
                             const real* fetch, int64_t lines) {
  int64_t k = 0;
  for (; k + kRun <= depth; k += kRun) {
    for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(fetch + i * kLineReals, 0, 2);
    fetch += lines * kLineReals;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kRun; ++i) {
      MultiplyOne<kRows, kVectors>(acc, rows, a_step, b, b_step, panel_step, k + i);
    }
  }
  for (; k < depth; ++k) {
    MultiplyOne<kRows, kVectors>(acc, rows, a_step, b, b_step, panel_step, k);
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
