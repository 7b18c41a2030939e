// Cosines and sines by position, computed once on the host: angle = fp32(position) *
// fp32(inv_freq), cosine and sine in double, rounded once (docs/numerics.md 3). The hash goes into
// checkpoints. In fp64 nothing is rounded.
#pragma once

#include <string>

#include "kernels/memory.h"
#include "policy/policy_config.h"

namespace grouper {

class RopeTable {
 public:
  RopeTable(const PolicyConfig& config, DType dtype);
  const Tensor& cos() const { return cos_; }  // [max_positions, head_dim / 2]
  const Tensor& sin() const { return sin_; }
  std::string Sha256() const;
  static int64_t BytesOf(const PolicyConfig& config, DType dtype);

 private:
  Buffer memory_;
  Tensor cos_, sin_;
};

}  // namespace grouper
