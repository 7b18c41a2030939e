// The distribution that a token is sampled from: temperature, then top-k, then top-p on the
// renormalised ids that are left, then min-p relative to the largest probability (docs/numerics.md
// 8). Default: temperature 1, no filter.
#pragma once

#include <cstdint>

namespace grouper {

struct SamplingRule {
  double temperature = 1;  // 0: arg max, lowest id (eval and sample only)
  int64_t top_k = 0;       // 0: off
  double top_p = 1;        // 1: off
  double min_p = 0;        // 0: off
  bool filtered() const { return top_k > 0 || top_p < 1 || min_p > 0; }
};

// kInternal when a field is out of range.
void CheckSamplingRule(const SamplingRule& rule);

}  // namespace grouper
