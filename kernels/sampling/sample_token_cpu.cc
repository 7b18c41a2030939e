#include "kernels/cpu/parallel.h"
#include "kernels/sampling/kept_set.h"
#include "kernels/sampling/sample_token.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// High half of a 64-bit product: a uniform integer below `total`.
GROUPER_INLINE uint64_t Below(uint64_t word, uint64_t total) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(word) * total) >> 64);
}

// Philox4x32-10 as in base/random.h (Salmon et al. 2011). It is repeated here because inline code
// that is shared must not be compiled per instruction set; a test compares the draws with
// base/random.h.
struct Words {
  uint64_t first, second;
};
GROUPER_INLINE Words DrawWords(uint64_t seed, uint32_t stream, uint64_t object, uint32_t position) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  uint32_t c0 = position, c1 = stream << 24;
  uint32_t c2 = static_cast<uint32_t>(object), c3 = static_cast<uint32_t>(object >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {uint64_t{c1} << 32 | c0, uint64_t{c3} << 32 | c2};
}

// Rows of up to so many tiles (262,144 ids) keep the statistics of their tiles for the draw.
constexpr int64_t kKeptTiles = 1024;

GROUPER_INLINE uint64_t TileMass(const TileStats& tile, real m) {
  return tile.m > -INFINITY ? Mass(tile.s * ExpReal(tile.m - m)) : 0;
}

// Chooses a tile with mass s_t exp(m_t - m), then a token in it with mass exp(z - m_t). Both masses
// are integers in units of 2^-40. tiles: the row's statistics, or nullptr to compute them again.
GROUPER_INLINE int64_t Choose(const Row& row, const RowStats& stats, const TileStats* tiles,
                              Words words) {
  const auto tile_at = [&](int64_t first) {
    return tiles != nullptr ? tiles[first / kTile] : StatsOf(row, first);
  };
  uint64_t total = 0;
  for (int64_t first = 0; first < row.vocab; first += kTile) {
    total += TileMass(tile_at(first), stats.m);
  }
  uint64_t target = Below(words.first, total);
  for (int64_t first = 0; first < row.vocab; first += kTile) {
    const TileStats tile = tile_at(first);
    if (!(tile.m > -INFINITY)) continue;
    const uint64_t mass = TileMass(tile, stats.m);
    if (target >= mass) {
      target -= mass;
      continue;
    }
    const int64_t end = first + kTile < row.vocab ? first + kTile : row.vocab;
    real p[kTile];
    uint64_t inside = 0;
    for (int64_t id = first; id < end; id += kLanes) {
      Store(p + (id - first), Exp(Sub(LoadZ(row, id), Set(tile.m))));
    }
    for (int64_t id = first; id < end; ++id) inside += Mass(p[id - first]);
    uint64_t rest = Below(words.second, inside);
    for (int64_t id = first; id < end; ++id) {
      const uint64_t m = Mass(p[id - first]);
      if (rest < m) return id;
      rest -= m;
    }
  }
  return -1;
}

GROUPER_INLINE int64_t ArgMax(const Row& row, const RowStats& stats) {
  for (int64_t id = 0; id < row.vocab; ++id) {
    if (ZOf(row, id) == stats.m) return id;
  }
  return -1;
}

}  // namespace

void SampleToken(Stream& stream, const SampleTokenArgs& args) {
  const int64_t vocab = args.logits.shape[1];
  const bool greedy = args.rule.temperature == 0;
  const real inv = static_cast<real>(1 / (greedy ? 1.0 : args.rule.temperature));
  ParallelRows(stream, args.logits.shape[0], 8, [&](int64_t begin, int64_t end) {
    TileStats kept_tiles[kKeptTiles];
    TileStats* tiles = vocab <= kKeptTiles * kTile ? kept_tiles : nullptr;
    for (int64_t r = begin; r < end; ++r) {
      Row row{args.logits.as<real>() + r * args.logits.row_stride, vocab, inv, {}};
      const RowStats all = StatsOf(row, tiles);
      int64_t token = -1;
      int32_t kept_size = 0;
      real log_prob = 0;
      if (all.good && greedy) {
        token = ArgMax(row, all);
      } else if (all.good) {
        const Filtered kept = ApplyFilters(args.rule, all, &row, tiles);
        kept_size = kept.kept_size;
        token = Choose(row, kept.stats, tiles,
                       DrawWords(args.seed, args.stream_id, args.rollout_ids.as<uint64_t>()[r],
                                 static_cast<uint32_t>(args.positions.as<int32_t>()[r])));
        log_prob = token < 0 ? real{0} : LogProb(row, kept.stats, token);
      }
      args.tokens.as<int32_t>()[r] = static_cast<int32_t>(token);
      args.log_probs.as<real>()[r] = log_prob;
      args.entropies.as<real>()[r] = all.entropy;
      if (!args.kept_sizes.empty()) args.kept_sizes.as<int32_t>()[r] = kept_size;
      if (!args.raw_log_probs.empty()) {
        row.kept = Kept();
        args.raw_log_probs.as<real>()[r] = token < 0 ? real{0} : LogProb(row, all, token);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
