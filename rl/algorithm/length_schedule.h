// The length schedule (docs/algorithms.md 10): the length cap of a completion, as a pure function
// of the number of updates that were done when its step began. A cap never changes inside a step.
#pragma once

#include <cstdint>

#include "proto/config.pb.h"

namespace grouper {

// kUser when an entry of sampling.length_schedule lacks its update or a cap of at least 1, when the
// updates do not ascend, or when the largest cap leaves no room for a prompt in
// policy.max_positions.
void CheckLengthSchedule(const Config& config);

// The cap of a step that begins after `updates` updates: that of the last entry at or before them,
// or sampling.max_new_tokens before the first entry.
int64_t LengthCapAt(const SamplingConfig& sampling, int64_t updates);

// The largest cap of the run. Every prompt must leave that much room in the context.
int64_t LongestCap(const SamplingConfig& sampling);

}  // namespace grouper
