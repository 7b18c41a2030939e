// The policy: a transformer with grouped-query attention and dense or mixture-of-experts layers.
// Prefill, decoding and the learner call the same Forward, so their log-probabilities agree by
// construction (docs/numerics.md 1). It computes log-probs and gradients and knows nothing of
// advantages (docs/ARCHITECTURE.md, "Invariants"). Not thread-safe to change; several threads may
// run Forward at once on serial streams with their own Activations and disjoint sequences.
#pragma once

#include <memory>

#include "policy/layers/rope_table.h"
#include "policy/memory/activations.h"
#include "policy/memory/kv_cache.h"
#include "policy/memory/token_batch.h"
#include "policy/weights.h"

namespace grouper {

class Policy {
 public:
  Policy(const PolicyConfig& config, DType dtype);

  const PolicyConfig& config() const { return weights_.config(); }
  DType dtype() const { return weights_.dtype(); }
  Weights& weights() { return weights_; }
  const Weights& weights() const { return weights_; }
  const RopeTable& rope() const { return rope_; }

  // Appends keys and values of the batch to the cache and fills acts->logits [rows, vocab] (and,
  // with acts->keep, all that Backward needs). Resets acts->arena first. A token sees its
  // sequence's cached positions up to its own; tokens of one sequence may come in any number of
  // calls.
  void Forward(Stream& stream, const TokenBatch& batch, KvCache* cache, Activations* acts) const;

  // Continues the parameter gradients (layout of Weights) with those of a kept forward of sequences
  // in canonical order, each from position 0 or from the end of its shared prefix on. dlogits
  // [rows, vocab] is consumed. A micro-batch boundary between calls changes no bit.
  void Backward(Stream& stream, const TokenBatch& batch, const SequenceRows& sequences,
                const KvCache& cache, const Tensor& dlogits, Activations* acts,
                const PolicyTensors& grads) const;

 private:
  Weights weights_;
  RopeTable rope_;
};

}  // namespace grouper
