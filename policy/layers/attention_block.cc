#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/embed/rope.h"
#include "kernels/gemm/matmul.h"
#include "kernels/norm/rms_norm.h"
#include "policy/layers/blocks.h"

namespace grouper {
namespace {

double SoftmaxScale(const PolicyConfig& config) {
  return 1 / std::sqrt(static_cast<double>(config.attention().head_dim()));
}

// Rotates q and k, which lie side by side in a row, in one call.
void Rotate(const BlockContext& c, const Tensor& qkv, bool inverse) {
  Rope(c.stream, {.x = qkv.Columns(0, QueryWidth(c.config) + KvWidth(c.config)),
                  .positions = c.batch.positions,
                  .cos = c.rope.cos(),
                  .sin = c.rope.sin(),
                  .head_dim = c.config.attention().head_dim(),
                  .interleaved = false,
                  .inverse = inverse});
}

}  // namespace

void AttentionBlockForward(const BlockContext& c, const LayerTensors& w, const Tensor& keys,
                           const Tensor& values, LayerActivations* a, bool keep) {
  const int64_t q = QueryWidth(c.config), kv = KvWidth(c.config),
                heads = c.config.attention().heads();
  a->input_normed = c.arena.Matrix("input_normed", c.dtype, c.tokens, c.config.width());
  a->qkv = c.arena.Matrix("qkv", c.dtype, c.tokens, QkvWidth(c.config));
  a->attended = c.arena.Matrix("attended", c.dtype, c.tokens, q);
  a->max_and_sum = keep ? c.arena.Cube("max_and_sum", c.dtype, c.tokens, heads, 2) : Tensor();
  a->middle = c.arena.Matrix("middle", c.dtype, c.tokens, c.config.width());

  RmsNorm(
      c.stream,
      {.x = a->x, .gain = w.input_norm, .out = a->input_normed, .eps = c.config.rms_norm_eps()});
  Matmul(c.stream,
         {.x = a->input_normed, .weight = w.qkv, .bias = {}, .residual = {}, .out = a->qkv});
  Rotate(c, a->qkv, false);
  AppendKv(c.stream, {.k = a->qkv.Columns(q, kv),
                      .v = a->qkv.Columns(q + kv, kv),
                      .sequence = c.batch.sequence,
                      .positions = c.batch.positions,
                      .block_table = c.batch.block_table,
                      .k_cache = keys,
                      .v_cache = values});
  if (!c.batch.copy_from.empty()) {
    CopyKv(c.stream, {.from = c.batch.copy_from,
                      .to = c.batch.copy_to,
                      .counts = c.batch.copy_counts,
                      .k_cache = keys,
                      .v_cache = values});
  }
  const Arena::Mark mark = c.arena.mark();
  const Tensor splits =
      c.attention_scratch > 0 ? c.arena.Vector("splits", c.dtype, c.attention_scratch) : Tensor();
  Attention(c.stream, {.q = a->qkv.Columns(0, q),
                       .sequence = c.batch.sequence,
                       .positions = c.batch.positions,
                       .block_table = c.batch.block_table,
                       .k_cache = keys,
                       .v_cache = values,
                       .out = a->attended,
                       .max_and_sum = a->max_and_sum,
                       .splits = splits,
                       .heads = heads,
                       .scale = SoftmaxScale(c.config)});
  c.arena.ReturnTo(mark);
  Matmul(c.stream,
         {.x = a->attended, .weight = w.out_proj, .bias = {}, .residual = a->x, .out = a->middle});
}

void AttentionBlockBackward(const BlockContext& c, const LayerTensors& w,
                            const LayerTensors& transposed, const Tensor& keys,
                            const Tensor& values, const SequenceRows& sequences, int64_t layer,
                            const LayerActivations& a, const LayerTensors& grads,
                            const Tensor& dx) {
  const int64_t q = QueryWidth(c.config), kv = KvWidth(c.config);
  const Arena::Mark mark = c.arena.mark();
  const Tensor prefix = sequences.prefix_gradients.empty()
                            ? Tensor()
                            : sequences.prefix_gradients[static_cast<size_t>(layer)];
  const Tensor dattended = c.arena.Matrix("backward", c.dtype, c.tokens, q);
  const Tensor dqkv = c.arena.Matrix("backward", c.dtype, c.tokens, QkvWidth(c.config));
  const Tensor dnormed = c.arena.Matrix("backward", c.dtype, c.tokens, c.config.width());
  const Tensor inv = c.arena.Vector("backward", c.dtype, c.tokens);

  MatmulWeightGrad(c.stream, {.x = a.attended, .dy = dx, .grad = grads.out_proj});
  Matmul(c.stream,
         {.x = dx, .weight = transposed.out_proj, .bias = {}, .residual = {}, .out = dattended});
  AttentionBackward(c.stream, {.q = a.qkv.Columns(0, q),
                               .out = a.attended,
                               .dout = dattended,
                               .max_and_sum = a.max_and_sum,
                               .sequence_offsets = sequences.offsets,
                               .first_positions = sequences.first_positions,
                               .prefixes = prefix.empty() ? Tensor() : sequences.prefixes,
                               .block_table = c.batch.block_table,
                               .k_cache = keys,
                               .v_cache = values,
                               .dq = dqkv.Columns(0, q),
                               .dk = dqkv.Columns(q, kv),
                               .dv = dqkv.Columns(q + kv, kv),
                               .prefix_dk = prefix.empty() ? Tensor() : prefix.Columns(0, kv),
                               .prefix_dv = prefix.empty() ? Tensor() : prefix.Columns(kv, kv),
                               .heads = c.config.attention().heads(),
                               .scale = SoftmaxScale(c.config)});
  Rotate(c, dqkv, true);
  MatmulWeightGrad(c.stream, {.x = a.input_normed, .dy = dqkv, .grad = grads.qkv});
  Matmul(c.stream,
         {.x = dqkv, .weight = transposed.qkv, .bias = {}, .residual = {}, .out = dnormed});
  RmsNormBackward(c.stream, {.x = a.x,
                             .gain = w.input_norm,
                             .dy = dnormed,
                             .dx = dx,
                             .dgain = grads.input_norm,
                             .inv = inv,
                             .eps = c.config.rms_norm_eps()});
  c.arena.ReturnTo(mark);
}

}  // namespace grouper
