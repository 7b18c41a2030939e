// Grouped-query attention over a paged cache of keys and values: one routine for prefill, decode
// and the learner (numerics.md 3a). Query head h reads kv head h / (heads / kv_heads). A row's
// arithmetic depends on its own position only: key blocks of 64 at absolute positions, splits of
// 512 merged left to right. Layouts (numerics.md 10): k_cache [blocks, kv_heads, head_dim, 64],
// v_cache [blocks, kv_heads, 64, head_dim]. Only keys at positions <= the row's own are read, so
// what else a block holds (stale NaN) does not matter.
#pragma once

#include "kernels/op.h"

namespace grouper {

inline constexpr int64_t kMaxHeadDim = 256;

// Stores rotated keys and values of new tokens; token t goes to block_table[sequence[t]][position /
// 64].
struct AppendKvArgs {
  Tensor k;            // [tokens, kv_heads * head_dim]; rows may be strided
  Tensor v;            // [tokens, kv_heads * head_dim]
  Tensor sequence;     // [tokens] int32, row of block_table
  Tensor positions;    // [tokens] int32, absolute
  Tensor block_table;  // [sequences, max_blocks] int32
  Tensor k_cache;      // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;      // [blocks, kv_heads, 64, head_dim]
};
GROUPER_OP(AppendKv)

// out = softmax(scale * q k^T) v over keys 0..position, per token and head.
struct AttentionArgs {
  Tensor q;            // [tokens, heads * head_dim], rotated; rows may be strided
  Tensor sequence;     // [tokens] int32
  Tensor positions;    // [tokens] int32
  Tensor block_table;  // [sequences, max_blocks] int32
  Tensor k_cache;      // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;      // [blocks, kv_heads, 64, head_dim]
  Tensor out;          // [tokens, heads * head_dim]
  Tensor max_and_sum;  // [tokens, heads, 2] or empty: row maximum m and sum of exp(score - m), for
                       // the backward
  int64_t heads = 0;
  double scale = 0;
};
GROUPER_OP(Attention)

// Gradients of packed sequences: sequence s holds tokens [sequence_offsets[s], sequence_offsets[s +
// 1]) at positions 0, 1, ...; its keys are those of the forward's cache. dk and dv over query
// tokens ascending, heads of a kv head in order; independent of threads.
struct AttentionBackwardArgs {
  Tensor q;                 // [tokens, heads * head_dim]
  Tensor out;               // [tokens, heads * head_dim], the forward's
  Tensor dout;              // [tokens, heads * head_dim]
  Tensor max_and_sum;       // [tokens, heads, 2], the forward's
  Tensor sequence_offsets;  // [sequences + 1] int32
  Tensor block_table;       // [sequences, max_blocks] int32
  Tensor k_cache;           // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;           // [blocks, kv_heads, 64, head_dim]
  Tensor dq;                // [tokens, heads * head_dim] out; rows may be strided
  Tensor dk;                // [tokens, kv_heads * head_dim] out; rows may be strided
  Tensor dv;                // [tokens, kv_heads * head_dim] out; rows may be strided
  int64_t heads = 0;
  double scale = 0;
};
GROUPER_OP(AttentionBackward)

}  // namespace grouper
