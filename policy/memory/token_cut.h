// How many tokens a forward and backward takes at a time so that its memory stays in the caches. A
// matter of speed alone: cuts change no bit, and this one depends on the policy only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "policy/policy_config.h"

namespace grouper {

// Enough rows for every product, an expert's too, to run at the speed of more (measured:
// bench/results); what lies beyond only leaves the caches.
inline int64_t TokensPerCut(const PolicyConfig& config) {
  constexpr int64_t kTokens = 256, kRowsOfAnExpert = 64;
  if (MoeLayers(config) == 0) return kTokens;
  const MoeConfig& moe = config.moe();
  return std::max(kTokens, kRowsOfAnExpert * moe.experts() / moe.experts_per_token());
}

}  // namespace grouper
