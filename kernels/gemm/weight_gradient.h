// Gradient of a packed weight, compiled per instruction set: grad += x^T * dy.
//
// The tile is that of tile.h with tokens as its depth: its rows are kTileRows columns of x, its
// columns are columns of dy, and every number of the gradient is one chain over the tokens.
//
//        dy [tokens, out]             x [tokens, in]                grad [panels][in][32]
//   at +------------------+        +---------------------+        +------------------+
//      | block of tokens  |        | tile|tile| ...      |      k |  tile (k, part)  |
//      | part 0 | part 1..|        | (kGradTiles copied  |        |                  |
//   +  +------------------+        |  at a time)         |        +------------------+
//
// Loops, outermost first: blocks of kGradTokens tokens; tiles of x; parts of dy (kGradWidth
// columns); tokens. Both operands are copied first into the order in which a tile reads them, so
// that they stay in L1 and L2. A copy changes no bit.
#pragma once

#include "kernels/gemm/row_product.h"
#include "kernels/gemm/tile.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kGradTokens = 256 / (kTileVectors > 1 ? 2 : 1);      // of a block
constexpr int64_t kGradPanels = 8;                                     // of a group
constexpr int64_t kGradTiles = 8;                                      // of x, copied at a time
constexpr int64_t kGradWidth = kTileVectors * kLanes;                  // columns of a part
constexpr int64_t kMove = kTileRows > 8 ? 16 : kTileRows > 2 ? 8 : 2;  // numbers moved at once
constexpr int64_t kTileStride = kTileRows * kGradTokens + kMove;       // between copied tiles of x

// One gradient: a matrix of tokens and one weight.
struct GradArgs {
  RowSource x;     // rows of `in` numbers
  const real* dy;  // [tokens, out]
  int64_t dy_stride;
  real* grad;  // [panels][in][32]
  int64_t in, out;
};

// Up to kGradTokens tokens.
struct TokenBlock {
  int64_t begin, count;
};

// Columns [column, column + kGradWidth) of dy; columns past `out` are 0. to [tokens][kGradWidth].
GROUPER_INLINE void CopyColumns(const GradArgs& g, TokenBlock tokens, int64_t column, real* to) {
  for (int64_t t = 0; t < tokens.count; ++t) {
    const real* row = g.dy + (tokens.begin + t) * g.dy_stride;
    for (int v = 0; v < kTileVectors; ++v) {
      const int64_t at = column + v * kLanes;
      Store(to + t * kGradWidth + v * kLanes,
            at < g.out ? LoadFirst(row + at, g.out - at) : Zero());
    }
  }
}

// Columns [k, k + kRows) of x. to [tokens][kRows].
template <int kRows>
GROUPER_INLINE void CopyRows(const RowSource& x, TokenBlock tokens, int64_t k, real* to) {
  for (int64_t t = 0; t < tokens.count; ++t) {
    const real* from = x.row(tokens.begin + t) + k;
    for (int r = 0; r < kRows; ++r) to[t * kRows + r] = from[r];
  }
}

// The same for several full tiles, a row of x at a time: rows lie far apart, and each of their
// cache lines passes once. The numbers of a tile move as one vector, whose surplus the next token
// overwrites. The last tile of a row moves number by number where that would read past the row.
GROUPER_INLINE void CopyTiles(const GradArgs& g, TokenBlock tokens, int64_t k, int64_t tiles,
                              real* to) {
  const bool last = k + (tiles - 1) * kTileRows + kMove > g.in;
  const int64_t moved = last ? tiles - 1 : tiles;
  for (int64_t t = 0; t < tokens.count; ++t) {
    const real* from = g.x.row(tokens.begin + t) + k;
    real* tile = to + t * kTileRows;
    for (int64_t i = 0; i < moved; ++i) {
      __builtin_memcpy(tile + i * kTileStride, from + i * kTileRows, kMove * sizeof(real));
    }
  }
  if (last) CopyRows<kTileRows>(g.x, tokens, k + moved * kTileRows, to + moved * kTileStride);
}

// kRows rows of the gradient by one part's columns; their chains continue from what grad holds.
// x [tokens][kRows], dy [tokens][kGradWidth].
template <int kRows>
GROUPER_INLINE void GradTile(const real* x, const real* dy, int64_t tokens, real* grad) {
  Lanes acc[kRows][kTileVectors];
  TileOperands<kRows> operands;
  for (int r = 0; r < kRows; ++r) {
    operands.left[r] = x + r;
    for (int v = 0; v < kTileVectors; ++v) {
      acc[r][v] = Load(grad + r * kPanelColumns + v * kLanes);
      __builtin_prefetch(grad + (kRows + r) * kPanelColumns + v * kLanes, 1);  // the next tile's
    }
  }
  operands.left_step = kRows;
  operands.right = dy;
  operands.right_step = kGradWidth;
  operands.panel_step = 0;
  for (int64_t t = 0; t < tokens; ++t) MultiplyOne<kRows, kTileVectors>(acc, operands, t);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) Store(grad + r * kPanelColumns + v * kLanes, acc[r][v]);
  }
}

// A group of panels during one block of tokens.
struct GradGroup {
  real* grad;  // of the group's first panel
  int64_t in;
  int64_t parts;   // of dy's columns, kGradWidth each
  const real* dy;  // [parts][kGradTokens][kGradWidth] copied
  GROUPER_INLINE const real* Dy(int64_t part) const { return dy + part * kGradTokens * kGradWidth; }
  GROUPER_INLINE real* Grad(int64_t part, int64_t k) const {
    const int64_t column = part * kGradWidth;
    return grad + (column / kPanelColumns * in + k) * kPanelColumns + column % kPanelColumns;
  }
};

// The `count` < kTileRows rows after the last full tile, from k on.
template <int kRows>
GROUPER_INLINE void LastRows(const RowSource& x, const GradGroup& group, TokenBlock tokens,
                             int64_t k, int64_t count, real* copied) {
  if constexpr (kRows > 0) {
    if (count < kRows) {
      LastRows<kRows - 1>(x, group, tokens, k, count, copied);
      return;
    }
    CopyRows<kRows>(x, tokens, k, copied);
    for (int64_t p = 0; p < group.parts; ++p) {
      GradTile<kRows>(copied, group.Dy(p), tokens.count, group.Grad(p, k));
    }
  }
}

// At most kGradPanels panels of one gradient.
__attribute__((noinline)) void GradPanels(const GradArgs& g, Range tokens, Range panels) {
  real copied_dy[kGradPanels * kPanelColumns * kGradTokens], copied_x[kGradTiles * kTileStride];
  const GradGroup group{.grad = g.grad + panels.begin * g.in * kPanelColumns,
                        .in = g.in,
                        .parts = panels.size() * kPanelColumns / kGradWidth,
                        .dy = copied_dy};
  const int64_t full = g.in / kTileRows * kTileRows;
  for (int64_t at = tokens.begin; at < tokens.end; at += kGradTokens) {
    const TokenBlock block{at, tokens.end - at < kGradTokens ? tokens.end - at : kGradTokens};
    for (int64_t p = 0; p < group.parts; ++p) {
      CopyColumns(g, block, panels.begin * kPanelColumns + p * kGradWidth,
                  copied_dy + p * kGradTokens * kGradWidth);
    }
    for (int64_t k = 0; k < full; k += kGradTiles * kTileRows) {
      const int64_t rest = (full - k) / kTileRows, tiles = rest < kGradTiles ? rest : kGradTiles;
      CopyTiles(g, block, k, tiles, copied_x);
      for (int64_t p = 0; p < group.parts; ++p) {
        for (int64_t i = 0; i < tiles; ++i) {
          GradTile<kTileRows>(copied_x + i * kTileStride, group.Dy(p), block.count,
                              group.Grad(p, k + i * kTileRows));
        }
      }
    }
    LastRows<kTileRows - 1>(g.x, group, block, full, g.in - full, copied_x);
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
