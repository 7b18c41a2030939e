// Learning-rate schedules: pure functions of the update, counted from 0 (docs/algorithms.md 10).
#pragma once

#include <cstdint>
#include <string>

#include "proto/config.pb.h"

namespace grouper {

// Linear warm-up, whose last update has lr itself; then constant, or a cosine from lr down to
// final_share * lr at `updates`, the number of updates of the whole run. The result is rounded to
// fp32 once, because doubles of the host's library may differ in the last bit between processors
// (docs/numerics.md 12).
double LearningRateAt(const OptimizerConfig& config, int64_t update, int64_t updates);

// What a resume that makes `update` next must say when the run's end was moved from `old_updates`
// to `new_updates`: a cosine ends with the run, so the learning rate jumps. Empty if it does not.
std::string MovedScheduleText(const OptimizerConfig& config, int64_t update, int64_t old_updates,
                              int64_t new_updates);

}  // namespace grouper
