#include "kernels/attention/attention.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_math.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kMaxDim = 256;

// One block of keys in both layouts, and its gradients, on the stack: at most 4 x 64 KiB in fp32.
struct KeyBlock {
  real key_rows[64 * kMaxDim];              // [64][head_dim]
  real value_columns[kMaxDim * 64];         // [head_dim][64]
  real dk[64 * kMaxDim], dv[64 * kMaxDim];  // [64][head_dim]
};

struct Task {
  const AttentionBackwardArgs& args;
  int64_t head_dim, kv_heads, group, kv;
  int64_t begin, length;  // tokens of the sequence
  const int32_t* blocks;
};

GROUPER_INLINE real Dot(const real* a, const real* b, int64_t n) {
  Lanes chain = Zero();
  for (int64_t i = 0; i < n; i += kLanes)
    chain = Fma(LoadFirst(a + i, n - i), LoadFirst(b + i, n - i), chain);
  return SumTree(chain);
}

// Gradient contributions of query token i, head h against one block of `visible` keys.
GROUPER_INLINE void QueryStep(const Task& task, int64_t i, int64_t head, const real* keys,
                              int64_t visible, bool first_block, KeyBlock* block) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim, token = task.begin + i;
  const real* q = args.q.as<real>() + token * args.q.row_stride + head * n;
  const real* out = args.out.as<real>() + token * args.out.row_stride + head * n;
  const real* dout = args.dout.as<real>() + token * args.dout.row_stride + head * n;
  real* dq = args.dq.as<real>() + token * args.dq.row_stride + head * n;
  const real* stats = args.max_and_sum.as<real>() + (token * args.heads + head) * 2;
  const Lanes scale = Set(static_cast<real>(args.scale)), m = Set(stats[0]), l = Set(stats[1]);
  const Lanes delta = Set(Dot(dout, out, n));
  real p[64], ds[64];
  for (int64_t v = 0; v * kLanes < visible; ++v) {
    Lanes score = Zero(), dp = Zero();
    for (int64_t d = 0; d < n; ++d) {
      score = Fma(Set(q[d]), Load(keys + d * 64 + v * kLanes), score);
      dp = Fma(Set(dout[d]), Load(block->value_columns + d * 64 + v * kLanes), dp);
    }
    const Mask seen = FirstMask(visible - v * kLanes);
    const Lanes weight = Select(seen, Div(Exp(Sub(Mul(score, scale), m)), l), Zero());
    Store(p + v * kLanes, weight);
    Store(ds + v * kLanes, Select(seen, Mul(Mul(weight, Sub(dp, delta)), scale), Zero()));
  }
  for (int64_t d = 0; d < n; d += kLanes) {
    const int64_t rest = n - d;
    const Lanes q_part = LoadFirst(q + d, rest), dout_part = LoadFirst(dout + d, rest);
    Lanes sum = first_block ? Zero() : LoadFirst(dq + d, rest);
    for (int64_t j = 0; j < visible; ++j) {
      const Lanes slope = Set(ds[j]);
      real *dk = block->dk + j * n + d, *dv = block->dv + j * n + d;
      sum = Fma(slope, LoadFirst(block->key_rows + j * n + d, rest), sum);
      StoreFirst(dk, Fma(slope, q_part, LoadFirst(dk, rest)), rest);
      StoreFirst(dv, Fma(Set(p[j]), dout_part, LoadFirst(dv, rest)), rest);
    }
    StoreFirst(dq + d, sum, rest);
  }
}

__attribute__((noinline)) void BackwardBlock(const Task& task, int64_t first_key) {
  const AttentionBackwardArgs& args = task.args;
  const int64_t n = task.head_dim;
  const int64_t count = task.length - first_key < 64 ? task.length - first_key : 64;
  const int64_t at = (task.blocks[first_key / 64] * task.kv_heads + task.kv) * n * 64;
  const real* keys = args.k_cache.as<real>() + at;
  const real* values = args.v_cache.as<real>() + at;
  KeyBlock block;
  for (int64_t d = 0; d < n; ++d) {
    for (int64_t j = 0; j < 64; ++j) {
      // Slots past the sequence may hold anything, NaN too: they are zeros here.
      block.key_rows[j * n + d] = j < count ? keys[d * 64 + j] : real{0};
      block.value_columns[d * 64 + j] = j < count ? values[j * n + d] : real{0};
    }
  }
  memset(block.dk, 0, static_cast<size_t>(64 * n) * sizeof(real));
  memset(block.dv, 0, static_cast<size_t>(64 * n) * sizeof(real));
  for (int64_t i = first_key; i < task.length; ++i) {
    const int64_t visible = i - first_key + 1 < count ? i - first_key + 1 : count;
    for (int64_t h = 0; h < task.group; ++h) {
      QueryStep(task, i, task.kv * task.group + h, keys, visible, first_key == 0, &block);
    }
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
    for (int64_t key = 0; key < task.length; key += 64) BackwardBlock(task, key);
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
