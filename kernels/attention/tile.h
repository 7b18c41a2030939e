// The products inside attention, compiled per instruction set. A tile is a few query rows of one kv
// head against one block of 64 keys. Every output is the chain that its row alone would make, so
// the way rows are gathered into tiles changes no bit. Keys that a row must not see are never
// multiplied.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/task_list.h"
#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

using numerics::kKeyBlock;
// Accumulators of a product, counted in vectors: as many as fit into the registers together with
// two operands.
#if defined(GROUPER_FORM_AVX512)
constexpr int kTileLanes = 24;
constexpr int kMostVectors = 4;
#elif defined(GROUPER_FORM_AVX2)
constexpr int kTileLanes = 6;
constexpr int kMostVectors = 2;
#else
constexpr int kTileLanes = 2;
constexpr int kMostVectors = 1;
#endif
// With so few rows (decode), memory is slower than the arithmetic: the next block is prefetched.
constexpr int kFewRows = 4;
// Twelve rows of one vector are enough independent chains.
constexpr int RowsOf(int vectors) { return kTileLanes / vectors < 12 ? kTileLanes / vectors : 12; }

// Rows [begin, end) by tiles: Tile::Run<kRows>(first row), the largest tile first.
template <int kRows, typename Tile>
GROUPER_INLINE void EachTile(const Tile& tile, int64_t begin, int64_t end) {
  if constexpr (kRows > 0) {
    for (; begin + kRows <= end; begin += kRows) tile.template Run<kRows>(begin);
    if (begin < end) EachTile<kRows - 1>(tile, begin, end);
  }
}

template <int kVectors, bool kTail>
GROUPER_INLINE void LoadRow(const real* from, int64_t rest, Lanes (&to)[kVectors]) {
  for (int j = 0; j < kVectors; ++j) {
    to[j] = kTail ? LoadFirst(from, rest) : Load(from + j * kLanes);
  }
}
template <int kVectors, bool kTail>
GROUPER_INLINE void StoreRow(real* to, int64_t rest, const Lanes (&from)[kVectors]) {
  for (int j = 0; j < kVectors; ++j) {
    if (kTail) {
      StoreFirst(to, from[j], rest);
    } else {
      Store(to + j * kLanes, from[j]);
    }
  }
}

// out[r][0..63] = chain over d of rows[r][d] * columns[d][0..63].
struct DotsArgs {
  const real* const* rows;
  const real* columns;  // [depth][64]
  int64_t depth;
  const real* fetch;  // the next block's columns, prefetched meanwhile
  real* out;          // [rows][64]
};

template <int kVectors, bool kFetch>
struct DotsTile {
  const DotsArgs& a;
  int64_t v;  // first vector
  template <int kRows>
  GROUPER_INLINE void Run(int64_t r) const {
    Lanes acc[kRows][kVectors];
    const real* row[kRows];
    for (int i = 0; i < kRows; ++i) {
      row[i] = a.rows[r + i];
      for (int j = 0; j < kVectors; ++j) acc[i][j] = Zero();
    }
    const real* from = a.columns + v * kLanes;
    const real* fetch = a.fetch + v * kLanes;
    for (int64_t d = 0; d < a.depth; ++d) {
      Lanes k[kVectors];
      LoadRow<kVectors, false>(from + d * kKeyBlock, 0, k);
      for (int i = 0; i < kRows; ++i) {
        const Lanes q = Set(row[i][d]);
        for (int j = 0; j < kVectors; ++j) acc[i][j] = Fma(q, k[j], acc[i][j]);
      }
      if (kFetch && kRows <= kFewRows) {
        for (int j = 0; j < kVectors; ++j) __builtin_prefetch(fetch + d * kKeyBlock + j * kLanes);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      StoreRow<kVectors, false>(a.out + (r + i) * kKeyBlock + v * kLanes, 0, acc[i]);
    }
  }
};

// Rows [begin, end), and of the keys only the first `vectors` vectors.
template <bool kFetch, int kVectors = kMostVectors>
GROUPER_INLINE void Dots(const DotsArgs& args, int64_t begin, int64_t end, int64_t vectors,
                         int64_t v = 0) {
  for (; v + kVectors <= vectors; v += kVectors) {
    EachTile<RowsOf(kVectors)>(DotsTile<kVectors, kFetch>{args, v}, begin, end);
  }
  if constexpr (kVectors > 1) Dots<kFetch, kVectors / 2>(args, begin, end, vectors, v);
}

// to[r][d] continues its chain over the keys that row r sees, in ascending order:
// fma(weights[r][j], values[j][d], .) for j < visible[r]. A row sees at least as many keys as the
// row before it.
struct WeightedArgs {
  const real* weights;     // [rows][64]
  const int32_t* visible;  // [rows]
  const real* values;      // [64][depth]
  int64_t depth;
  const real* scale;  // [rows], multiplied into to[r] first; nullptr: none
  const real* fetch;  // the next block's values, as above
  real* const* to;
};

template <int kVectors, bool kTail, bool kFetch>
struct WeightedTile {
  const WeightedArgs& a;
  int64_t d;  // first column
  template <int kRows>
  GROUPER_INLINE void Run(int64_t r) const {
    const int64_t rest = a.depth - d, common = a.visible[r];
    Lanes acc[kRows][kVectors];
    for (int i = 0; i < kRows; ++i) {
      LoadRow<kVectors, kTail>(a.to[r + i] + d, rest, acc[i]);
      if (a.scale != nullptr) {
        for (int j = 0; j < kVectors; ++j) acc[i][j] = Mul(acc[i][j], Set(a.scale[r + i]));
      }
    }
    const real *w = a.weights + r * kKeyBlock, *from = a.values + d;
    const real* fetch = a.fetch + d;
    for (int64_t key = 0; key < common; ++key) {
      Lanes x[kVectors];
      LoadRow<kVectors, kTail>(from + key * a.depth, rest, x);
      for (int i = 0; i < kRows; ++i) {
        const Lanes p = Set(w[i * kKeyBlock + key]);
        for (int j = 0; j < kVectors; ++j) acc[i][j] = Fma(p, x[j], acc[i][j]);
      }
      if (kFetch && kRows <= kFewRows) {
        for (int j = 0; j < kVectors; ++j) __builtin_prefetch(fetch + key * a.depth + j * kLanes);
      }
    }
    for (int i = 0; i < kRows; ++i) StoreRow<kVectors, kTail>(a.to[r + i] + d, rest, acc[i]);
    if (kRows == 1 || a.visible[r + kRows - 1] == common) return;
    // The rows after the first see a few more keys.
    for (int i = 1; i < kRows; ++i) {
      Lanes more[kVectors];
      LoadRow<kVectors, kTail>(a.to[r + i] + d, rest, more);
      for (int64_t key = common; key < a.visible[r + i]; ++key) {
        Lanes x[kVectors];
        LoadRow<kVectors, kTail>(from + key * a.depth, rest, x);
        const Lanes p = Set(w[i * kKeyBlock + key]);
        for (int j = 0; j < kVectors; ++j) more[j] = Fma(p, x[j], more[j]);
      }
      StoreRow<kVectors, kTail>(a.to[r + i] + d, rest, more);
    }
  }
};

template <bool kFetch, int kVectors = kMostVectors>
GROUPER_INLINE void AddWeighted(const WeightedArgs& args, int64_t begin, int64_t end,
                                int64_t d = 0) {
  for (; d + kVectors * kLanes <= args.depth; d += kVectors * kLanes) {
    EachTile<RowsOf(kVectors)>(WeightedTile<kVectors, false, kFetch>{args, d}, begin, end);
  }
  if constexpr (kVectors > 1) {
    AddWeighted<kFetch, kVectors / 2>(args, begin, end, d);
  } else if (d < args.depth) {
    EachTile<RowsOf(1)>(WeightedTile<1, true, kFetch>{args, d}, begin, end);
  }
}

// to[key][d] continues its chain over the rows that see the key, in ascending order:
// fma(weights[r][key], row[r][d], .). All rows from first_row[key] on see the key; first_row does
// not decrease.
struct OuterArgs {
  const real* weights;     // [rows][64]
  const real* const* row;  // [rows], depth elements each
  int64_t rows, depth;
  const int32_t* first_row;  // [64]
  real* to;                  // [64][depth]
};

template <int kVectors, bool kTail>
struct OuterTile {
  const OuterArgs& a;
  int64_t d;  // first column
  template <int kKeys>
  GROUPER_INLINE void Run(int64_t key) const {
    const int64_t rest = a.depth - d, common = a.first_row[key + kKeys - 1];
    real* to = a.to + key * a.depth + d;
    // A few more rows see the keys before the last.
    for (int i = 0; i + 1 < kKeys; ++i) {
      if (a.first_row[key + i] == common) break;
      Lanes more[kVectors];
      LoadRow<kVectors, kTail>(to + i * a.depth, rest, more);
      for (int64_t r = a.first_row[key + i]; r < common; ++r) {
        Lanes x[kVectors];
        LoadRow<kVectors, kTail>(a.row[r] + d, rest, x);
        const Lanes p = Set(a.weights[r * kKeyBlock + key + i]);
        for (int j = 0; j < kVectors; ++j) more[j] = Fma(p, x[j], more[j]);
      }
      StoreRow<kVectors, kTail>(to + i * a.depth, rest, more);
    }
    Lanes acc[kKeys][kVectors];
    for (int i = 0; i < kKeys; ++i) LoadRow<kVectors, kTail>(to + i * a.depth, rest, acc[i]);
    const real* w = a.weights + key;
    for (int64_t r = common; r < a.rows; ++r) {
      Lanes x[kVectors];
      LoadRow<kVectors, kTail>(a.row[r] + d, rest, x);
      for (int i = 0; i < kKeys; ++i) {
        const Lanes p = Set(w[r * kKeyBlock + i]);
        for (int j = 0; j < kVectors; ++j) acc[i][j] = Fma(p, x[j], acc[i][j]);
      }
    }
    for (int i = 0; i < kKeys; ++i) StoreRow<kVectors, kTail>(to + i * a.depth, rest, acc[i]);
  }
};

// Keys [0, keys).
template <int kVectors = kMostVectors>
GROUPER_INLINE void AddOuter(const OuterArgs& args, int64_t keys, int64_t d = 0) {
  for (; d + kVectors * kLanes <= args.depth; d += kVectors * kLanes) {
    EachTile<RowsOf(kVectors)>(OuterTile<kVectors, false>{args, d}, 0, keys);
  }
  if constexpr (kVectors > 1) {
    AddOuter<kVectors / 2>(args, keys, d);
  } else if (d < args.depth) {
    EachTile<RowsOf(1)>(OuterTile<1, true>{args, d}, 0, keys);
  }
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
