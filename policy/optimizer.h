// AdamW over the flat buffers of a policy: gradients and moments in the weights' own layout. A
// gradient that is not finite is refused before any weight moves. A weight or moment that an update
// made not finite is found in the same pass that made it; from then on weights and moments are
// spoiled, and nothing may save them or sample from them. Both errors name the tensor.
#pragma once

#include <string>

#include "policy/weights.h"

namespace grouper {

struct OptimizerRule {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;   // never on norms and embeddings
  double max_grad_norm = 1;  // 0: no clipping
};

class Optimizer {
 public:
  explicit Optimizer(Weights* weights);  // not owned
  // Bytes of the norm's partial sums over that many gradients. Gradients and moments take three
  // times the bytes of the weights.
  static int64_t NormBytes(int64_t elements);

  Buffer& grads() { return grads_; }
  const PolicyTensors& grad_tensors() const { return grad_tensors_; }
  void ClearGrads();

  // Clips by the global norm, moves the weights, rebuilds their transposed packing; t counts
  // from 1. Returns the norm before clipping. kInternal naming the tensor when the norm is not
  // finite; then nothing has moved. kUser naming the tensor when the update made a weight or a
  // moment that is not finite, because from finite numbers only the settings can bring that about;
  // then weights and moments are spoiled.
  double Update(Stream& stream, const OptimizerRule& rule, double lr);

  // True once an update has made a weight or a moment that is not finite. SaveCheckpoint refuses
  // such weights.
  bool spoiled() const { return spoiled_; }

  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  Buffer& m() { return m_; }
  Buffer& v() { return v_; }
  void ClearMoments();

 private:
  // "name[element]" of the first element of the buffer that is not finite, in the order of the
  // parameters and, inside a tensor, of the packed layout; empty: all are finite.
  std::string FirstNonFinite(const Buffer& buffer) const;
  [[noreturn]] void ThrowSpoiled(const OptimizerRule& rule, double lr, double norm) const;

  Weights* weights_;
  Buffer grads_, m_, v_, blocks_;
  PolicyTensors grad_tensors_;
  int64_t updates_ = 0;
  bool spoiled_ = false;
};

}  // namespace grouper
