// Rows times a packed weight, compiled per instruction set. Loops around the tile of tile.h: rows
// in chunks, of a chunk one panel of 32 columns (of a deep product: a group of panels) after the
// other, of a panel a block of the depth that stays in the L1 cache while all rows of the chunk
// pass. Between two blocks a chain rests in memory, in full; no loop changes a bit.
#pragma once

#include "kernels/gemm/tile.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// A block of a panel, [kDepthBlock][32], fills three quarters of 32 KiB.
constexpr int64_t kDepthBlock = 192;
// Beyond this depth a chunk's x leaves L2: each of its blocks passes several panels.
constexpr int64_t kDeep = 4000, kDeepPanels = 8;
// Most rows of a chunk, in full tiles: their block of x stays in L2 beside the weights that pass.
constexpr int64_t kChunkRows = (132 + kTileRows - 1) / kTileRows * kTileRows;

// Row r of a product reads x row source(r): the row itself, or through a list.
struct RowSource {
  const real* x;
  int64_t stride;
  const int32_t* index;  // nullptr: identity
  GROUPER_INLINE const real* row(int64_t r) const {
    return x + (index == nullptr ? r : index[r]) * stride;
  }
};

struct Outputs {
  real* out;
  int64_t stride;
  const real* bias;      // nullptr: chains start at +0
  const real* residual;  // nullptr: none
  int64_t residual_stride;
  int64_t columns;
};

// One block of one panel.
struct DepthBlock {
  const real* weight;  // of its first k
  int64_t panel_step;
  int64_t k, depth;
  bool first, last;
  int64_t lines;  // of the next block's weights that a tile brings near with each run of k
};

template <int kRows, int kVectors>
GROUPER_INLINE void RowTile(const RowSource& source, const DepthBlock& b, const Outputs& o,
                            int64_t row, int64_t column, real* resting, const real* fetch) {
  const real* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = source.row(row + r) + b.k;
  if (b.last) {
    // Where the tile is stored, so that no store waits for memory.
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        __builtin_prefetch(o.out + (row + r) * o.stride + column + v * kLanes, 1);
      }
    }
  }
  Lanes acc[kRows][kVectors];
  if (!b.first) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Load(resting + r * kPanelColumns + v * kLanes);
    }
  } else {
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * kLanes;
      const Lanes start =
          o.bias == nullptr || at >= o.columns ? Zero() : LoadFirst(o.bias + at, o.columns - at);
      for (int r = 0; r < kRows; ++r) acc[r][v] = start;
    }
  }
  const real* weight = b.weight + column % kPanelColumns;
  Multiply<kRows, kVectors>(acc, rows, 1, weight, kPanelColumns, b.panel_step, b.depth, fetch,
                            b.lines);
  // Unrolled whole, or acc would live in memory.
  if (!b.last) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) Store(resting + r * kPanelColumns + v * kLanes, acc[r][v]);
    }
    return;
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = column + v * kLanes, n = o.columns - at;
    if (n <= 0) break;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      Lanes y = acc[r][v];
      if (o.residual != nullptr) {
        y = Add(y, LoadFirst(o.residual + (row + r) * o.residual_stride + at, n));
      }
      StoreFirst(o.out + (row + r) * o.stride + at, y, n);
    }
  }
}

// Rows [row, row + count) of one panel's block; the largest tile first.
template <int kRows>
GROUPER_INLINE void RowTiles(const RowSource& source, const DepthBlock& b, const Outputs& o,
                             int64_t row, int64_t count, int64_t column, real* resting,
                             const real* fetch) {
  if constexpr (kRows > 0) {
    // A tile of few rows takes both vectors, so that enough chains are in flight.
    constexpr int kVectors =
        kPanelVectors * kRows <= kTileRows * kTileVectors ? kPanelVectors : kTileVectors;
    for (; count >= kRows; row += kRows, count -= kRows, resting += kRows * kPanelColumns) {
      for (int v = 0; v < kPanelVectors; v += kVectors) {
        RowTile<kRows, kVectors>(source, b, o, row, column + v * kLanes, resting + v * kLanes,
                                 fetch);
        fetch += b.depth / kRun * b.lines * kLineReals;
      }
    }
    RowTiles<kRows - 1>(source, b, o, row, count, column, resting, fetch);
  }
}

// One row: weights pass once, several panels side by side.
GROUPER_INLINE void SingleRow(const RowSource& source, const real* weight, int64_t in,
                              const Outputs& o, int64_t row, int64_t first, int64_t last) {
  DepthBlock b{.weight = nullptr,
               .panel_step = in * kPanelColumns,
               .k = 0,
               .depth = in,
               .first = true,
               .last = true,
               .lines = 0};
  int64_t panel = first;
  for (; panel + kSinglePanels <= last; panel += kSinglePanels) {
    b.weight = weight + panel * in * kPanelColumns;
    RowTile<1, kPanelVectors * kSinglePanels>(source, b, o, row, panel * kPanelColumns, nullptr,
                                              nullptr);
  }
  for (; panel < last; ++panel) {
    b.weight = weight + panel * in * kPanelColumns;
    RowTile<1, kPanelVectors>(source, b, o, row, panel * kPanelColumns, nullptr, nullptr);
  }
}

// Rows [begin, end) of panels [first, last).
__attribute__((noinline)) void Product(const RowSource& source, const real* weight, int64_t in,
                                       const Outputs& o, int64_t begin, int64_t end, int64_t first,
                                       int64_t last) {
  if (end - begin == 1) {
    SingleRow(source, weight, in, o, begin, first, last);
    return;
  }
  real resting[kDeepPanels * kChunkRows * kPanelColumns];
  // A single tile of rows reads weights once: nothing to keep near.
  const int64_t blocks = end - begin <= kTileRows ? 1 : (in + kDepthBlock - 1) / kDepthBlock;
  const int64_t group = in > kDeep ? kDeepPanels : 1;
  // Chunks of about equal size: a short last one would read all weights for a few rows.
  const int64_t chunks = (end - begin + kChunkRows - 1) / kChunkRows;
  const int64_t share = (end - begin + chunks - 1) / (chunks > 0 ? chunks : 1);
  const int64_t rows = (share + kTileRows - 1) / kTileRows * kTileRows;
  for (int64_t row = begin; row < end; row += rows) {
    const int64_t count = end - row < rows ? end - row : rows;
    const int64_t tiles = (count + kTileRows - 1) / kTileRows * (kPanelVectors / kTileVectors);
    const int64_t share_of_run =
        (kRun * kPanelVectors + tiles - 1) / tiles;  // cache lines of weights
    const int64_t lines = share_of_run < kRun ? share_of_run : kRun;
    for (int64_t from = first; from < last; from += group) {
      const int64_t panels = last - from < group ? last - from : group;
      for (int64_t step = 0; step < blocks * panels; ++step) {
        const int64_t i = step / panels, panel = from + step % panels;
        const int64_t k = in * i / blocks, next = in * (i + 1) / blocks;
        const real* after = step % panels + 1 < panels
                                ? weight + ((panel + 1) * in + k) * kPanelColumns
                                : weight + (from * in + next) * kPanelColumns;
        const DepthBlock b{.weight = weight + (panel * in + k) * kPanelColumns,
                           .panel_step = 0,
                           .k = k,
                           .depth = next - k,
                           .first = i == 0,
                           .last = i + 1 == blocks,
                           .lines = lines};
        RowTiles<kTileRows>(source, b, o, row, count, panel * kPanelColumns,
                            resting + (panel - from) * rows * kPanelColumns, after);
      }
    }
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
