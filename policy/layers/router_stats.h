// Load per expert and the auxiliary-loss-free balance of DeepSeek-V3: after an update the choice
// bias of overloaded experts goes down by a fixed step, that of the others up. Counts are integers,
// so their order does not matter.
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
