// Runs one Python submission inside bubblewrap: own user, pid, network, mount, ipc, uts and cgroup
// namespaces, a read-only /usr and nothing else of the host, no writable place, no /proc, no
// environment, a system-call filter, resource limits. Fails closed: where the walls cannot be shown
// to stand, nothing runs. Thread-safe; each Run owns its process. What it does not cover: kernel
// bugs. Expected outputs never enter it.
#pragma once

#include <chrono>
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
  int64_t output_bytes = int64_t{1} << 20;  // of all results together
};

struct JailRequest {
  std::string program;             // Python source
  std::string entry;               // function to call
  std::vector<std::string> calls;  // argument lists as Python literals, one line each
  JailLimits limits;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::stop_token stop;
};

struct JailResult {
  enum class End {
    kFinished,      // every call was answered, or next() ended it
    kCompileError,  // detail: the exception's type
    kException,     // detail: the exception's type, or the signal; the last call has no value
    kEnded,         // the process left, or closed its channel, without answering
    kCpuLimit,
    kWallLimit,
    kMemoryLimit,
    kOutputLimit,
    kForged,    // wrote to the result channel by itself
    kDeadline,  // the service's deadline or a cancellation: nobody's fault inside
    kBroken,    // the jail could not be built or started; detail says why
  };
  End end = End::kBroken;
  std::string detail;
  size_t answered = 0;  // calls with a value
};

class Jail {
 public:
  using Options = JailPrograms;
  // Builds the system-call filter and probes the walls once.
  explicit Jail(Options options);
  Jail() : Jail(Options{}) {}

  // False: nothing will be run, problem() says why and what to do.
  bool standing() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  // The tier in words, or the problem: what capabilities and health show.
  std::string isolation() const;

  // Calls are sent one after another; `next` sees each value (a JSON text; empty for one that is
  // not plain JSON) before the following call is sent and returns false to end the run early.
  JailResult Run(const JailRequest& request,
                 const std::function<bool(size_t call, const std::string& json)>& next) const;

 private:
  std::string Probe() const;
  Options options_;
  std::string filter_;  // compiled BPF program
  std::string problem_;
};

}  // namespace grouper
