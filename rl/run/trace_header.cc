#include "rl/run/trace_header.h"

#include <algorithm>

#include "base/error.h"
#include "base/io/record_file.h"
#include "kernels/numerics.h"
#include "policy/policy_config.h"
#include "proto/textproto.h"
#include "rl/algorithm/length_schedule.h"
#include "trace/store/frame_bytes.h"

namespace grouper {

TraceHeader MakeTraceHeader(const Config& config, const std::string& run_folder,
                            int64_t group_size) {
  TraceHeader header;
  header.set_run_id(run_folder);
  header.set_numeric_profile(numerics::kCpuProfile);
  header.set_group_size(static_cast<uint32_t>(group_size));
  header.set_seed(config.seed());
  header.set_resolved_config(ToTextproto(config));
  return header;
}

void CheckTraceFrames(const Config& config) {
  const int64_t cap = std::max(LongestCap(config.sampling()), config.eval().max_new_tokens());
  const uint64_t experts = ExpertBytes(config.policy());
  // More tokens than a frame has bytes do not fit; counting them could overflow.
  const uint64_t tokens = std::min(static_cast<uint64_t>(cap), kMaxRecordBytes);
  const uint64_t bytes = MostCompletionBytes(tokens, experts);
  USER_CHECK(bytes <= kMaxRecordBytes,
             "[config] a completion of the longest length could be larger than a frame of the "
             "trace; lower sampling.max_new_tokens (and eval.max_new_tokens), or the policy's MoE "
             "layers or experts_per_token",
             Named("bytes", bytes), Named("most", kMaxRecordBytes), Named("max_new_tokens", cap),
             Named("expert_bytes_per_token", experts));
}

}  // namespace grouper
