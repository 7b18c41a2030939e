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
  return static_cast<uint64_t>(static_cast<double>(p) * numerics::kMassScale + 0.5);
}

// Order-preserving integer of a real: larger z, larger key.
#if defined(GROUPER_FORM_FP64)
using Key = uint64_t;
constexpr int kKeyBits = 64;
#else
using Key = uint32_t;
constexpr int kKeyBits = 32;
#endif
GROUPER_INLINE Key KeyOf(real z) {
  if (z == 0) z = 0;  // -0 and +0 tie
  Key bits;
  memcpy(&bits, &z, sizeof(bits));
  const Key sign = Key{1} << (kKeyBits - 1);
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

// Total mass (or count) of kept ids with a key of at least `key`.
GROUPER_INLINE uint64_t MassFrom(const Row& row, real m, Key key, bool count) {
  uint64_t sum = 0;
  for (int64_t id = 0; id < row.vocab; ++id) {
    const real z = ZOf(row, id);
    if (!(z > -INFINITY) || !IsKept(row.kept, z, id) || KeyOf(z) < key) continue;
    sum += count ? 1 : Mass(ExpReal(z - m));
  }
  return sum;
}

// Number of kept ids; an id with z = -inf is never kept.
GROUPER_INLINE int32_t KeptSize(const Row& row) {
  return static_cast<int32_t>(MassFrom(row, 0, 0, true));
}

// The shortest prefix, larger z first, ties to the lower id, whose mass (or count) reaches `goal`.
__attribute__((noinline)) Kept Prefix(const Row& row, real m, uint64_t goal, bool count) {
  Key low = 0;  // invariant: MassFrom(low) >= goal
  if (MassFrom(row, m, 0, count) <= goal) return row.kept;
  for (int bit = kKeyBits - 1; bit >= 0; --bit) {
    const Key tried = low | Key{1} << bit;
    if (MassFrom(row, m, tried, count) >= goal) low = tried;
  }
  Kept kept;
  uint64_t sum = low == ~Key{0} ? 0 : MassFrom(row, m, low + 1, count);
  for (int64_t id = 0; id < row.vocab; ++id) {
    const real z = ZOf(row, id);
    if (!(z > -INFINITY) || !IsKept(row.kept, z, id) || KeyOf(z) != low) continue;
    kept.threshold = z;
    kept.last_id = id;
    sum += count ? 1 : Mass(ExpReal(z - m));
    if (sum >= goal) break;
  }
  return kept;
}

// The kept set of a rule on a row without filter, m its largest z. Thresholds are found by
// bisection over the ordered bits of z, so nothing is sorted or stored.
__attribute__((noinline)) Kept FindKept(const Row& unfiltered, const SamplingRule& rule, real m) {
  Row row = unfiltered;
  if (rule.top_k > 0 && rule.top_k < row.vocab) {
    row.kept = Prefix(row, m, static_cast<uint64_t>(rule.top_k), true);
  }
  if (rule.top_p < 1) {
    const uint64_t total = MassFrom(row, m, 0, false);
    const double goal = rule.top_p * static_cast<double>(total);
    row.kept = Prefix(row, m, goal < 1 ? 1 : static_cast<uint64_t>(goal), false);
  }
  if (rule.min_p > 0) {
    // Relative to the largest probability, whose mass is 2^40.
    const uint64_t least = Mass(static_cast<real>(rule.min_p));
    int64_t last = -1;
    real lowest = INFINITY;
    for (int64_t id = 0; id < row.vocab; ++id) {
      const real z = ZOf(row, id);
      if (!(z > -INFINITY) || !IsKept(row.kept, z, id) || Mass(ExpReal(z - m)) < least) continue;
      if (z <= lowest) {
        lowest = z;
        last = id;
      }
    }
    if (last >= 0) row.kept = Kept{lowest, last};
  }
  return row.kept;
}

struct Filtered {
  RowStats stats;     // under the kept set
  int32_t kept_size;  // 0 without filters
};

// Sets the row's kept set; `all` and `tiles` are its statistics before that.
GROUPER_INLINE Filtered ApplyFilters(const SamplingRule& rule, const RowStats& all, Row* row,
                                     TileStats* tiles = nullptr) {
  if (!rule.filtered()) return {all, 0};
  row->kept = FindKept(*row, rule, all.m);
  return {StatsOf(*row, tiles), KeptSize(*row)};
}

}  // namespace
}  // namespace grouper::cpu::GROUPER_VARIANT
