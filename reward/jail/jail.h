// Runs one Python submission inside bubblewrap: with its own user, pid, network, mount, ipc, uts
// and cgroup namespaces, a read-only /usr and nothing else of the host, nothing writable, no /proc,
// no environment, a system-call filter and resource limits. If the jail cannot be shown to hold on
// this machine, nothing runs. Thread-safe; each Run owns its process. The jail does not protect
// against kernel bugs. Expected outputs never enter it.
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

class Jail {
 public:
  using Options = JailPrograms;
  // Builds the system-call filter and tests once whether the jail holds.
  explicit Jail(Options options);
  Jail() : Jail(Options{}) {}

  // False: nothing will be run; problem() says why and what to do.
  bool standing() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  // The isolation in words, or the problem, as capabilities and health show it.
  std::string isolation() const;

  // Sends the calls one after another. `next` receives each value (as JSON text; empty for a value
  // that is not plain JSON) before the next call is sent, and returns false to end the run early.
  JailResult Run(const JailRequest& request,
                 const std::function<bool(size_t call, const std::string& json)>& next) const;

 private:
  std::string Probe() const;
  Options options_;
  std::string filter_;  // compiled BPF program
  std::string problem_;
};

}  // namespace grouper
