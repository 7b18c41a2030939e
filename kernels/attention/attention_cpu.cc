#include "kernels/attention/attention.h"
#include "kernels/attention/tile.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_math.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int kKeyVectors = static_cast<int>(kKeyBlock) / kLanes;
constexpr int64_t kRowGrain = 64;  // of AppendKv
// Keys and values of a call that exceed this are in memory, not in a cache, and are prefetched.
constexpr int64_t kFetchBytes = 2 << 20;

// Query rows of one kv head at consecutive positions of one sequence: row r is head r % group of
// token r / group.
struct QueryTile {
  const AttentionArgs& args;
  int64_t kv;           // kv head
  int64_t rows, group;  // group: rows of a token
  const int32_t* blocks;
  int64_t after;  // offset in the caches of the block that is read after the last one of this tile
  const real* q[kMaxRows];
  int64_t position[kMaxRows];

  // Offset in both caches of the block that contains position `key`.
  GROUPER_INLINE int64_t BlockAt(int64_t key) const {
    const int64_t kv_heads = args.k_cache.shape[1];
    return (blocks[key / kKeyBlock] * kv_heads + kv) * args.k_cache.shape[2] * kKeyBlock;
  }
  // First row whose position is at least `key`.
  GROUPER_INLINE int64_t RowFrom(int64_t key) const {
    const int64_t tokens = key - position[0];
    return tokens <= 0 ? 0 : tokens * group;
  }
};

// The running softmax of each row.
struct TileState {
  real m[kMaxRows], l[kMaxRows];
  real acc[kMaxRows * kMaxHeadDim];  // [rows][head_dim]
  real* row[kMaxRows];               // into acc
};

GROUPER_INLINE void Start(TileState* s, int64_t first, int64_t rows, int64_t head_dim) {
  for (int64_t r = first; r < rows; ++r) {
    s->m[r] = -INFINITY;
    s->l[r] = 0;
    s->row[r] = s->acc + r * head_dim;
  }
  memset(s->acc + first * head_dim, 0,
         static_cast<size_t>((rows - first) * head_dim) * sizeof(real));
}

// Multiplies the scores by scale, sets those past the visible keys to -inf, returns the maximum.
GROUPER_INLINE real MaskScores(int64_t visible, real scale, real* score) {
  Lanes largest = Set(-INFINITY);
  for (int64_t v = 0; v * kLanes < visible; ++v) {
    const Lanes s = Select(FirstMask(visible - v * kLanes),
                           Mul(Load(score + v * kLanes), Set(scale)), Set(-INFINITY));
    Store(score + v * kLanes, s);
    largest = Max(s, largest);
  }
  return MaxOf(largest);
}

// m becomes the larger of both; alpha = exp(old m - new m).
GROUPER_INLINE void RaiseMaxima(int64_t first, int64_t rows, const real* largest, real* m,
                                real* alpha) {
  if (rows - first <= kFewRows) {  // loading as a vector what was stored one by one would stall
    for (int64_t r = first; r < rows; ++r) {
      const real now = largest[r] > m[r] ? largest[r] : m[r];
      alpha[r] = ExpReal(m[r] - now);
      m[r] = now;
    }
    return;
  }
  for (int64_t r = first; r < rows; r += kLanes) {
    const int64_t n = rows - r;
    const Lanes before = LoadFirst(m + r, n), now = Max(LoadFirst(largest + r, n), before);
    StoreFirst(alpha + r, Exp(Sub(before, now)), n);
    StoreFirst(m + r, now, n);
  }
}

// Scores become p = exp(score - m); returns their sum: index bits 5 and 4, then the lane bits.
GROUPER_INLINE real Exponentiate(int64_t visible, real m, real* score) {
  Lanes p[kKeyVectors];
  for (int v = 0; v < kKeyVectors; ++v) {
    p[v] = Zero();  // exp of a masked score
    if (v * kLanes >= visible) continue;
    p[v] = Exp(Sub(Load(score + v * kLanes), Set(m)));
    Store(score + v * kLanes, p[v]);
  }
  return SumTree(Add(Add(p[0], p[2]), Add(p[1], p[3])));
}

// Adds the block of keys at position `key` to rows [first, rows) of the tile. `next` is the offset
// in the caches of the block that is read next.
template <bool kFetch>
GROUPER_INLINE void BlockStep(const QueryTile& tile, int64_t first, int64_t key, int64_t next,
                              TileState* s) {
  const AttentionArgs& args = tile.args;
  const int64_t head_dim = args.k_cache.shape[2], rows = tile.rows, at = tile.BlockAt(key);
  const real *keys = args.k_cache.as<real>(), *values = args.v_cache.as<real>();
  const real scale = static_cast<real>(args.scale);
  int32_t visible[kMaxRows];
  real score[kMaxRows * kKeyBlock], largest[kMaxRows], alpha[kMaxRows];
  for (int64_t r = first; r < rows; ++r) {
    const int64_t seen = tile.position[r] + 1 - key;
    visible[r] = static_cast<int32_t>(seen < kKeyBlock ? seen : kKeyBlock);
  }
  const int64_t vectors = (visible[rows - 1] + kLanes - 1) / kLanes;
  Dots<kFetch>({tile.q, keys + at, head_dim, keys + next, score}, first, rows, vectors);
  for (int64_t r = first; r < rows; ++r) {
    largest[r] = MaskScores(visible[r], scale, score + r * kKeyBlock);
  }
  RaiseMaxima(first, rows, largest, s->m, alpha);
  for (int64_t r = first; r < rows; ++r) {
    const real sum = Exponentiate(visible[r], s->m[r], score + r * kKeyBlock);
    s->l[r] = FmaReal(s->l[r], alpha[r], sum);
  }
  AddWeighted<kFetch>({score, visible, values + at, head_dim, alpha, values + next, s->row}, first,
                      rows);
}

// Keys [split, split + 512) of the rows that see them.
template <bool kFetch>
__attribute__((noinline)) void AttendSplit(const QueryTile& tile, int64_t split, TileState* state) {
  const int64_t head_dim = tile.args.k_cache.shape[2], rows = tile.rows;
  const int64_t end = tile.position[rows - 1] + 1;
  Start(state, tile.RowFrom(split), rows, head_dim);
  const int64_t last = split + numerics::kKeySplit < end ? split + numerics::kKeySplit : end;
  for (int64_t key = split; key < last; key += kKeyBlock) {
    const int64_t next = key + kKeyBlock < end ? tile.BlockAt(key + kKeyBlock) : tile.after;
    BlockStep<kFetch>(tile, tile.RowFrom(key), key, next, state);
  }
}

// The running softmax of one row.
struct RowState {
  real *m, *l, *acc;
};
GROUPER_INLINE RowState StateOf(TileState* s, int64_t row) {
  return {s->m + row, s->l + row, s->row[row]};
}

// Merges the softmax of one split of keys into that of the splits before it.
GROUPER_INLINE void Merge(const RowState& total, const RowState& part, int64_t head_dim) {
  const real m = *part.m > *total.m ? *part.m : *total.m;
  const real a1 = ExpReal(*total.m - m), a2 = ExpReal(*part.m - m);
  *total.l = FmaReal(*part.l, a2, *total.l * a1);
  *total.m = m;
  for (int64_t d = 0; d < head_dim; d += kLanes) {
    const int64_t n = head_dim - d;
    const Lanes left = Mul(LoadFirst(total.acc + d, n), Set(a1));
    StoreFirst(total.acc + d, Fma(LoadFirst(part.acc + d, n), Set(a2), left), n);
  }
}

GROUPER_INLINE void Finish(const AttentionArgs& args, int64_t token, int64_t head,
                           const RowState& total) {
  const int64_t head_dim = args.k_cache.shape[2];
  real* out = args.out.as<real>() + token * args.out.row_stride + head * head_dim;
  for (int64_t d = 0; d < head_dim; d += kLanes) {
    const int64_t n = head_dim - d;
    // + 0 makes the sign of a zero independent of skipped blocks.
    StoreFirst(out + d, Add(Div(LoadFirst(total.acc + d, n), Set(*total.l)), Zero()), n);
  }
  if (!args.max_and_sum.empty()) {
    real* stats = args.max_and_sum.as<real>() + (token * args.heads + head) * 2;
    stats[0] = *total.m;
    stats[1] = *total.l;
  }
}

// Tokens [t, t + tokens) are consecutive positions of one sequence; heads [head, head + group)
// share a kv head. `after` is the offset in the caches of the block that is read next.
struct Run {
  int64_t t, tokens, head, group, after;
};

GROUPER_INLINE QueryTile TileOf(const AttentionArgs& args, const Run& run) {
  const int64_t head_dim = args.k_cache.shape[2], share = args.heads / args.k_cache.shape[1];
  const int64_t sequence = args.sequence.as<int32_t>()[run.t];
  QueryTile tile{args,
                 run.head / share,
                 run.tokens * run.group,
                 run.group,
                 args.block_table.as<int32_t>() + sequence * args.block_table.row_stride,
                 run.after,
                 {},
                 {}};
  for (int64_t i = 0, r = 0; i < run.tokens; ++i) {
    const real* q = args.q.as<real>() + (run.t + i) * args.q.row_stride + run.head * head_dim;
    for (int64_t h = 0; h < run.group; ++h, ++r) {
      tile.q[r] = q + h * head_dim;
      tile.position[r] = args.positions.as<int32_t>()[run.t + i];
    }
  }
  return tile;
}

// All keys of a run's rows.
template <bool kFetch>
__attribute__((noinline)) void AttendRun(const AttentionArgs& args, const Run& run) {
  const int64_t head_dim = args.k_cache.shape[2];
  const QueryTile tile = TileOf(args, run);
  TileState total, part;
  for (int64_t split = 0; split <= tile.position[tile.rows - 1]; split += numerics::kKeySplit) {
    AttendSplit<kFetch>(tile, split, split == 0 ? &total : &part);
    for (int64_t r = tile.RowFrom(split); r < tile.rows && split > 0; ++r) {
      Merge(StateOf(&total, r), StateOf(&part, r), head_dim);
    }
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    Finish(args, run.t + r / run.group, run.head + r % run.group, StateOf(&total, r));
  }
}

// The scratch memory: for each token, head and split of its keys the maximum, the sum and the
// accumulator.
GROUPER_INLINE RowState SplitState(const AttentionArgs& args, int64_t splits, int64_t token,
                                   int64_t head, int64_t split) {
  real* at = args.splits.as<real>() +
             ((token * args.heads + head) * splits + split) * (args.k_cache.shape[2] + 2);
  return {at, at + 1, at + 2};
}

// One split of the keys of a run's rows, left in scratch memory.
template <bool kFetch>
__attribute__((noinline)) void AttendRunSplit(const AttentionArgs& args, const Run& run,
                                              int64_t splits, int64_t split) {
  const size_t bytes = static_cast<size_t>(args.k_cache.shape[2]) * sizeof(real);
  const QueryTile tile = TileOf(args, run);
  if (tile.position[tile.rows - 1] < split * numerics::kKeySplit) return;
  TileState part;
  AttendSplit<kFetch>(tile, split * numerics::kKeySplit, &part);
  for (int64_t r = tile.RowFrom(split * numerics::kKeySplit); r < tile.rows; ++r) {
    const RowState to =
        SplitState(args, splits, run.t + r / run.group, run.head + r % run.group, split);
    *to.m = part.m[r];
    *to.l = part.l[r];
    memcpy(to.acc, part.row[r], bytes);
  }
}

void MergeSplits(const AttentionArgs& args, int64_t splits, int64_t token, int64_t head) {
  const int64_t position = args.positions.as<int32_t>()[token];
  const RowState total = SplitState(args, splits, token, head, 0);
  for (int64_t split = 1; split * numerics::kKeySplit <= position; ++split) {
    Merge(total, SplitState(args, splits, token, head, split), args.k_cache.shape[2]);
  }
  Finish(args, token, head, total);
}

// Calls body(run) for each run of the tokens [begin, end), and for the heads of kv heads [kv,
// kv_end).
template <typename Body>
GROUPER_INLINE void EachRun(const AttentionArgs& args, int64_t begin, int64_t end, int64_t kv_begin,
                            int64_t kv_end, Body&& body) {
  const int64_t kv_heads = args.k_cache.shape[1], share = args.heads / kv_heads;
  const int64_t block_size = args.k_cache.shape[2] * kKeyBlock;
  const int64_t group = share < kMaxRows ? share : kMaxRows, most = kMaxRows / group;
  const int32_t *sequence = args.sequence.as<int32_t>(), *positions = args.positions.as<int32_t>();
  const auto first_block = [&](int64_t t) {
    return args.block_table.as<int32_t>()[sequence[t] * args.block_table.row_stride];
  };
  for (int64_t t = begin; t < end;) {
    int64_t run = 1;
    while (run < most && t + run < end && sequence[t + run] == sequence[t] &&
           positions[t + run] == positions[t] + run) {
      ++run;
    }
    const int64_t next_token = t + run < end ? t + run : t;
    for (int64_t kv = kv_begin; kv < kv_end; ++kv) {
      const int64_t after = kv + 1 < kv_end ? first_block(t) * kv_heads + kv + 1
                                            : first_block(next_token) * kv_heads + kv_begin;
      for (int64_t h = 0; h < share; h += group) {
        body(
            Run{t, run, kv * share + h, share - h < group ? share - h : group, after * block_size});
      }
    }
    t += run;
  }
}

}  // namespace

void AppendKv(Stream& stream, const AppendKvArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  ParallelRows(stream, args.k.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t position = args.positions.as<int32_t>()[t];
      const int64_t row = args.sequence.as<int32_t>()[t] * args.block_table.row_stride;
      const int64_t block = args.block_table.as<int32_t>()[row + position / kKeyBlock];
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t at = (block * kv_heads + h) * head_dim * kKeyBlock;
        const real* k = args.k.as<real>() + t * args.k.row_stride + h * head_dim;
        const real* v = args.v.as<real>() + t * args.v.row_stride + h * head_dim;
        real* keys = args.k_cache.as<real>() + at + position % kKeyBlock;
        for (int64_t d = 0; d < head_dim; ++d) keys[d * kKeyBlock] = k[d];
        memcpy(args.v_cache.as<real>() + at + position % kKeyBlock * head_dim, v,
               static_cast<size_t>(head_dim) * sizeof(real));
      }
    }
  });
}

void CopyKv(Stream& stream, const CopyKvArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  ParallelFor(stream, args.from.shape[0], [&](int64_t i) {
    const int64_t block_size = kv_heads * head_dim * kKeyBlock;
    const int64_t from = args.from.as<int32_t>()[i] * block_size;
    const int64_t to = args.to.as<int32_t>()[i] * block_size;
    const size_t count = static_cast<size_t>(args.counts.as<int32_t>()[i]);
    real *keys = args.k_cache.as<real>(), *values = args.v_cache.as<real>();
    for (int64_t column = 0; column < block_size; column += kKeyBlock) {
      memcpy(keys + to + column, keys + from + column, count * sizeof(real));
    }
    for (int64_t head = 0; head < block_size; head += kKeyBlock * head_dim) {
      memcpy(values + to + head, values + from + head,
             count * static_cast<size_t>(head_dim) * sizeof(real));
    }
  });
}

void Attention(Stream& stream, const AttentionArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  const int64_t tokens = args.q.shape[0];
  int64_t keys = 0, longest = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t seen = args.positions.as<int32_t>()[t] + 1;
    keys += seen;
    longest = seen > longest ? seen : longest;
  }
  const bool fetch = keys * kv_heads * 2 * head_dim * int64_t{sizeof(real)} > kFetchBytes;
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  const ForwardTasks tasks =
      DivideForward(tokens, args.heads, kv_heads, longest, threads, !args.splits.empty());
  const int64_t parts = tasks.heads_apart ? kv_heads : 1, splits = tasks.splits;
  ParallelFor(stream, tasks.Count(tokens, kv_heads), [&](int64_t task) {
    const int64_t split = task % splits, kv = task / splits % parts;
    const int64_t begin = task / splits / parts * tasks.tokens;
    const int64_t end = begin + tasks.tokens < tokens ? begin + tasks.tokens : tokens;
    EachRun(args, begin, end, kv, parts == 1 ? kv_heads : kv + 1, [&](const Run& run) {
      if (splits > 1) {
        (fetch ? AttendRunSplit<true> : AttendRunSplit<false>)(args, run, splits, split);
      } else {
        (fetch ? AttendRun<true> : AttendRun<false>)(args, run);
      }
    });
  });
  if (splits == 1) return;
  ParallelFor(stream, tokens * args.heads,
              [&](int64_t row) { MergeSplits(args, splits, row / args.heads, row % args.heads); });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
