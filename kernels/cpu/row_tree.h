// The sum over a row in the order R256 of numerics.h: one chain per tree lane, then the lanes by
// index bits 7 to 0.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {

inline constexpr int kTreeChains = static_cast<int>(numerics::kTreeLanes) / kLanes;
// Chains of a narrow row: few enough to stay in registers.
inline constexpr int kNarrowChains = 4;

// Index bits 7 to 4, then the lane bits. Chains beyond kChains are those of elements that the row
// does not have, +0 each: one addition of +0 (it turns -0 into +0) stands for all of theirs.
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

// step(i, chain) continues a chain by the 16 elements from i on; those past the width count as 0.
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

template <typename Step>
GROUPER_INLINE real RowTree(int64_t width, Step&& step) {
  if (width <= kNarrowChains * kLanes) return TreeOf<kNarrowChains>(width, step);
  return TreeOf<kTreeChains>(width, step);
}

}  // namespace grouper::cpu::GROUPER_VARIANT
