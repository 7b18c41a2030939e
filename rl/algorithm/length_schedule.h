// The length schedule (grpo.md 7): the most new tokens of a completion as a pure function of the
// updates that were done when its step began. A cap never changes inside a step.
#pragma once

#include <cstdint>

#include "proto/config.pb.h"

namespace grouper {

// kUser when sampling.length_schedule does not ascend from update to update, names no update or no
// cap of at least 1, or when the largest cap leaves no room for a prompt in policy.max_positions.
void CheckLengthSchedule(const Config& config);

// The cap of a step that begins behind `updates` updates: the last entry from an update at or
// before it, sampling.max_new_tokens before the first.
int64_t LengthCapAt(const SamplingConfig& sampling, int64_t updates);

// The largest cap of the run: the room that a prompt must leave in the context.
int64_t LongestCap(const SamplingConfig& sampling);

}  // namespace grouper
