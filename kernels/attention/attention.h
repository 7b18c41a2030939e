// Grouped-query attention (Ainslie et al. 2023) over a paged cache of keys and values. Prefill,
// decode and the learner call the same routine (docs/numerics.md 4).
//
// Query head h reads kv head h / (heads / kv_heads). The cache is an array of blocks of 64
// positions (numerics::kKeyBlock); row s of block_table lists the blocks of sequence s in order, so
// position p of the sequence lies in block block_table[s][p / 64] at p % 64:
//   k_cache [blocks, kv_heads, head_dim, 64]    v_cache [blocks, kv_heads, 64, head_dim]
//
// Softmax and the weighted sum run over blocks of keys with a running maximum and sum (Milakov and
// Gimelshein 2018), at absolute positions: blocks begin at multiples of 64, splits at multiples of
// 512, and splits are merged left to right. So a row's arithmetic depends on its own position only.
// Only keys at positions up to the row's own are read; what else a block holds (old NaN, too) does
// not matter.
#pragma once

#include "kernels/op.h"

namespace grouper {

inline constexpr int64_t kMaxHeadDim = 256;

// Writes the rotated keys and the values of new tokens into the cache.
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

// Copies keys and values of the first positions of some blocks into other blocks: the block in
// which a shared prompt ends is continued by each completion in a block of its own.
struct CopyKvArgs {
  Tensor from;     // [copies] int32, blocks
  Tensor to;       // [copies] int32, blocks
  Tensor counts;   // [copies] int32, positions: from 1 to 64
  Tensor k_cache;  // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;  // [blocks, kv_heads, 64, head_dim]
};
GROUPER_OP(CopyKv)

// The elements of scratch memory with which the threads can share the keys of a few long sequences;
// 0 if there are rows enough for all threads. `longest`: the most keys that a token sees. Without
// scratch the result is the same.
int64_t AttentionScratch(int64_t threads, int64_t tokens, int64_t longest, int64_t heads,
                         int64_t kv_heads, int64_t head_dim);

// out = softmax(scale * q k^T) v over keys 0 .. position, for each token and head.
struct AttentionArgs {
  Tensor q;            // [tokens, heads * head_dim], rotated; rows may be strided
  Tensor sequence;     // [tokens] int32
  Tensor positions;    // [tokens] int32
  Tensor block_table;  // [sequences, max_blocks] int32
  Tensor k_cache;      // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;      // [blocks, kv_heads, 64, head_dim]
  Tensor out;          // [tokens, heads * head_dim]
  Tensor max_and_sum;  // [tokens, heads, 2] or empty: largest score m and sum of exp(score - m),
                       // which the backward reads
  Tensor splits;       // scratch of AttentionScratch elements, or empty
  int64_t heads = 0;
  double scale = 0;
};
GROUPER_OP(Attention)

// Gradients of packed sequences. Sequence s has the rows [sequence_offsets[s], sequence_offsets[s +
// 1]) at positions first_positions[s], first_positions[s] + 1, ...; its keys and values are those
// in the forward's cache.
//
// Sequences may share a prefix, the positions before their first ones, as the completions of a
// group share their prompt. Such sequences are neighbours, and prefixes[s] is the row of prefix_dk
// and prefix_dv that holds position 0 of the prefix; -1: sequence s shares nothing. Their gradients
// of the prefix's keys and values are added to those rows. The last sequence of the neighbours may
// be the prefix itself, with first position 0: its dk and dv begin with the sums in those rows. It
// may also come in a later call, which is given the same rows.
//
// Each element of dk, dv, prefix_dk and prefix_dv is one chain over the query rows in ascending
// order, and for each row over the heads of the kv head in order; threads and calls do not change
// that order.
struct AttentionBackwardArgs {
  Tensor q;                 // [tokens, heads * head_dim]
  Tensor out;               // [tokens, heads * head_dim], the forward's
  Tensor dout;              // [tokens, heads * head_dim]
  Tensor max_and_sum;       // [tokens, heads, 2], the forward's
  Tensor sequence_offsets;  // [sequences + 1] int32
  Tensor first_positions;   // [sequences] int32, or empty: all 0
  Tensor prefixes;          // [sequences] int32, or empty: nothing is shared
  Tensor block_table;       // [sequences, max_blocks] int32
  Tensor k_cache;           // [blocks, kv_heads, head_dim, 64]
  Tensor v_cache;           // [blocks, kv_heads, 64, head_dim]
  Tensor dq;                // [tokens, heads * head_dim] out; rows may be strided
  Tensor dk;                // [tokens, kv_heads * head_dim] out; rows may be strided
  Tensor dv;                // [tokens, kv_heads * head_dim] out; rows may be strided
  Tensor prefix_dk;         // [rows, kv_heads * head_dim] in and out; rows may be strided
  Tensor prefix_dv;         // [rows, kv_heads * head_dim] in and out; rows may be strided
  int64_t heads = 0;
  double scale = 0;
};
GROUPER_OP(AttentionBackward)

}  // namespace grouper
