// Rows times a packed weight, compiled per instruction set: out = x * weight.
//
//   weight [in, out]: panels of 32 columns           x [rows, in]           out [rows, out]
//
//            panel 0  panel 1  panel 2            0    192        in     panel 0  panel 1
//   k =   0 +--------+--------+--------+         +-----+-----+-----+     +--------+--------+
//           | block  |        |        |         |tile |     |     | ^   |  tile  |        |
//           |  of    |        |        |         +-----+     |     | |   +--------+        |
//           | depth  |        |        |         |tile |     |     | c   |  tile  |        |
//       192 +--------+        |        |         +-----+     |     | h   +--------+        |
//           | block  |        |        |         | ... |     |     | u   |  ...   |        |
//           |  ...   |        |        |         |     |     |     | n   |        |        |
//           |        |        |        |         |     |     |     | k   |        |        |
//       in  +--------+--------+--------+         +-----+-----+-----+ v   +--------+--------+
//                                                |   next chunk    |     |   next chunk    |
//
// Tile: kTileRows x 16 * kTileVectors outputs in registers (tile.h).
// Block of the depth: up to kDepthBlock numbers k of one panel. It stays in the L1 cache while all
//   tiles of the chunk use it.
// Chunk: up to kChunkRows rows. Its block of x stays in the L2 cache while panels pass.
// Group: in a deep product, kDeepPanels panels share a block of x, which no longer fits otherwise.
//
// Loops, outermost first: chunks of rows; groups of panels; blocks of the depth; panels of the
// group; tiles of the chunk; k. Between two blocks the accumulators are kept in memory as they are
// (`resting`), so every output is still one chain over k: no loop changes a bit.
#pragma once

#include "kernels/gemm/tile.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// A block of a panel, [kDepthBlock][32], fills three quarters of 32 KiB.
constexpr int64_t kDepthBlock = 192;
// A product deeper than kDeep has groups of kDeepPanels panels: all of a chunk's x exceeds L2.
constexpr int64_t kDeep = 4000, kDeepPanels = 8;
// Most rows of a chunk, in full tiles.
constexpr int64_t kChunkRows = (132 + kTileRows - 1) / kTileRows * kTileRows;

// Row r of a product reads row index[r] of x, or row r where there is no index.
struct RowSource {
  const real* x;         // [rows of x, in]
  int64_t stride;        // between rows of x
  const int32_t* index;  // nullptr: identity
  GROUPER_INLINE const real* row(int64_t r) const {
    return x + (index == nullptr ? r : index[r]) * stride;
  }
};

struct Outputs {
  real* out;  // [rows, columns]
  int64_t stride;
  const real* bias;      // [columns]; nullptr: chains start at +0
  const real* residual;  // [rows, columns]; nullptr: none
  int64_t residual_stride;
  int64_t columns;
};

// One product: a matrix of rows and one weight.
struct ProductArgs {
  RowSource x;
  const real* weight;  // [panels][in][32]
  int64_t in;
  Outputs out;
  GROUPER_INLINE const real* Weight(int64_t panel, int64_t k) const {
    return weight + (panel * in + k) * kPanelColumns;
  }
};

// A block of the depth of one panel (SingleRow: of several panels, panel_step apart).
struct DepthBlock {
  const real* weight;  // at k
  int64_t panel_step;
  int64_t k, depth;
  bool first, last;
  int64_t lines;  // of the next block's weights, brought near by a tile with each run of k
};

// Where a tile lies, and its memory.
struct TilePlace {
  int64_t row, column;
  real* resting;      // [kRows][32] accumulators between two blocks
  const real* ahead;  // the part of the next block that this tile brings near
};

template <int kRows, int kVectors>
GROUPER_INLINE void RowTile(const ProductArgs& p, const DepthBlock& b, const TilePlace& at) {
  const Outputs& o = p.out;
  TileOperands<kRows> operands;
  for (int r = 0; r < kRows; ++r) operands.left[r] = p.x.row(at.row + r) + b.k;
  if (b.last) {
    // Brings near where the tile will be stored, so that no store waits for memory.
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        __builtin_prefetch(o.out + (at.row + r) * o.stride + at.column + v * kLanes, 1);
      }
    }
  }
  Lanes acc[kRows][kVectors];
  if (!b.first) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        acc[r][v] = Load(at.resting + r * kPanelColumns + v * kLanes);
      }
    }
  } else {
    for (int v = 0; v < kVectors; ++v) {
      const int64_t c = at.column + v * kLanes;
      const Lanes start =
          o.bias == nullptr || c >= o.columns ? Zero() : LoadFirst(o.bias + c, o.columns - c);
      for (int r = 0; r < kRows; ++r) acc[r][v] = start;
    }
  }
  operands.left_step = 1;
  operands.right = b.weight + at.column % kPanelColumns;
  operands.right_step = kPanelColumns;
  operands.panel_step = b.panel_step;
  Multiply<kRows, kVectors>(acc, operands, b.depth, {at.ahead, b.lines});
  // Both loops must be unrolled completely, or acc would live in memory.
  if (!b.last) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        Store(at.resting + r * kPanelColumns + v * kLanes, acc[r][v]);
      }
    }
    return;
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const int64_t c = at.column + v * kLanes, n = o.columns - c;
    if (n <= 0) break;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      Lanes y = acc[r][v];
      if (o.residual != nullptr) {
        y = Add(y, LoadFirst(o.residual + (at.row + r) * o.residual_stride + c, n));
      }
      StoreFirst(o.out + (at.row + r) * o.stride + c, y, n);
    }
  }
}

// `count` rows from at.row on of one panel's block, the largest tile first.
template <int kRows>
GROUPER_INLINE void RowTiles(const ProductArgs& p, const DepthBlock& b, TilePlace at,
                             int64_t count) {
  if constexpr (kRows > 0) {
    // A tile of few rows takes all vectors of the panel, so that enough chains are in flight.
    constexpr int kVectors =
        kPanelVectors * kRows <= kTileRows * kTileVectors ? kPanelVectors : kTileVectors;
    for (; count >= kRows; at.row += kRows, count -= kRows, at.resting += kRows * kPanelColumns) {
      for (int v = 0; v < kPanelVectors; v += kVectors) {
        RowTile<kRows, kVectors>(
            p, b, {at.row, at.column + v * kLanes, at.resting + v * kLanes, at.ahead});
        at.ahead += b.depth / kRun * b.lines * kLineReals;
      }
    }
    RowTiles<kRows - 1>(p, b, at, count);
  }
}

// One row: the weights pass once, several panels at a time.
GROUPER_INLINE void SingleRow(const ProductArgs& p, int64_t row, Range panels) {
  DepthBlock b{.weight = nullptr,
               .panel_step = p.in * kPanelColumns,
               .k = 0,
               .depth = p.in,
               .first = true,
               .last = true,
               .lines = 0};
  int64_t panel = panels.begin;
  for (; panel + kSinglePanels <= panels.end; panel += kSinglePanels) {
    b.weight = p.Weight(panel, 0);
    RowTile<1, kPanelVectors * kSinglePanels>(p, b, {row, panel * kPanelColumns, nullptr, nullptr});
  }
  for (; panel < panels.end; ++panel) {
    b.weight = p.Weight(panel, 0);
    RowTile<1, kPanelVectors>(p, b, {row, panel * kPanelColumns, nullptr, nullptr});
  }
}

__attribute__((noinline)) void Product(const ProductArgs& p, Range rows, Range panels) {
  if (rows.size() == 1) {
    SingleRow(p, rows.begin, panels);
    return;
  }
  real resting[kDeepPanels * kChunkRows * kPanelColumns];
  // A single tile of rows reads the weights once: there is nothing to keep near.
  const int64_t blocks = rows.size() <= kTileRows ? 1 : (p.in + kDepthBlock - 1) / kDepthBlock;
  const int64_t group = p.in > kDeep ? kDeepPanels : 1;
  // Chunks of about equal size: a short last one would read all weights for a few rows.
  const int64_t chunks = (rows.size() + kChunkRows - 1) / kChunkRows;
  const int64_t share = (rows.size() + chunks - 1) / (chunks > 0 ? chunks : 1);
  const int64_t chunk = (share + kTileRows - 1) / kTileRows * kTileRows;
  for (int64_t row = rows.begin; row < rows.end; row += chunk) {
    const int64_t count = rows.end - row < chunk ? rows.end - row : chunk;
    // The tiles of a block share the work of bringing the next block near.
    const int64_t tiles = (count + kTileRows - 1) / kTileRows * (kPanelVectors / kTileVectors);
    const int64_t share_of_run = (kRun * kPanelVectors + tiles - 1) / tiles;
    const int64_t lines = share_of_run < kRun ? share_of_run : kRun;
    for (int64_t from = panels.begin; from < panels.end; from += group) {
      const int64_t width = panels.end - from < group ? panels.end - from : group;
      for (int64_t step = 0; step < blocks * width; ++step) {
        const int64_t i = step / width, panel = from + step % width;
        const int64_t k = p.in * i / blocks, next = p.in * (i + 1) / blocks;
        const bool more = step % width + 1 < width;  // the group has another panel for this block
        const DepthBlock b{.weight = p.Weight(panel, k),
                           .panel_step = 0,
                           .k = k,
                           .depth = next - k,
                           .first = i == 0,
                           .last = i + 1 == blocks,
                           .lines = lines};
        RowTiles<kTileRows>(
            p, b,
            {row, panel * kPanelColumns, resting + (panel - from) * chunk * kPanelColumns,
             more ? p.Weight(panel + 1, k) : p.Weight(from, next)},
            count);
      }
    }
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
