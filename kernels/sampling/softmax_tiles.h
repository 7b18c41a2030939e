// The softmax that sampler and learner share (docs/numerics.md 8). z = logit * (1 / T); ids outside
// the kept set count as -inf. Tile t has ids 256 t .. 256 t + 255 and three statistics: the maximum
// m_t, s_t = sum exp(z - m_t) and e_t = sum (z - m_t) exp(z - m_t), each sum in the fixed tree of
// SumTile. A row's statistics are those of its tiles, merged left to right.
#pragma once

#include "kernels/cpu/vec_math.h"
#include "kernels/sampling/sampling_rule.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kTile = numerics::kVocabTile;
constexpr int kTileVectors = kTile / kLanes;

// The kept set: ids with z above the threshold, or equal to it and an id up to last_id. Default:
// everything.
struct Kept {
  real threshold = -INFINITY;
  int64_t last_id = INT64_MAX;
};

struct Row {
  const real* logits;
  int64_t vocab;
  real inv_temperature;
  Kept kept;
};

GROUPER_INLINE real ZOf(const Row& row, int64_t id) { return row.logits[id] * row.inv_temperature; }
GROUPER_INLINE bool IsKept(const Kept& kept, real z, int64_t id) {
  return z > kept.threshold || (z == kept.threshold && id <= kept.last_id);
}

// Sixteen z from id on; -inf past the vocabulary and outside the kept set.
GROUPER_INLINE Lanes LoadZ(const Row& row, int64_t id) {
  const int64_t n = row.vocab - id;
  Lanes z = Mul(LoadFirst(row.logits + id, n), Set(row.inv_temperature));
  if (n < kLanes) z = Select(FirstMask(n), z, Set(-INFINITY));
  if (row.kept.threshold > -INFINITY) {
    const Lanes threshold = Set(row.kept.threshold);
    const Mask above = Less(threshold, z);
    const Mask tied = Equal(threshold, z);
    const Mask early = FirstMask(row.kept.last_id - id + 1 < 0 ? 0 : row.kept.last_id - id + 1);
    const Lanes with_ties = Select(tied, Select(early, z, Set(-INFINITY)), Set(-INFINITY));
    z = Select(above, z, with_ties);
  }
  return z;
}

// Adds the numbers whose columns differ in one bit, bit after bit: 7 6 5 4 (whole vectors), 3, 0,
// 2, 1.
GROUPER_INLINE real SumTile(Lanes* x) {
  for (int step = kTileVectors / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) x[i] = Add(x[i], x[i + step]);
  }
  real v[kLanes];
  Store(v, x[0]);
  real a[8], b[4];
  for (int i = 0; i < 8; ++i) a[i] = v[i] + v[i + 8];
  for (int i = 0; i < 4; ++i) b[i] = a[2 * i] + a[2 * i + 1];
  return (b[0] + b[2]) + (b[1] + b[3]);
}

struct TileStats {
  real m, s, e;
};

GROUPER_INLINE TileStats StatsOf(const Row& row, int64_t first) {
  Lanes z[kTileVectors];
  const int vectors = static_cast<int>(
      row.vocab - first >= kTile ? kTileVectors : (row.vocab - first + kLanes - 1) / kLanes);
  Lanes largest = Set(-INFINITY);
  for (int v = 0; v < vectors; ++v) {
    z[v] = LoadZ(row, first + v * kLanes);
    largest = Max(z[v], largest);
  }
  TileStats tile{MaxOf(largest), 0, 0};
  if (!(tile.m > -INFINITY)) return tile;
  Lanes p[kTileVectors], zp[kTileVectors];
  for (int v = 0; v < kTileVectors; ++v) {
    if (v >= vectors) {
      p[v] = zp[v] = Zero();
      continue;
    }
    const Lanes d = Sub(z[v], Set(tile.m));
    p[v] = Exp(d);
    // -inf times 0 would be NaN.
    zp[v] = Select(Less(Set(-INFINITY), d), Mul(d, p[v]), Zero());
  }
  tile.s = SumTile(p);
  tile.e = SumTile(zp);
  return tile;
}

struct RowStats {
  real m, s, e;  // largest z; sum exp(z - m); sum (z - m) exp(z - m)
  real log_s;
  real entropy;
  bool good;  // no NaN, no +inf, something kept
};

// tiles: [ceil(vocab / 256)] out, the statistics of the tiles, or nullptr.
GROUPER_INLINE RowStats StatsOf(const Row& row, TileStats* tiles = nullptr) {
  RowStats r{-INFINITY, 0, 0, 0, 0, true};
  Lanes largest = Set(-INFINITY);
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    const Lanes raw = LoadFirst(row.logits + id, row.vocab - id);
    if (Bits(Equal(raw, raw)) != 0xffffu) r.good = false;  // NaN
    largest = Max(LoadZ(row, id), largest);
  }
  r.m = MaxOf(largest);
  r.good = r.good && r.m > -INFINITY && r.m < INFINITY;
  if (!r.good) return r;
  for (int64_t first = 0; first < row.vocab; first += kTile) {
    const TileStats tile = StatsOf(row, first);
    if (tiles != nullptr) tiles[first / kTile] = tile;
    if (!(tile.m > -INFINITY)) continue;
    const real d = tile.m - r.m, c = ExpReal(d);
    r.s = FmaReal(c, tile.s, r.s);
    r.e = FmaReal(c, FmaReal(d, tile.s, tile.e), r.e);
  }
  r.log_s = LogReal(r.s);
  r.entropy = r.log_s - r.e / r.s;
  return r;
}

GROUPER_INLINE real LogProb(const Row& row, const RowStats& stats, int64_t id) {
  const real z = ZOf(row, id);
  if (!IsKept(row.kept, z, id) || !(z > -INFINITY)) return -INFINITY;
  return (z - stats.m) - stats.log_s;
}

// exp(z - m) * 2^40, rounded: an integer, so sums of masses do not depend on their order.
GROUPER_INLINE uint64_t Mass(real p) {
  // By way of a signed integer, for which every processor has an instruction.
  return static_cast<uint64_t>(
      static_cast<int64_t>(static_cast<double>(p) * numerics::kMassScale + 0.5));
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
