// The kept set of a sampling rule on one row of logits (docs/numerics.md 8): a prefix of the order
// "larger z first, ties to the lower id", so a threshold and a last id describe it. Sampler and
// learner call the same code.
//
// The end of a prefix is found without sorting. Masses are integers, so their sums do not depend on
// the order of the additions. One pass adds the mass of each id to one of kBuckets buckets by its
// distance from the largest z; the bucket in which the sum reaches the goal holds the threshold.
// Each further pass looks only at the z in that bucket and divides it again, by the ordered bits of
// z, until one value is left.
#pragma once

#include "kernels/sampling/softmax_tiles.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int kBuckets = 4096;
// The first pass has 128 buckets for a distance of 1; all z below the largest by 32 or more share
// the last bucket, and have no mass.
constexpr real kBucketsPerNat = 128;
// exp(-29) * 2^40 + 0.5 is below 1, so an id that is this far below the largest z has no mass.
constexpr real kNoMass = -29;

// How long a prefix is: the first `members` ids, or as many as have `share` of the mass.
struct PrefixLength {
  bool by_count;
  uint64_t members;
  double share;
};

// The ids of sixteen lanes, bit by bit, from the lowest.
GROUPER_INLINE int NextLane(uint32_t* bits) {
  const int lane = __builtin_ctz(*bits);
  *bits &= *bits - 1;
  return lane;
}

// Order-preserving integer of a real: larger z, larger key. -0 and +0 have one key.
#if defined(GROUPER_FORM_FP64)
using Key = uint64_t;
constexpr int kKeyBits = 64;
#else
using Key = uint32_t;
constexpr int kKeyBits = 32;
#endif
constexpr Key kSignBit = Key{1} << (kKeyBits - 1);
GROUPER_INLINE Key KeyOf(real z) {
  if (z == 0) z = 0;
  Key bits;
  memcpy(&bits, &z, sizeof(bits));
  return (bits & kSignBit) != 0 ? ~bits : bits | kSignBit;
}
GROUPER_INLINE real ZOfKey(Key key) {
  const Key bits = (key & kSignBit) != 0 ? key & ~kSignBit : ~key;
  real z;
  memcpy(&z, &bits, sizeof(z));
  return z;
}

struct Buckets {
  uint64_t sum[kBuckets];

  GROUPER_INLINE void Clear() { memset(sum, 0, sizeof(sum)); }
  // The first bucket with which *above reaches the goal; *above becomes the sum before it.
  GROUPER_INLINE int Find(uint64_t goal, uint64_t* above) const {
    int b = 0;
    while (b < kBuckets - 1 && *above + sum[b] < goal) *above += sum[b++];
    return b;
  }
};

GROUPER_INLINE Lanes BucketOf(Lanes z, real m) {
  return Min(Mul(Sub(Set(m), z), Set(kBucketsPerNat)), Set(kBuckets - 1));
}

// The first pass. Returns the mass (or the number) of all kept ids.
__attribute__((noinline)) uint64_t FillByDistance(const Row& row, real m, bool count,
                                                  Buckets* buckets) {
  buckets->Clear();
  const real lowest = count ? -INFINITY : m + kNoMass;
  real p[kLanes], bucket[kLanes];
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    const Lanes z = LoadZ(row, id);
    uint32_t live = Bits(Less(Set(lowest), z));
    if (live == 0) continue;
    Store(bucket, BucketOf(z, m));
    if (!count) Store(p, Exp(Sub(z, Set(m))));
    if (live == 0xffffu) {
      for (int i = 0; i < kLanes; ++i) {
        buckets->sum[static_cast<int>(bucket[i])] += count ? 1 : Mass(p[i]);
      }
      continue;
    }
    while (live != 0) {
      const int i = NextLane(&live);
      buckets->sum[static_cast<int>(bucket[i])] += count ? 1 : Mass(p[i]);
    }
  }
  uint64_t total = 0;
  for (int b = 0; b < kBuckets; ++b) total += buckets->sum[b];
  return total;
}

struct Interval {
  real low, high;  // both ends included
};

// The smallest and the largest z in a bucket of the first pass, which is not empty.
__attribute__((noinline)) Interval EndsOfBucket(const Row& row, real m, int b) {
  Lanes low = Set(INFINITY), high = Set(-INFINITY);
  const Lanes from = Set(static_cast<real>(b)), to = Set(static_cast<real>(b + 1));
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    const Lanes z = LoadZ(row, id), bucket = BucketOf(z, m);
    const uint32_t in =
        Bits(Less(bucket, to)) & ~Bits(Less(bucket, from)) & Bits(Less(Set(-INFINITY), z));
    if (in == 0) continue;
    const Mask inside = Less(bucket, to), below = Less(bucket, from);
    const Lanes none = Set(-INFINITY);
    const Lanes largest = Select(inside, Select(below, none, z), none);
    high = Max(largest, high);
    low = Min(Select(Less(none, largest), largest, Set(INFINITY)), low);
  }
  return {-MaxOf(Sub(Zero(), low)), MaxOf(high)};
}

// Divides an interval that holds the threshold, above which lies the mass *above.
__attribute__((noinline)) Interval Divide(const Row& row, real m, bool count, uint64_t goal,
                                          const Interval& interval, Buckets* buckets,
                                          uint64_t* above) {
  buckets->Clear();
  const Key high = KeyOf(interval.high), low = KeyOf(interval.low);
  int shift = 0;
  while ((high - low) >> shift >= kBuckets) ++shift;
  real values[kLanes];
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    const Lanes z = LoadZ(row, id);
    uint32_t in = ~(Bits(Less(z, Set(interval.low))) | Bits(Less(Set(interval.high), z))) & 0xffffu;
    if (in == 0) continue;
    Store(values, z);
    while (in != 0) {
      const real value = values[NextLane(&in)];
      buckets->sum[(high - KeyOf(value)) >> shift] += count ? 1 : Mass(ExpReal(value - m));
    }
  }
  const Key b = static_cast<Key>(buckets->Find(goal, above));
  const Key top = high - (b << shift), width = (Key{1} << shift) - 1;
  return {ZOfKey(top - low < width ? low : top - width), ZOfKey(top)};
}

// The n-th id, from 1, of the kept ids whose z is the threshold.
GROUPER_INLINE int64_t TiedId(const Row& row, real threshold, uint64_t n) {
  int64_t last = 0;
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    uint32_t tied = Bits(Equal(LoadZ(row, id), Set(threshold)));
    while (tied != 0) {
      last = id + NextLane(&tied);
      if (--n == 0) return last;
    }
  }
  return last;
}

// The shortest prefix of the kept ids that is as long as `length` says.
__attribute__((noinline)) Kept Prefix(const Row& row, real m, const PrefixLength& length) {
  Buckets buckets;
  const uint64_t total = FillByDistance(row, m, length.by_count, &buckets);
  uint64_t goal = length.members;
  if (!length.by_count) {
    const double share = length.share * static_cast<double>(total);
    goal = share < 1 ? 1 : static_cast<uint64_t>(share);
  }
  if (total <= goal) return row.kept;
  uint64_t above = 0;
  Interval interval = EndsOfBucket(row, m, buckets.Find(goal, &above));
  while (interval.low < interval.high) {
    interval = Divide(row, m, length.by_count, goal, interval, &buckets, &above);
  }
  const real threshold = interval.high;
  const uint64_t each = length.by_count ? 1 : Mass(ExpReal(threshold - m));
  return {threshold, TiedId(row, threshold, (goal - above + each - 1) / each)};
}

// The ids of a row's kept set whose mass is at least that of min_p: those up to the last one of
// them in the order of the prefix.
__attribute__((noinline)) Kept AtLeast(const Row& row, real m, double min_p) {
  const uint64_t least = Mass(static_cast<real>(min_p));  // the largest probability has 2^40
  // No p below this one can have the mass, so most vectors need no integers.
  const real near =
      static_cast<real>(min_p) * (1 - real{1} / 1024) - static_cast<real>(2 / numerics::kMassScale);
  Kept kept = row.kept;
  real lowest = INFINITY, p[kLanes], values[kLanes];
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    const Lanes z = LoadZ(row, id), mass = Exp(Sub(z, Set(m)));
    uint32_t live = Bits(Less(Set(near), mass)) & Bits(Less(Set(-INFINITY), z));
    if (live == 0) continue;
    Store(values, z);
    Store(p, mass);
    while (live != 0) {
      const int i = NextLane(&live);
      if (Mass(p[i]) < least || !(values[i] <= lowest)) continue;
      lowest = values[i];
      kept = {lowest, id + i};
    }
  }
  return kept;
}

// Number of kept ids; an id with z = -inf is never kept. Counts below 2^24 are exact as reals.
GROUPER_INLINE int32_t KeptSize(const Row& row) {
  Lanes kept = Zero();
  for (int64_t id = 0; id < row.vocab; id += kLanes) {
    kept = Add(kept, Select(Less(Set(-INFINITY), LoadZ(row, id)), Set(1), Zero()));
  }
  return static_cast<int32_t>(SumTree(kept));
}

// The kept set of a rule on a row without filter, m its largest z.
GROUPER_INLINE Kept FindKept(const Row& unfiltered, const SamplingRule& rule, real m) {
  Row row = unfiltered;
  if (rule.top_k > 0 && rule.top_k < row.vocab) {
    row.kept = Prefix(row, m, {true, static_cast<uint64_t>(rule.top_k), 0});
  }
  if (rule.top_p < 1) row.kept = Prefix(row, m, {false, 0, rule.top_p});
  if (rule.min_p > 0) row.kept = AtLeast(row, m, rule.min_p);
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
