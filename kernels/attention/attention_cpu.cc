#include "kernels/attention/attention.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_math.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int kKeyLanes = 4;   // 64 keys
constexpr int kDimLanes = 16;  // head_dim up to 256
constexpr int kHeads = 4;      // query heads worked on together, so that chains overlap
constexpr int64_t kRowGrain = 16;

// Running softmax of one query head.
struct HeadState {
  real m, l;
  Lanes acc[kDimLanes];
};

GROUPER_INLINE void Start(HeadState* s, int64_t dims) {
  s->m = -INFINITY;
  s->l = 0;
  for (int64_t d = 0; d < dims; ++d) s->acc[d] = Zero();
}

// Scores of one block: chain over head_dim, times scale, -inf past the visible keys. Returns the
// maximum.
template <int kCount>
GROUPER_INLINE void BlockScores(const real* const* q, const real* keys, int64_t head_dim,
                                int64_t visible, real scale, Lanes (*score)[kKeyLanes]) {
  const int64_t vectors = (visible + kLanes - 1) / kLanes;
  for (int64_t v = 0; v < vectors; ++v) {
    Lanes acc[kCount];
    for (int h = 0; h < kCount; ++h) acc[h] = Zero();
    for (int64_t d = 0; d < head_dim; ++d) {
      const Lanes k = Load(keys + d * 64 + v * kLanes);
      for (int h = 0; h < kCount; ++h) acc[h] = Fma(Set(q[h][d]), k, acc[h]);
    }
    const Mask seen = FirstMask(visible - v * kLanes);
    for (int h = 0; h < kCount; ++h) {
      score[h][v] = Select(seen, Mul(acc[h], Set(scale)), Set(-INFINITY));
    }
  }
  for (int64_t v = vectors; v < kKeyLanes; ++v) {
    for (int h = 0; h < kCount; ++h) score[h][v] = Set(-INFINITY);
  }
}

// Sum over 64: index bits 5 and 4, then the lane bits.
GROUPER_INLINE real Sum64(const Lanes* p) { return SumTree(Add(Add(p[0], p[2]), Add(p[1], p[3]))); }

template <int kCount>
GROUPER_INLINE void BlockStep(const real* const* q, const real* keys, const real* values,
                              int64_t head_dim, int64_t visible, real scale, HeadState* state) {
  const int64_t dims = (head_dim + kLanes - 1) / kLanes;
  Lanes p[kCount][kKeyLanes];
  BlockScores<kCount>(q, keys, head_dim, visible, scale, p);
  real weight[kCount][64];
  for (int h = 0; h < kCount; ++h) {
    HeadState& s = state[h];
    const real largest = MaxOf(Max(Max(p[h][0], p[h][1]), Max(p[h][2], p[h][3])));
    const real m = largest > s.m ? largest : s.m;
    const real alpha = ExpReal(s.m - m);
    for (int v = 0; v < kKeyLanes; ++v) {
      p[h][v] = Exp(Sub(p[h][v], Set(m)));
      Store(weight[h] + v * kLanes, p[h][v]);
    }
    s.l = FmaReal(s.l, alpha, Sum64(p[h]));
    s.m = m;
    for (int64_t d = 0; d < dims; ++d) s.acc[d] = Mul(s.acc[d], Set(alpha));
  }
  for (int64_t d = 0; d < dims; ++d) {
    const int64_t n = head_dim - d * kLanes;
    Lanes acc[kCount];
    for (int h = 0; h < kCount; ++h) acc[h] = state[h].acc[d];
    for (int64_t j = 0; j < visible; ++j) {
      const Lanes v = LoadFirst(values + j * head_dim + d * kLanes, n);
      for (int h = 0; h < kCount; ++h) acc[h] = Fma(Set(weight[h][j]), v, acc[h]);
    }
    for (int h = 0; h < kCount; ++h) state[h].acc[d] = acc[h];
  }
}

// Splits of 512 keys, merged left to right.
GROUPER_INLINE void Merge(HeadState* total, const HeadState& part, int64_t dims) {
  const real m = part.m > total->m ? part.m : total->m;
  const real a1 = ExpReal(total->m - m), a2 = ExpReal(part.m - m);
  total->l = FmaReal(part.l, a2, total->l * a1);
  for (int64_t d = 0; d < dims; ++d) {
    total->acc[d] = Fma(part.acc[d], Set(a2), Mul(total->acc[d], Set(a1)));
  }
  total->m = m;
}

template <int kCount>
__attribute__((noinline)) void AttendHeads(const AttentionArgs& args, int64_t t, int64_t head) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  const int64_t dims = (head_dim + kLanes - 1) / kLanes;
  const int64_t kv = head / (args.heads / kv_heads);
  const int64_t visible = args.positions.as<int32_t>()[t] + 1;
  const int32_t* blocks =
      args.block_table.as<int32_t>() + args.sequence.as<int32_t>()[t] * args.block_table.row_stride;
  const real scale = static_cast<real>(args.scale);
  const real* q[kCount];
  for (int h = 0; h < kCount; ++h) {
    q[h] = args.q.as<real>() + t * args.q.row_stride + (head + h) * head_dim;
  }
  HeadState total[kCount], part[kCount];
  for (int64_t first = 0; first < visible; first += numerics::kKeySplit) {
    HeadState* state = first == 0 ? total : part;
    for (int h = 0; h < kCount; ++h) Start(&state[h], dims);
    const int64_t end =
        first + numerics::kKeySplit < visible ? first + numerics::kKeySplit : visible;
    for (int64_t key = first; key < end; key += 64) {
      const int64_t block = blocks[key / 64];
      const int64_t at = (block * kv_heads + kv) * head_dim * 64;
      BlockStep<kCount>(q, args.k_cache.as<real>() + at, args.v_cache.as<real>() + at, head_dim,
                        end - key < 64 ? end - key : 64, scale, state);
    }
    for (int h = 0; h < kCount && first > 0; ++h) Merge(&total[h], part[h], dims);
  }
  for (int h = 0; h < kCount; ++h) {
    real* out = args.out.as<real>() + t * args.out.row_stride + (head + h) * head_dim;
    for (int64_t d = 0; d < dims; ++d) {
      // + 0 makes the sign of a zero independent of skipped blocks.
      const Lanes y = Add(Div(total[h].acc[d], Set(total[h].l)), Zero());
      StoreFirst(out + d * kLanes, y, head_dim - d * kLanes);
    }
    if (!args.max_and_sum.empty()) {
      real* stats = args.max_and_sum.as<real>() + (t * args.heads + head + h) * 2;
      stats[0] = total[h].m;
      stats[1] = total[h].l;
    }
  }
}

}  // namespace

void AppendKv(Stream& stream, const AppendKvArgs& args) {
  const int64_t kv_heads = args.k_cache.shape[1], head_dim = args.k_cache.shape[2];
  ParallelRows(stream, args.k.shape[0], 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t position = args.positions.as<int32_t>()[t];
      const int64_t row = args.sequence.as<int32_t>()[t] * args.block_table.row_stride;
      const int64_t block = args.block_table.as<int32_t>()[row + position / 64];
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t at = (block * kv_heads + h) * head_dim * 64;
        const real* k = args.k.as<real>() + t * args.k.row_stride + h * head_dim;
        const real* v = args.v.as<real>() + t * args.v.row_stride + h * head_dim;
        real* keys = args.k_cache.as<real>() + at + position % 64;
        for (int64_t d = 0; d < head_dim; ++d) keys[d * 64] = k[d];
        memcpy(args.v_cache.as<real>() + at + position % 64 * head_dim, v,
               static_cast<size_t>(head_dim) * sizeof(real));
      }
    }
  });
}

void Attention(Stream& stream, const AttentionArgs& args) {
  const int64_t group = args.heads / args.k_cache.shape[1];
  ParallelRows(stream, args.q.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t first = 0; first < args.heads; first += group) {
        int64_t h = first;
        for (; h + kHeads <= first + group; h += kHeads) AttendHeads<kHeads>(args, t, h);
        for (; h + 2 <= first + group; h += 2) AttendHeads<2>(args, t, h);
        for (; h < first + group; ++h) AttendHeads<1>(args, t, h);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
