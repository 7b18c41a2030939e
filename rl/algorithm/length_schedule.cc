#include "rl/algorithm/length_schedule.h"

#include <algorithm>

#include "base/error.h"

namespace grouper {

void CheckLengthSchedule(const Config& config) {
  const SamplingConfig& sampling = config.sampling();
  for (int i = 0; i < sampling.length_schedule_size(); ++i) {
    const LengthCap& cap = sampling.length_schedule(i);
    const std::string entry =
        "[config] sampling.length_schedule, entry " + std::to_string(i + 1) + ": ";
    USER_CHECK(cap.has_from_update() && cap.has_max_new_tokens(),
               entry + "write both fields, { from_update: 8200 max_new_tokens: 65536 }");
    if (i == 0) continue;
    const LengthCap& before = sampling.length_schedule(i - 1);
    USER_CHECK(
        before.from_update() < cap.from_update(),
        entry + "from_update must be above that of the entry before it; put the entries in order",
        Named("from_update", cap.from_update()), Named("from_update_before", before.from_update()));
  }
  USER_CHECK(LongestCap(sampling) < config.policy().max_positions(),
             "[config] sampling.max_new_tokens, or a cap of sampling.length_schedule, leaves no "
             "room for a prompt: lower it or raise policy.max_positions",
             Named("cap", LongestCap(sampling)),
             Named("policy.max_positions", config.policy().max_positions()));
}

int64_t LengthCapAt(const SamplingConfig& sampling, int64_t updates) {
  int64_t cap = sampling.max_new_tokens();
  for (const LengthCap& entry : sampling.length_schedule()) {
    if (entry.from_update() <= updates) cap = entry.max_new_tokens();
  }
  return cap;
}

int64_t LongestCap(const SamplingConfig& sampling) {
  int64_t longest = sampling.max_new_tokens();
  for (const LengthCap& entry : sampling.length_schedule()) {
    longest = std::max(longest, entry.max_new_tokens());
  }
  return longest;
}

}  // namespace grouper
