#include "kernels/attention/attention.h"
#include "kernels/attention/task_list.h"
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
};

// A sequence of the batch: rows [begin, begin + length) at positions from `first` on.
struct Sequence {
  int64_t begin, length, first;
  int64_t prefix;  // row of prefix_dk and prefix_dv that holds position 0; -1: nothing is shared
  const int32_t* blocks;
  GROUPER_INLINE int64_t end() const { return first + length; }  // positions
};

GROUPER_INLINE int64_t PrefixOf(const AttentionBackwardArgs& args, int64_t s) {
  return args.prefixes.empty() ? -1 : args.prefixes.as<int32_t>()[s];
}
GROUPER_INLINE Sequence SequenceAt(const AttentionBackwardArgs& args, int64_t s) {
  const int32_t* offsets = args.sequence_offsets.as<int32_t>();
  return {offsets[s], offsets[s + 1] - offsets[s],
          args.first_positions.empty() ? 0 : args.first_positions.as<int32_t>()[s],
          PrefixOf(args, s), args.block_table.as<int32_t>() + s * args.block_table.row_stride};
}

// The tokens of a sequence, counted from its first row, whose queries a task takes.
struct Span {
  int64_t begin, end;
};

// Query rows in the order of the gradients' chains: by token, then by head of the kv head.
struct RowTile {
  int64_t rows = 0;
  const real *q[kMaxRows], *out[kMaxRows], *dout[kMaxRows], *stats[kMaxRows];
  real* dq[kMaxRows];
  int32_t visible[kMaxRows];     // number of the block's keys that the row sees
  int32_t first_row[kKeyBlock];  // the first row that sees the key
};

// Fills the tile with up to kMaxRows rows from row `first` on, up to row `end`; token i of the
// sequence has rows i * group + head. The block has `count` keys from position first_key on.
GROUPER_INLINE void Gather(const Task& task, const Sequence& s, int64_t first_key, int64_t count,
                           int64_t first, int64_t end, RowTile* tile) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim, left = end - first;
  tile->rows = left < kMaxRows ? left : kMaxRows;
  int64_t i = first / task.group, h = first % task.group;
  for (int64_t r = 0; r < tile->rows; ++r) {
    const int64_t token = s.begin + i, head = task.kv * task.group + h;
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
    const int64_t seen = s.first + i - first_key + 1;
    tile->visible[r] = static_cast<int32_t>(seen < count ? seen : count);
    if (++h == task.group) {
      h = 0;
      ++i;
    }
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t row = (first_key + j - s.first) * task.group - first;
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

// What a task computes of the pairs of query and key that it takes.
enum class Part { kBoth, kQueries, kKeys };

// Adds the gradients of one tile of rows with one block of keys.
template <Part kPart>
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
  if constexpr (kPart != Part::kKeys) {
    AddWeighted<false>({dp, tile.visible, block->key_rows, n, nullptr, keys, tile.dq}, 0, rows);
  }
  if constexpr (kPart != Part::kQueries) {
    KeyGradient(tile, dp, tile.q, n, seen, block->dk);
    KeyGradient(tile, p, tile.dout, n, seen, block->dv);
  }
}

// The row that sums the gradient of the key at `position`: one of the prefix, or one of the
// sequence's own. `sums` belongs to the prefix, `own` to the batch.
GROUPER_INLINE real* SumOf(const Task& task, const Sequence& s, const Tensor& sums,
                           const Tensor& own, int64_t position) {
  const Tensor& to = position < s.first ? sums : own;
  const int64_t row = position < s.first ? s.prefix + position : s.begin + position - s.first;
  return to.as<real>() + row * to.row_stride + task.kv * task.head_dim;
}

// The sums with which the gradients of the block's keys begin: those of sequences that were before
// this one, or 0.
GROUPER_INLINE void StartSums(const Task& task, const Sequence& s, int64_t first_key, int64_t count,
                              KeyBlock* block) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim;
  const size_t bytes = static_cast<size_t>(n) * sizeof(real);
  for (int64_t j = 0; j < count; ++j) {
    const int64_t position = first_key + j;
    // A prefix begins with what its successors left.
    const bool shared = s.prefix >= 0 && (s.first == 0 || position < s.first);
    if (!shared) {
      memset(block->dk + j * n, 0, bytes);
      memset(block->dv + j * n, 0, bytes);
      continue;
    }
    const int64_t row = s.prefix + position, column = task.kv * n;
    memcpy(block->dk + j * n, args.prefix_dk.as<real>() + row * args.prefix_dk.row_stride + column,
           bytes);
    memcpy(block->dv + j * n, args.prefix_dv.as<real>() + row * args.prefix_dv.row_stride + column,
           bytes);
  }
}

// The block of keys that begins at position first_key, with the queries of `span`.
template <Part kPart>
__attribute__((noinline)) void BackwardBlock(const Task& task, const Sequence& s, int64_t first_key,
                                             const Span& span) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim;
  const int64_t count = s.end() - first_key < kKeyBlock ? s.end() - first_key : kKeyBlock;
  const int64_t at = (s.blocks[first_key / kKeyBlock] * task.kv_heads + task.kv) * n * kKeyBlock;
  const real* keys = args.k_cache.as<real>() + at;
  const real* values = args.v_cache.as<real>() + at;
  const size_t bytes = static_cast<size_t>(n) * sizeof(real);
  KeyBlock block;
  // Slots past the end of the sequence may hold anything, NaN too, so they are not read.
  if (count < kKeyBlock) memset(block.value_columns, 0, kKeyBlock * bytes);
  if (kPart != Part::kKeys) TransposeInto(keys, kKeyBlock, n, count, block.key_rows, n);
  TransposeInto(values, n, count, n, block.value_columns, kKeyBlock);
  if (kPart != Part::kQueries) StartSums(task, s, first_key, count, &block);
  RowTile tile;
  const int64_t seeing = first_key - s.first > span.begin ? first_key - s.first : span.begin;
  for (int64_t row = seeing * task.group; row < span.end * task.group; row += kMaxRows) {
    Gather(task, s, first_key, count, row, span.end * task.group, &tile);
    for (int64_t r = 0; r < tile.rows && first_key == 0 && kPart != Part::kKeys; ++r) {
      memset(tile.dq[r], 0, bytes);
    }
    TileStep<kPart>(task, keys, tile, &block);
  }
  for (int64_t j = 0; j < count && kPart != Part::kQueries; ++j) {
    memcpy(SumOf(task, s, args.prefix_dk, args.dk, first_key + j), block.dk + j * n, bytes);
    memcpy(SumOf(task, s, args.prefix_dv, args.dv, first_key + j), block.dv + j * n, bytes);
  }
}

// Sequences [s, FamilyEnd) share a prefix. Only the first of them is a task.
GROUPER_INLINE bool BeginsFamily(const AttentionBackwardArgs& args, int64_t s) {
  return s == 0 || PrefixOf(args, s) < 0 || PrefixOf(args, s) != PrefixOf(args, s - 1);
}
GROUPER_INLINE int64_t FamilyEnd(const AttentionBackwardArgs& args, int64_t s) {
  const int64_t sequences = args.sequence_offsets.shape[0] - 1;
  for (++s; s < sequences && !BeginsFamily(args, s);) ++s;
  return s;
}

// One block of keys, with all queries of a family.
template <Part kPart>
GROUPER_INLINE void FamilyBlock(const Task& task, int64_t s, int64_t end, int64_t first_key) {
  for (; s < end; ++s) {
    const Sequence sequence = SequenceAt(task.args, s);
    if (first_key >= sequence.end()) continue;
    BackwardBlock<kPart>(task, sequence, first_key, {0, sequence.length});
  }
}

// All keys of the rows [begin, end) of the batch.
void QueryRows(const Task& task, int64_t begin, int64_t end) {
  const int64_t sequences = task.args.sequence_offsets.shape[0] - 1;
  for (int64_t i = 0; i < sequences; ++i) {
    const Sequence s = SequenceAt(task.args, i);
    if (s.begin + s.length <= begin) continue;
    if (s.begin >= end) return;
    const Span span{begin > s.begin ? begin - s.begin : 0,
                    end < s.begin + s.length ? end - s.begin : s.length};
    for (int64_t key = 0; key < s.first + span.end; key += kKeyBlock) {
      BackwardBlock<Part::kQueries>(task, s, key, span);
    }
  }
}

}  // namespace

void AttentionBackward(Stream& stream, const AttentionBackwardArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  const int64_t group = args.heads / kv_heads, tokens = args.q.shape[0];
  const int64_t sequences = args.sequence_offsets.shape[0] - 1;
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  const int64_t max_keys = args.block_table.shape[1] * kKeyBlock;
  int64_t families = 0;
  for (int64_t s = 0; s < sequences; ++s) families += BeginsFamily(args, s) ? 1 : 0;
  if (FuseBackward(families, kv_heads, threads)) {
    ParallelFor(stream, sequences * kv_heads, [&](int64_t i) {
      const int64_t s = i / kv_heads;
      if (!BeginsFamily(args, s)) return;
      const Task task{args, head_dim, kv_heads, group, i % kv_heads};
      const int64_t end = FamilyEnd(args, s);
      for (int64_t key = 0; key < max_keys; key += kKeyBlock) {
        FamilyBlock<Part::kBoth>(task, s, end, key);
      }
    });
    return;
  }
  const int64_t grain = group < kMaxRows ? kMaxRows / group : 1;
  ParallelFor(stream, (tokens + grain - 1) / grain * kv_heads, [&](int64_t i) {
    const Task task{args, head_dim, kv_heads, group, i % kv_heads};
    const int64_t begin = i / kv_heads * grain;
    QueryRows(task, begin, begin + grain < tokens ? begin + grain : tokens);
  });
  const int64_t blocks = args.block_table.shape[1];
  ParallelFor(stream, sequences * kv_heads * blocks, [&](int64_t i) {
    const int64_t s = i / (kv_heads * blocks);
    if (!BeginsFamily(args, s)) return;
    const Task task{args, head_dim, kv_heads, group, i / blocks % kv_heads};
    FamilyBlock<Part::kKeys>(task, s, FamilyEnd(args, s), i % blocks * kKeyBlock);
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
