#include "kernels/attention/attention.h"
#include "kernels/attention/tile.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/vec_math.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// One block of keys and values in the layouts that the cache does not have, and their gradients. It
// lies on the stack: at most 4 x 64 KiB in fp32.
struct KeyBlock {
  real key_rows[kKeyBlock * kMaxHeadDim];                         // [64][head_dim]
  real value_columns[kMaxHeadDim * kKeyBlock];                    // [head_dim][64]
  real dk[kKeyBlock * kMaxHeadDim], dv[kKeyBlock * kMaxHeadDim];  // [64][head_dim]
};

struct Task {
  const AttentionBackwardArgs& args;
  int64_t head_dim, kv_heads, group, kv;
  int64_t begin, length;  // tokens of the sequence
  const int32_t* blocks;
};

// Query rows in the order of the gradients' chains: by token, then by head of the kv head.
struct RowTile {
  int64_t rows = 0;
  const real *q[kMaxRows], *out[kMaxRows], *dout[kMaxRows], *stats[kMaxRows];
  real* dq[kMaxRows];
  int32_t visible[kMaxRows];     // number of the block's keys that the row sees
  int32_t first_row[kKeyBlock];  // the first row that sees the key
};

// Fills the tile with up to kMaxRows rows from row `first` on; token i has rows i * group + head.
GROUPER_INLINE void Gather(const Task& task, int64_t first_key, int64_t count, int64_t first,
                           RowTile* tile) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim, left = task.length * task.group - first;
  tile->rows = left < kMaxRows ? left : kMaxRows;
  int64_t i = first / task.group, h = first % task.group;
  for (int64_t r = 0; r < tile->rows; ++r) {
    const int64_t token = task.begin + i, head = task.kv * task.group + h;
    tile->q[r] = args.q.as<real>() + token * args.q.row_stride + head * n;
    tile->out[r] = args.out.as<real>() + token * args.out.row_stride + head * n;
    tile->dout[r] = args.dout.as<real>() + token * args.dout.row_stride + head * n;
    tile->dq[r] = args.dq.as<real>() + token * args.dq.row_stride + head * n;
    tile->stats[r] = args.max_and_sum.as<real>() + (token * args.heads + head) * 2;
    for (int64_t d = 0; d < n; d += kLanes) {  // written long ago, so probably not cached
      __builtin_prefetch(tile->q[r] + d);
      __builtin_prefetch(tile->out[r] + d);
      __builtin_prefetch(tile->dout[r] + d);
    }
    const int64_t seen = i - first_key + 1;
    tile->visible[r] = static_cast<int32_t>(seen < count ? seen : count);
    if (++h == task.group) {
      h = 0;
      ++i;
    }
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t row = (first_key + j) * task.group - first;
    tile->first_row[j] = static_cast<int32_t>(row < 0 ? 0 : row < tile->rows ? row : tile->rows);
  }
}

GROUPER_INLINE real Dot(const real* a, const real* b, int64_t n) {
  Lanes chain = Zero();
  for (int64_t i = 0; i < n; i += kLanes)
    chain = Fma(LoadFirst(a + i, n - i), LoadFirst(b + i, n - i), chain);
  return SumTree(chain);
}

// Replaces raw scores by the weights p, and dp by the gradient of the scores: p (dp - dout . out)
// scale.
GROUPER_INLINE void Slopes(const RowTile& tile, int64_t r, int64_t head_dim, real scale_real,
                           real* p, real* dp) {
  const Lanes scale = Set(scale_real), m = Set(tile.stats[r][0]), l = Set(tile.stats[r][1]);
  const Lanes delta = Set(Dot(tile.dout[r], tile.out[r], head_dim));
  for (int64_t v = 0; v < tile.visible[r]; v += kLanes) {
    const Mask seen = FirstMask(tile.visible[r] - v);
    const Lanes e = Exp(Sub(Mul(Load(p + v), scale), m));
    const Lanes weight = Select(seen, Div(e, l), Zero());
    const Lanes slope = Mul(Mul(weight, Sub(Load(dp + v), delta)), scale);
    Store(p + v, weight);
    Store(dp + v, Select(seen, slope, Zero()));
  }
}

// Not inlined: each has code for every tile shape, which takes long to compile.
__attribute__((noinline)) void Scores(const real* const* rows, const real* columns, int64_t depth,
                                      int64_t count, int64_t vectors, real* out) {
  Dots<false>({rows, columns, depth, columns, out}, 0, count, vectors);
}
__attribute__((noinline)) void KeyGradient(const RowTile& tile, const real* weights,
                                           const real* const* rows, int64_t depth, int64_t keys,
                                           real* to) {
  AddOuter({weights, rows, tile.rows, depth, tile.first_row, to}, keys);
}

// Adds the gradients of one tile of rows with one block of keys.
__attribute__((noinline)) void TileStep(const Task& task, const real* keys, const RowTile& tile,
                                        KeyBlock* block) {
  const int64_t n = task.head_dim, rows = tile.rows, seen = tile.visible[rows - 1];
  const int64_t vectors = (seen + kLanes - 1) / kLanes;
  real p[kMaxRows * kKeyBlock], dp[kMaxRows * kKeyBlock];
  Scores(tile.q, keys, n, rows, vectors, p);
  Scores(tile.dout, block->value_columns, n, rows, vectors, dp);
  for (int64_t r = 0; r < rows; ++r) {
    Slopes(tile, r, n, static_cast<real>(task.args.scale), p + r * kKeyBlock, dp + r * kKeyBlock);
  }
  AddWeighted<false>({dp, tile.visible, block->key_rows, n, nullptr, keys, tile.dq}, 0, rows);
  KeyGradient(tile, dp, tile.q, n, seen, block->dk);
  KeyGradient(tile, p, tile.dout, n, seen, block->dv);
}

__attribute__((noinline)) void BackwardBlock(const Task& task, int64_t first_key) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim;
  const int64_t count = task.length - first_key < kKeyBlock ? task.length - first_key : kKeyBlock;
  const int64_t at = (task.blocks[first_key / kKeyBlock] * task.kv_heads + task.kv) * n * kKeyBlock;
  const real* keys = args.k_cache.as<real>() + at;
  const real* values = args.v_cache.as<real>() + at;
  const size_t bytes = static_cast<size_t>(kKeyBlock * n) * sizeof(real);
  KeyBlock block;
  // Slots past the end of the sequence may hold anything, NaN too, so they are not read.
  if (count < kKeyBlock) memset(block.value_columns, 0, bytes);
  TransposeInto(keys, kKeyBlock, n, count, block.key_rows, n);
  TransposeInto(values, n, count, n, block.value_columns, kKeyBlock);
  memset(block.dk, 0, bytes);
  memset(block.dv, 0, bytes);
  RowTile tile;
  const int64_t end = task.length * task.group;
  for (int64_t first = first_key * task.group; first < end; first += kMaxRows) {
    Gather(task, first_key, count, first, &tile);
    for (int64_t r = 0; r < tile.rows && first_key == 0; ++r) {
      memset(tile.dq[r], 0, static_cast<size_t>(n) * sizeof(real));
    }
    TileStep(task, keys, tile, &block);
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t token = task.begin + first_key + j;
    memcpy(args.dk.as<real>() + token * args.dk.row_stride + task.kv * n, block.dk + j * n,
           static_cast<size_t>(n) * sizeof(real));
    memcpy(args.dv.as<real>() + token * args.dv.row_stride + task.kv * n, block.dv + j * n,
           static_cast<size_t>(n) * sizeof(real));
  }
}

}  // namespace

void AttentionBackward(Stream& stream, const AttentionBackwardArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  const int64_t sequences = args.sequence_offsets.shape[0] - 1;
  const int32_t* offsets = args.sequence_offsets.as<int32_t>();
  ParallelFor(stream, sequences * kv_heads, [&](int64_t i) {
    const int64_t s = i / kv_heads;
    const Task task{args,
                    head_dim,
                    kv_heads,
                    args.heads / kv_heads,
                    i % kv_heads,
                    offsets[s],
                    offsets[s + 1] - offsets[s],
                    args.block_table.as<int32_t>() + s * args.block_table.row_stride};
    for (int64_t key = 0; key < task.length; key += kKeyBlock) BackwardBlock(task, key);
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
