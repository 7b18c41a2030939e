// Gradient of a packed weight, compiled per instruction set: the tile of tile.h with tokens as its
// depth. Both operands are copied into the order in which the tile reads them, tokens apart by a
// tile's width, in blocks that stay in L1 and L2. A copy changes no bit.
#pragma once

#include "kernels/gemm/row_product.h"
#include "kernels/gemm/tile.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kGradTokens = 256 / (kTileVectors > 1 ? 2 : 1);  // of a block
constexpr int64_t kGradPanels = 8;                                 // of a group
constexpr int64_t kGradTiles = 8;                                  // of rows, copied at a time
constexpr int64_t kGradWidth = kTileVectors * kLanes;
constexpr int64_t kMove = kTileRows > 8 ? 16 : kTileRows > 2 ? 8 : 2;  // elements moved at once
constexpr int64_t kTileStride = kTileRows * kGradTokens + kMove;       // of copied tiles of x

// Tokens [begin, begin + tokens) of dy's columns [column, columns): at most kGradWidth a token.
GROUPER_INLINE void CopyColumns(const real* dy, int64_t stride, int64_t begin, int64_t tokens,
                                int64_t column, int64_t columns, real* to) {
  for (int64_t t = 0; t < tokens; ++t) {
    const real* row = dy + (begin + t) * stride;
    for (int v = 0; v < kTileVectors; ++v) {
      const int64_t at = column + v * kLanes;
      Store(to + t * kGradWidth + v * kLanes,
            at < columns ? LoadFirst(row + at, columns - at) : Zero());
    }
  }
}

// kRows rows of the gradient by one tile's columns; a chain over tokens goes on. x [tokens][kRows].
template <int kRows>
GROUPER_INLINE void GradTile(const real* x, const real* dy, int64_t tokens, real* grad) {
  Lanes acc[kRows][kTileVectors];
  const real* rows[kRows];
  for (int r = 0; r < kRows; ++r) {
    rows[r] = x + r;
    for (int v = 0; v < kTileVectors; ++v) {
      acc[r][v] = Load(grad + r * kPanelColumns + v * kLanes);
      __builtin_prefetch(grad + (kRows + r) * kPanelColumns + v * kLanes, 1);  // the next tile's
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    MultiplyOne<kRows, kTileVectors>(acc, rows, kRows, dy, kGradWidth, 0, t);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) Store(grad + r * kPanelColumns + v * kLanes, acc[r][v]);
  }
}

// Columns [k, k + kRows) of x, token after token.
template <int kRows>
GROUPER_INLINE void CopyRows(const RowSource& x, int64_t begin, int64_t tokens, int64_t k,
                             real* to) {
  for (int64_t t = 0; t < tokens; ++t) {
    const real* from = x.row(begin + t) + k;
    for (int r = 0; r < kRows; ++r) to[t * kRows + r] = from[r];
  }
}

// The same for several full tiles side by side, a row of x at a time: rows lie far apart, and each
// of their cache lines passes once. A tile's elements move as one vector, whose surplus the next
// token overwrites; the row's last tile, where that would read behind the row, moves one by one.
GROUPER_INLINE void CopyTiles(const RowSource& x, int64_t begin, int64_t tokens, int64_t k,
                              int64_t tiles, int64_t in, real* to) {
  const bool last = k + (tiles - 1) * kTileRows + kMove > in;
  const int64_t moved = last ? tiles - 1 : tiles;
  for (int64_t t = 0; t < tokens; ++t) {
    const real* from = x.row(begin + t) + k;
    real* tile = to + t * kTileRows;
    for (int64_t i = 0; i < moved; ++i) {
      __builtin_memcpy(tile + i * kTileStride, from + i * kTileRows, kMove * sizeof(real));
    }
  }
  if (last) {
    CopyRows<kTileRows>(x, begin, tokens, k + moved * kTileRows, to + moved * kTileStride);
  }
}

// The rows behind the last full tile.
template <int kRows>
GROUPER_INLINE void LastRows(const RowSource& x, int64_t begin, int64_t tokens, int64_t k,
                             int64_t count, const real* dy, int64_t parts, real* copied, real* grad,
                             int64_t in) {
  if constexpr (kRows > 0) {
    if (count < kRows) {
      LastRows<kRows - 1>(x, begin, tokens, k, count, dy, parts, copied, grad, in);
      return;
    }
    CopyRows<kRows>(x, begin, tokens, k, copied);
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t column = p * kGradWidth;
      GradTile<kRows>(
          copied, dy + p * kGradTokens * kGradWidth, tokens,
          grad + (column / kPanelColumns * in + k) * kPanelColumns + column % kPanelColumns);
    }
  }
}

// Panels [panel, panel + panels) of one gradient, panels <= kGradPanels, over tokens [begin, end).
__attribute__((noinline)) void GradPanels(const RowSource& x, const real* dy, int64_t dy_stride,
                                          int64_t begin, int64_t end, real* gradient, int64_t in,
                                          int64_t panel, int64_t panels, int64_t columns) {
  real copied_dy[kGradPanels * kPanelColumns * kGradTokens], copied_x[kGradTiles * kTileStride];
  real* grad = gradient + panel * in * kPanelColumns;
  const int64_t parts = panels * kPanelColumns / kGradWidth, full = in / kTileRows * kTileRows;
  for (int64_t at = begin; at < end; at += kGradTokens) {
    const int64_t tokens = end - at < kGradTokens ? end - at : kGradTokens;
    for (int64_t p = 0; p < parts; ++p) {
      CopyColumns(dy, dy_stride, at, tokens, panel * kPanelColumns + p * kGradWidth, columns,
                  copied_dy + p * kGradTokens * kGradWidth);
    }
    for (int64_t k = 0; k < full; k += kGradTiles * kTileRows) {
      const int64_t rest = (full - k) / kTileRows, tiles = rest < kGradTiles ? rest : kGradTiles;
      CopyTiles(x, at, tokens, k, tiles, in, copied_x);
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t column = p * kGradWidth;
        for (int64_t i = 0; i < tiles; ++i) {
          GradTile<kTileRows>(
              copied_x + i * kTileStride, copied_dy + p * kGradTokens * kGradWidth, tokens,
              grad + (column / kPanelColumns * in + k + i * kTileRows) * kPanelColumns +
                  column % kPanelColumns);
        }
      }
    }
    LastRows<kTileRows - 1>(x, at, tokens, full, in - full, copied_dy, parts, copied_x, grad, in);
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
