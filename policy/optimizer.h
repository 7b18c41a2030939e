// AdamW over the flat buffers of a policy: gradients and moments in the weights' own layout. An
// update that would apply a gradient that is not finite throws before any weight moves, naming the
// tensor.
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
  // finite.
  double Update(Stream& stream, const OptimizerRule& rule, double lr);

  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  Buffer& m() { return m_; }
  Buffer& v() { return v_; }
  void ClearMoments();

 private:
  std::string FirstNonFinite() const;

  Weights* weights_;
  Buffer grads_, m_, v_, blocks_;
  PolicyTensors grad_tensors_;
  int64_t updates_ = 0;
};

}  // namespace grouper
