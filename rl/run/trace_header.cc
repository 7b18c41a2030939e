#include "rl/run/trace_header.h"

#include "kernels/numerics.h"
#include "proto/textproto.h"

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

}  // namespace grouper
