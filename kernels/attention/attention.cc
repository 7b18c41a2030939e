#include "kernels/attention/attention.h"

#include <algorithm>
#include <string>

#include "kernels/attention/task_list.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"
#include "kernels/numerics.h"

namespace grouper {
namespace {

using numerics::kKeyBlock;

struct CacheShape {
  int64_t blocks, kv_heads, head_dim;
};

CacheShape CheckCaches(const Tensor& k_cache, const Tensor& v_cache) {
  CheckReal("[attention] k_cache", k_cache);
  CHECK(k_cache.rank == 4 && k_cache.shape[3] == kKeyBlock,
        "[attention] k_cache must be [blocks, kv_heads, head_dim, 64]",
        Named("shape", ShapeOf(k_cache)));
  const CacheShape shape{k_cache.shape[0], k_cache.shape[1], k_cache.shape[2]};
  CHECK(shape.head_dim >= 1 && shape.head_dim <= kMaxHeadDim,
        "[attention] head_dim must be from 1 to 256", Named("head_dim", shape.head_dim));
  const int64_t v[4] = {shape.blocks, shape.kv_heads, kKeyBlock, shape.head_dim};
  CheckTensor("[attention] v_cache", v_cache, k_cache.dtype, 4, v);
  return shape;
}

// Every token's row of the table and position must exist, or a kernel would read outside the cache.
// Reads the values of the tensors, so it serves the CPU only.
void CheckPlaces(const Tensor& sequence, const Tensor& positions, const Tensor& table,
                 int64_t blocks) {
  const int64_t tokens = sequence.dim(0), rows = table.dim(0), columns = table.dim(1);
  for (int64_t t = 0; t < tokens; ++t) {
    const int32_t s = sequence.as<int32_t>()[t], p = positions.as<int32_t>()[t];
    CHECK(s >= 0 && s < rows && p >= 0 && p / kKeyBlock < columns,
          "[attention] a token lies outside the block table", Named("token", t),
          Named("sequence", s), Named("position", p));
    const int32_t block = table.as<int32_t>()[s * columns + p / kKeyBlock];
    CHECK(block >= 0 && block < blocks, "[attention] a block of the table lies outside the cache",
          Named("token", t), Named("block", block), Named("blocks", blocks));
  }
}

// Each sequence lies in the tokens, and one that begins later has a shared prefix, which lies
// inside the prefix_rows rows of prefix_dk and prefix_dv. Reads values, as CheckPlaces.
void CheckSequences(const AttentionBackwardArgs& args, int64_t prefix_rows) {
  const int64_t tokens = args.q.dim(0), sequences = args.sequence_offsets.dim(0) - 1;
  const int32_t* offsets = args.sequence_offsets.as<int32_t>();
  CHECK(offsets[0] == 0 && offsets[sequences] == tokens,
        "[attention_backward] sequence_offsets must begin at 0 and end at the number of tokens",
        Named("last_offset", offsets[sequences]), Named("tokens", tokens));
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t first = args.first_positions.empty() ? 0 : args.first_positions.as<int32_t>()[s];
    const int32_t prefix = args.prefixes.empty() ? -1 : args.prefixes.as<int32_t>()[s];
    const int32_t count = offsets[s + 1] - offsets[s], shared = first > 0 ? first : count;
    CHECK(prefix >= -1 && first >= 0 && (prefix < 0 ? first == 0 : prefix + shared <= prefix_rows),
          "[attention_backward] a sequence and its prefix do not fit together",
          Named("sequence", s), Named("first_position", first), Named("prefix", prefix),
          Named("prefix_rows", prefix_rows));
    CHECK((first + count + kKeyBlock - 1) / kKeyBlock <= args.block_table.dim(1),
          "[attention_backward] a sequence has more positions than its row of the block table",
          Named("sequence", s), Named("positions", first + count));
  }
}

void CheckCopies(const CopyKvArgs& args, int64_t blocks) {
  for (int64_t i = 0; i < args.from.dim(0); ++i) {
    const int32_t from = args.from.as<int32_t>()[i], to = args.to.as<int32_t>()[i];
    const int32_t count = args.counts.as<int32_t>()[i];
    CHECK(from >= 0 && from < blocks && to >= 0 && to < blocks && from != to && count >= 1 &&
              count <= kKeyBlock,
          "[copy_kv] a copy must lead from one block of the cache to another", Named("copy", i),
          Named("from", from), Named("to", to), Named("positions", count));
  }
}

}  // namespace

void AppendKv(Stream& stream, const AppendKvArgs& args) {
  const CacheShape shape = CheckCaches(args.k_cache, args.v_cache);
  const int64_t tokens = args.k.dim(0);
  CheckMatrix("[append_kv] k", args.k, args.k_cache.dtype, tokens, shape.kv_heads * shape.head_dim);
  CheckMatrix("[append_kv] v", args.v, args.k_cache.dtype, tokens, shape.kv_heads * shape.head_dim);
  CheckVector("[append_kv] sequence", args.sequence, DType::kInt32, tokens);
  CheckVector("[append_kv] positions", args.positions, DType::kInt32, tokens);
  CheckMatrix("[append_kv] block_table", args.block_table, DType::kInt32, -1, -1);
  GROUPER_DISPATCH(AppendKv, stream, args, args.k_cache.dtype,
                   CheckPlaces(args.sequence, args.positions, args.block_table, shape.blocks));
}

void CopyKv(Stream& stream, const CopyKvArgs& args) {
  const CacheShape shape = CheckCaches(args.k_cache, args.v_cache);
  const int64_t copies = args.from.dim(0);
  CheckVector("[copy_kv] from", args.from, DType::kInt32, copies);
  CheckVector("[copy_kv] to", args.to, DType::kInt32, copies);
  CheckVector("[copy_kv] counts", args.counts, DType::kInt32, copies);
  GROUPER_DISPATCH(CopyKv, stream, args, args.k_cache.dtype, CheckCopies(args, shape.blocks));
}

int64_t AttentionScratch(int64_t threads, int64_t tokens, int64_t longest, int64_t heads,
                         int64_t kv_heads, int64_t head_dim) {
  const int64_t splits = cpu::DivideForward(tokens, heads, kv_heads, longest, threads, true).splits;
  return splits == 1 ? 0 : tokens * heads * splits * (head_dim + 2);
}

namespace {

// Reads values, as CheckPlaces.
void CheckForward(const Stream& stream, const AttentionArgs& args, const CacheShape& shape) {
  CheckPlaces(args.sequence, args.positions, args.block_table, shape.blocks);
  if (args.splits.empty()) return;
  const int64_t tokens = args.q.dim(0);
  int64_t longest = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    longest = std::max<int64_t>(longest, args.positions.as<int32_t>()[t] + 1);
  }
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  const int64_t needed =
      AttentionScratch(threads, tokens, longest, args.heads, shape.kv_heads, shape.head_dim);
  CHECK(args.splits.dim(0) >= needed, "[attention] splits has fewer elements than are needed",
        Named("elements", args.splits.dim(0)), Named("needed", needed));
}

}  // namespace

void Attention(Stream& stream, const AttentionArgs& args) {
  const CacheShape shape = CheckCaches(args.k_cache, args.v_cache);
  const int64_t tokens = args.q.dim(0);
  CHECK(args.heads >= 1 && args.heads % shape.kv_heads == 0,
        "[attention] heads must be a multiple of kv_heads", Named("heads", args.heads),
        Named("kv_heads", shape.kv_heads));
  CheckMatrix("[attention] q", args.q, args.k_cache.dtype, tokens, args.heads * shape.head_dim);
  CheckMatrix("[attention] out", args.out, args.k_cache.dtype, tokens, args.heads * shape.head_dim);
  CheckVector("[attention] sequence", args.sequence, DType::kInt32, tokens);
  CheckVector("[attention] positions", args.positions, DType::kInt32, tokens);
  CheckMatrix("[attention] block_table", args.block_table, DType::kInt32, -1, -1);
  if (!args.max_and_sum.empty()) {
    const int64_t stats[3] = {tokens, args.heads, 2};
    CheckTensor("[attention] max_and_sum", args.max_and_sum, args.k_cache.dtype, 3, stats);
  }
  if (!args.splits.empty()) {
    CheckVector("[attention] splits", args.splits, args.k_cache.dtype, -1);
  }
  GROUPER_DISPATCH(Attention, stream, args, args.k_cache.dtype, CheckForward(stream, args, shape));
}

void AttentionBackward(Stream& stream, const AttentionBackwardArgs& args) {
  const CacheShape shape = CheckCaches(args.k_cache, args.v_cache);
  const DType dtype = args.k_cache.dtype;
  const int64_t tokens = args.q.dim(0), width = args.heads * shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  CheckMatrix("[attention_backward] q", args.q, dtype, tokens, width);
  CheckMatrix("[attention_backward] out", args.out, dtype, tokens, width);
  CheckMatrix("[attention_backward] dout", args.dout, dtype, tokens, width);
  CheckMatrix("[attention_backward] dq", args.dq, dtype, tokens, width);
  CheckMatrix("[attention_backward] dk", args.dk, dtype, tokens, kv_width);
  CheckMatrix("[attention_backward] dv", args.dv, dtype, tokens, kv_width);
  const int64_t stats[3] = {tokens, args.heads, 2};
  CheckTensor("[attention_backward] max_and_sum", args.max_and_sum, dtype, 3, stats);
  const int64_t sequences = args.sequence_offsets.dim(0) - 1;
  CheckVector("[attention_backward] sequence_offsets", args.sequence_offsets, DType::kInt32,
              sequences + 1);
  CheckMatrix("[attention_backward] block_table", args.block_table, DType::kInt32, sequences, -1);
  if (!args.first_positions.empty()) {
    CheckVector("[attention_backward] first_positions", args.first_positions, DType::kInt32,
                sequences);
  }
  int64_t prefix_rows = 0;
  if (!args.prefixes.empty()) {
    CheckVector("[attention_backward] prefixes", args.prefixes, DType::kInt32, sequences);
    prefix_rows = args.prefix_dk.dim(0);
    CheckMatrix("[attention_backward] prefix_dk", args.prefix_dk, dtype, prefix_rows, kv_width);
    CheckMatrix("[attention_backward] prefix_dv", args.prefix_dv, dtype, prefix_rows, kv_width);
  }
  GROUPER_DISPATCH(AttentionBackward, stream, args, dtype, CheckSequences(args, prefix_rows));
}

}  // namespace grouper
