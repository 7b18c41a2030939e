// Learning-rate schedules: pure functions of the update, counted from 0 (docs/algorithms.md 10).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "proto/config.pb.h"

namespace grouper {

// Linear warm-up to lr, then constant or a cosine down to final_share * lr at `updates`. The result
// is rounded to fp32 once, because doubles of the host's library may differ in the last bit between
// processors (docs/numerics.md 12).
inline double LearningRateAt(const OptimizerConfig& config, int64_t update, int64_t updates) {
  double rate = config.lr();
  if (config.warmup_updates() > 0) {
    rate *= std::min(
        1.0, static_cast<double>(update + 1) / static_cast<double>(config.warmup_updates()));
  }
  if (config.schedule() == OptimizerConfig::COSINE) {
    const double done =
        static_cast<double>(update) / static_cast<double>(std::max<int64_t>(updates, 1));
    rate *= config.final_share() +
            (1 - config.final_share()) * 0.5 * (1 + std::cos(M_PI * std::min(done, 1.0)));
  }
  return static_cast<double>(static_cast<float>(rate));
}

}  // namespace grouper
