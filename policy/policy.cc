#include "policy/policy.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embed/embedding.h"
#include "kernels/embed/packed_embedding.h"
#include "kernels/gemm/matmul.h"
#include "kernels/norm/rms_norm.h"
#include "policy/layers/blocks.h"
#include "policy/layers/tied_gradient.h"
#include "policy/memory/activation_bytes.h"

namespace grouper {
namespace {

// The most keys that a token of the batch sees.
int64_t LongestOf(const Tensor& positions) {
  const int32_t* begin = positions.as<int32_t>();
  const int64_t n = positions.dim(0);
  return n == 0 ? 0 : int64_t{*std::max_element(begin, begin + n)} + 1;
}

// Adds the gradient of the rows with logits to dx [tokens, width]. A tied head's own gradient is
// left to TiedGradient.
void HeadBackward(const BlockContext& c, const Weights& weights, const Tensor& dlogits,
                  const Activations& acts, const PolicyTensors& grads, const Tensor& dx) {
  const int64_t rows = dlogits.dim(0), d = c.config.width();
  const Tensor dnormed = c.arena.Matrix("backward", c.dtype, rows, d);
  const Tensor drows = c.arena.Matrix("backward", c.dtype, rows, d);
  const Tensor inv = c.arena.Vector("backward", c.dtype, rows);
  std::memset(drows.data, 0, static_cast<size_t>(drows.elements()) * SizeOf(c.dtype));
  if (!c.config.tied_head()) {
    MatmulWeightGrad(c.stream, {.x = acts.logit_normed, .dy = dlogits, .grad = grads.head});
  }
  Matmul(c.stream, {.x = dlogits,
                    .weight = weights.transposed().head,
                    .bias = {},
                    .residual = {},
                    .out = dnormed});
  RmsNormBackward(c.stream, {.x = acts.logit_x,
                             .gain = weights.tensors().final_norm,
                             .dy = dnormed,
                             .dx = drows,
                             .dgain = grads.final_norm,
                             .inv = inv,
                             .eps = c.config.rms_norm_eps()});
  EmbeddingBackward(c.stream, {.ids = c.batch.logit_rows, .dout = drows, .dtable = dx});
}

}  // namespace

Policy::Policy(const PolicyConfig& config, DType dtype)
    : weights_(config, dtype), rope_(config, dtype) {}

void Policy::Forward(Stream& stream, const TokenBatch& batch, KvCache* cache,
                     Activations* acts) const {
  const PolicyConfig& config = weights_.config();
  const PolicyTensors& w = weights_.tensors();
  const int64_t tokens = batch.ids.dim(0), d = config.width();
  const bool given = !batch.given_experts.empty();
  CHECK(!given || static_cast<int64_t>(batch.given_experts.size()) == MoeLayers(config),
        "[policy] experts must be given for every MoE layer or for none",
        Named("given", batch.given_experts.size()), Named("moe_layers", MoeLayers(config)));
  Arena& arena = acts->arena;
  arena.Reset();
  const int64_t scratch = AttentionScratch(
      stream.pool == nullptr ? 1 : stream.pool->threads(), tokens, LongestOf(batch.positions),
      config.attention().heads(), config.attention().kv_heads(), config.attention().head_dim());
  arena.Reserve(static_cast<size_t>(ActivationBytesOf(config, dtype(),
                                                      {.tokens = tokens,
                                                       .logit_rows = batch.logit_rows.dim(0),
                                                       .keep = acts->keep,
                                                       .attention_scratch = scratch})
                                        .total));
  acts->layers.assign(static_cast<size_t>(config.layers()), {});
  for (int64_t i = 0; i < config.layers(); ++i) {
    if (!IsMoeLayer(config, i)) continue;
    acts->layers[static_cast<size_t>(i)].experts =
        arena.Matrix("experts", DType::kInt32, tokens, config.moe().experts_per_token());
  }
  const BlockContext context{stream, config, rope_, batch, dtype(), tokens, arena, scratch};
  // Rollout keeps one layer, whose input and output swap their memory.
  Tensor x = arena.Matrix("x", dtype(), tokens, d);
  Tensor spare = acts->keep ? Tensor() : arena.Matrix("x", dtype(), tokens, d);
  if (config.tied_head()) {
    PackedEmbedding(stream, {.ids = batch.ids, .table = weights_.transposed().head, .out = x});
  } else {
    Embedding(stream, {.ids = batch.ids, .table = w.embedding, .out = x});
  }
  size_t moe_layer = 0;
  for (int64_t i = 0; i < config.layers(); ++i) {
    LayerActivations& a = acts->layers[static_cast<size_t>(i)];
    const LayerTensors& layer = w.layers[static_cast<size_t>(i)];
    const Tensor out = acts->keep ? arena.Matrix("x", dtype(), tokens, d) : spare;
    const Arena::Mark mark = arena.mark();
    a.x = x;
    AttentionBlockForward(context, layer, cache->keys(i), cache->values(i), &a, acts->keep);
    const Tensor experts =
        given && IsMoeLayer(config, i) ? batch.given_experts[moe_layer++] : Tensor();
    FeedForwardBlockForward(context, layer, weights_.RouterBias(i), experts, &a, out);
    if (!acts->keep) {
      arena.ReturnTo(mark);
      spare = x;
    }
    x = out;
  }
  acts->final_x = x;

  const int64_t rows = batch.logit_rows.dim(0);
  acts->logit_x = arena.Matrix("logit_x", dtype(), rows, d);
  acts->logit_normed = arena.Matrix("logit_normed", dtype(), rows, d);
  acts->logits = arena.Matrix("logits", dtype(), rows, config.vocab_size());
  if (rows == 0) return;
  Embedding(stream, {.ids = batch.logit_rows, .table = x, .out = acts->logit_x});
  RmsNorm(stream, {.x = acts->logit_x,
                   .gain = w.final_norm,
                   .out = acts->logit_normed,
                   .eps = config.rms_norm_eps()});
  Matmul(
      stream,
      {.x = acts->logit_normed, .weight = w.head, .bias = {}, .residual = {}, .out = acts->logits});
}

void Policy::Backward(Stream& stream, const TokenBatch& batch, const SequenceRows& sequences,
                      const KvCache& cache, const Tensor& dlogits, Activations* acts,
                      const PolicyTensors& grads) const {
  CHECK(acts->keep, "[policy] Backward needs a forward that kept its activations");
  const PolicyConfig& config = weights_.config();
  const PolicyTensors &w = weights_.tensors(), &t = weights_.transposed();
  const int64_t tokens = batch.ids.dim(0), rows = batch.logit_rows.dim(0);
  Arena& arena = acts->arena;
  const Arena::Mark mark = arena.mark();
  const BlockContext context{stream, config, rope_, batch, dtype(), tokens, arena};

  const Tensor dx = arena.Matrix("dx", dtype(), tokens, config.width());
  std::memset(dx.data, 0, static_cast<size_t>(dx.elements()) * SizeOf(dtype()));
  if (rows > 0) HeadBackward(context, weights_, dlogits, *acts, grads, dx);

  for (int64_t i = config.layers() - 1; i >= 0; --i) {
    const size_t layer = static_cast<size_t>(i);
    const LayerActivations& a = acts->layers[layer];
    FeedForwardBlockBackward(context, w.layers[layer], t.layers[layer], a, grads.layers[layer], dx);
    AttentionBlockBackward(context, w.layers[layer], t.layers[layer], cache.keys(i),
                           cache.values(i), sequences, i, a, grads.layers[layer], dx);
  }
  if (config.tied_head()) {
    TiedGradient(stream, {.ids = batch.ids,
                          .logit_rows = batch.logit_rows,
                          .sequence_offsets = sequences.offsets,
                          .normed = acts->logit_normed,
                          .dlogits = dlogits,
                          .dx = dx,
                          .grad = grads.head});
  } else {
    EmbeddingBackward(stream, {.ids = batch.ids, .dout = dx, .dtable = grads.embedding});
  }
  arena.ReturnTo(mark);
}

}  // namespace grouper
