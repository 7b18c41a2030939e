// The header that every trace of this program opens with, and what a trace can hold.
#pragma once

#include <cstdint>
#include <string>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// group_size is the number of completions per prompt. TraceWriter adds the format's version.
TraceHeader MakeTraceHeader(const Config& config, const std::string& run_folder,
                            int64_t group_size);

// kUser, naming the settings, when a completion of the longest length could be larger than a frame
// of the trace. Rows of data are checked when they are read.
void CheckTraceFrames(const Config& config);

}  // namespace grouper
