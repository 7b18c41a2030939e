// One conversation with the harness in a box: the submission and its calls go in, signed values
// come out, and the limits end it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "reward/jail/box.h"

namespace grouper {

struct JailLimits {
  double cpu_seconds = 2;   // counted in whole seconds, rounded up
  double wall_seconds = 5;  // from the moment the submission is handed over
  int64_t memory_bytes = int64_t{256} << 20;
  int64_t output_bytes = int64_t{1} << 20;  // of all results together, without their frames
};

struct JailRequest {
  std::string program;             // Python source
  std::string entry;               // function to call
  std::vector<std::string> calls;  // argument lists as JSON, one line each
  JailLimits limits;
  // The text of right results. Reading arguments and writing these is not the submission's work, so
  // the limits of time and memory leave room for both, by their size.
  int64_t largest_result_bytes = 0, all_results_bytes = 0;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::stop_token stop;
};

struct JailResult {
  enum class End {
    kFinished,      // every call was answered, or next() ended it
    kCompileError,  // detail: the exception's type
    kException,     // detail: the exception's type, or the signal; the last call has no value
    kEnded,         // the process ended, or closed its channel, without an answer
    kCpuLimit,
    kWallLimit,
    kMemoryLimit,
    kOutputLimit,
    kForged,    // the submission itself wrote to the result channel
    kDeadline,  // the service's deadline or a cancellation, which is not the submission's fault
    kBroken,    // the jail could not be built or started; detail gives the reason
  };
  End end = End::kBroken;
  std::string detail;
  size_t answered = 0;  // calls with a value
};

// Receives each value as JSON text, empty for a value that is not plain JSON. False ends the run.
using NextValue = std::function<bool(size_t call, const std::string& json)>;

// Ends the box. count_threads: too many threads end the run here, because no limit of the kernel
// counts them.
JailResult TalkToHarness(const JailRequest& request, bool count_threads, Box* box,
                         const NextValue& next);

}  // namespace grouper
