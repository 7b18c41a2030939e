// The two halves of a layer, each with its forward and its backward pass: attention_block.cc and
// feed_forward_block.cc. Each adds its output to the residual stream. A backward pass takes its
// scratch memory from the arena and returns it.
#pragma once

#include "kernels/stream.h"
#include "policy/layers/rope_table.h"
#include "policy/memory/activations.h"
#include "policy/memory/token_batch.h"
#include "policy/weights.h"

namespace grouper {

// What a block needs in addition to its tensors.
struct BlockContext {
  Stream& stream;
  const PolicyConfig& config;
  const RopeTable& rope;
  const TokenBatch& batch;
  DType dtype;
  int64_t tokens;
  Arena& arena;
  int64_t attention_scratch = 0;  // elements that the forward pass of attention can use
};

// a->middle = x + attention(norm(x)); fills input_normed, qkv, attended, max_and_sum.
void AttentionBlockForward(const BlockContext& context, const LayerTensors& w, const Tensor& keys,
                           const Tensor& values, LayerActivations* a, bool keep);
// dx [tokens, width] holds d(middle) on entry, d(x) on return. `layer` is the number of the layer,
// which selects its gradient of shared prefixes.
void AttentionBlockBackward(const BlockContext& context, const LayerTensors& w,
                            const LayerTensors& transposed, const Tensor& keys,
                            const Tensor& values, const SequenceRows& sequences, int64_t layer,
                            const LayerActivations& a, const LayerTensors& grads, const Tensor& dx);

// out = middle + feed_forward(norm(middle)). It is a mixture of experts when `w` has a router, else
// dense.
// given_experts: [tokens, k] replaces the router's choice, unless it is empty.
void FeedForwardBlockForward(const BlockContext& context, const LayerTensors& w,
                             const Tensor& router_bias, const Tensor& given_experts,
                             LayerActivations* a, const Tensor& out);
// dx holds d(out) on entry, d(middle) on return.
void FeedForwardBlockBackward(const BlockContext& context, const LayerTensors& w,
                              const LayerTensors& transposed, const LayerActivations& a,
                              const LayerTensors& grads, const Tensor& dx);

}  // namespace grouper
