// The load of each expert, and the load balance without an auxiliary loss (DeepSeek-V3,
// arXiv:2412.19437, 2.1.2; docs/algorithms.md 11): after an update the choice bias of overloaded
// experts goes down by a fixed step, and that of underloaded experts goes up. Counts are integers,
// so the order of counting does not matter.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/weights.h"

namespace grouper {

class RouterStats {
 public:
  explicit RouterStats(const PolicyConfig& config);

  // experts [tokens, k] int32 of a MoE layer (0: the first one).
  void Count(int64_t moe_layer, const Tensor& experts);
  void Clear();
  // bias += step * sign(mean load - load); does nothing without counts.
  void MoveBias(double step, Weights* weights) const;
  // Mean over layers of (largest load / mean load - 1), and of smallest load / mean load.
  double MaxViolation() const;
  double LeastShare() const;
  const std::vector<int64_t>& loads() const { return loads_; }  // [moe layers * experts]

 private:
  int64_t moe_layers_, experts_;
  std::vector<int64_t> loads_;
};

}  // namespace grouper
