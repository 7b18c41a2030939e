// How many tokens a forward and backward pass takes at a time, so that its memory stays in the
// caches. This affects only the speed: cuts change no bit, and the number depends on the policy
// only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "policy/policy_config.h"

namespace grouper {

// Enough rows for every product, also those of one expert, to reach full speed (measured:
// bench/results). More rows would only leave the caches.
inline int64_t TokensPerCut(const PolicyConfig& config) {
  constexpr int64_t kTokens = 256, kRowsOfAnExpert = 64;
  if (MoeLayers(config) == 0) return kTokens;
  const MoeConfig& moe = config.moe();
  return std::max(kTokens, kRowsOfAnExpert * moe.experts() / moe.experts_per_token());
}

}  // namespace grouper
