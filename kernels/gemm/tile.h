// The innermost loop of all products, compiled per instruction set. A tile is a small rectangle of
// outputs, kRows x (16 * kVectors), with one accumulator in registers for each. Every accumulator
// adds its products in ascending k, so the way rows and columns are cut into tiles changes no bit.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

using numerics::kPanelColumns;
// Vectors that one row of a panel fills.
constexpr int kPanelVectors = static_cast<int>(kPanelColumns) / kLanes;
// Numbers of a cache line.
constexpr int64_t kLineReals = 16;

// A full tile has as many accumulators as fit into the registers together with the operands.
#if defined(GROUPER_FORM_AVX512)
constexpr int kTileRows = 14;
constexpr int kTileVectors = 2;
constexpr int kSinglePanels = 4;  // panels that a product of one row works on at once
#elif defined(GROUPER_FORM_AVX2)
constexpr int kTileRows = 6;
constexpr int kTileVectors = 1;
constexpr int kSinglePanels = 3;
#else
constexpr int kTileRows = 2;
constexpr int kTileVectors = 2;
constexpr int kSinglePanels = 1;
#endif

// Half-open: [begin, end).
struct Range {
  int64_t begin, end;
  GROUPER_INLINE int64_t size() const { return end - begin; }
};

// The two sides of a tile's product, both at its first k.
template <int kRows>
struct TileOperands {
  const real* left[kRows];  // number (r, k) is left[r][k * left_step]
  int64_t left_step;
  const real* right;  // vector v of row k is at right + k * right_step, two vectors a panel
  int64_t right_step;
  int64_t panel_step;  // from a panel to the next, where the tile is wider than one
};

// Memory that a later tile reads: it is brought near while this one is worked on.
struct Ahead {
  const real* from;
  int64_t lines;  // cache lines with each run of kRun k
};

// acc[r][v] = fma(left(r, k), right(k)[v], acc[r][v]) for one k.
template <int kRows, int kVectors>
GROUPER_INLINE void MultiplyOne(Lanes (&acc)[kRows][kVectors], const TileOperands<kRows>& t,
                                int64_t k) {
  Lanes w[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    w[v] = Load(t.right + v / kPanelVectors * t.panel_step + v % kPanelVectors * kLanes +
                k * t.right_step);
  }
  for (int r = 0; r < kRows; ++r) {
    const Lanes x = Set(t.left[r][k * t.left_step]);
    for (int v = 0; v < kVectors; ++v) acc[r][v] = Fma(x, w[v], acc[r][v]);
  }
}

// The same for k = 0 .. depth - 1, in runs of a length that the compiler knows.
constexpr int64_t kRun = 32;
template <int kRows, int kVectors>
GROUPER_INLINE void Multiply(Lanes (&acc)[kRows][kVectors], const TileOperands<kRows>& t,
                             int64_t depth, Ahead ahead) {
  int64_t k = 0;
  for (; k + kRun <= depth; k += kRun) {
    for (int64_t i = 0; i < ahead.lines; ++i) {
      __builtin_prefetch(ahead.from + i * kLineReals, 0, 2);
    }
    ahead.from += ahead.lines * kLineReals;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kRun; ++i) MultiplyOne<kRows, kVectors>(acc, t, k + i);
  }
  for (; k < depth; ++k) MultiplyOne<kRows, kVectors>(acc, t, k);
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
