// The sum over a row in a fixed order, called R256 (numerics::kTreeLanes): element i of the row
// belongs to tree lane i mod 256. Each tree lane adds its elements in ascending order, one chain.
// Then the 256 chains are added in pairs whose lane numbers differ in one bit: bit 7 first (lane l
// and l + 128), then bit 6, down to bit 0. The order depends on the width of the row only.
//
// Tree lanes 16 c .. 16 c + 15 are the sixteen lanes of chain[c].
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {

inline constexpr int kTreeChains = static_cast<int>(numerics::kTreeLanes) / kLanes;
// Vectors of chains that a narrow row has: few enough to stay in registers.
inline constexpr int kNarrowChains = 4;

// Adds chains by bits 7 to 4, then SumTree adds the lanes by bits 3 to 0. A narrow row has no
// elements for the chains from kChains on: they are +0. Adding +0 changes a sum only by turning -0
// into +0, so one addition of +0 does what all of them would do.
template <int kChains>
GROUPER_INLINE real FoldTree(Lanes (&chain)[kChains]) {
  if (kChains < kTreeChains) {
    for (int i = 0; i < kChains; ++i) chain[i] = Add(chain[i], Zero());
  }
  for (int step = kChains / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) chain[i] = Add(chain[i], chain[i + step]);
  }
  return SumTree(chain[0]);
}

// step(i, chain) continues a chain by elements i .. i + 15; those past the width count as 0.
template <int kChains, typename Step>
GROUPER_INLINE real TreeOf(int64_t width, Step&& step) {
  Lanes chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = Zero();
  for (int64_t begin = 0; begin < width; begin += kChains * kLanes) {
    for (int c = 0; c < kChains; ++c) {
      const int64_t i = begin + c * kLanes;
      if (i < width) chain[c] = step(i, chain[c]);
    }
  }
  return FoldTree(chain);
}

// The sum of a row of `width` elements; step as above.
template <typename Step>
GROUPER_INLINE real RowTree(int64_t width, Step&& step) {
  if (width <= kNarrowChains * kLanes) return TreeOf<kNarrowChains>(width, step);
  return TreeOf<kTreeChains>(width, step);
}

}  // namespace grouper::cpu::GROUPER_VARIANT
