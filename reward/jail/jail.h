// Runs one Python submission isolated from the machine, in the best of two tiers. NAMESPACES:
// inside bubblewrap, with its own user, pid, network, mount, ipc, uts and cgroup namespaces, a
// read-only /usr and nothing else of the host. PROCESS, for containers that allow no namespaces:
// one process under Landlock that may read /usr and nothing else. In both: nothing writable, no
// /proc, no environment, a system-call filter and resource limits. If no tier can be shown to hold
// on this machine, nothing runs. Thread-safe; each Run owns its process. The jail does not protect
// against kernel bugs. Expected outputs never enter it. docs/running.md says what each tier holds.
#pragma once

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/reward.pb.h"
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

struct JailOptions {
  JailPrograms programs;
  // They are tried in this order. To leave one out is to refuse it.
  std::vector<reward::v1::IsolationTier> tiers = {reward::v1::NAMESPACES, reward::v1::PROCESS};
  int most_landlock_abi = std::numeric_limits<int>::max();  // for tests: as on an older kernel
};

// namespaces, process or none.
const char* TierWord(reward::v1::IsolationTier tier);

class Jail {
 public:
  // Tests once which tier holds.
  explicit Jail(JailOptions options);
  Jail() : Jail(JailOptions{}) {}
  // Refuses the tiers below `least`, which is "process" or "namespaces". kUser for other words.
  static JailOptions AtLeast(const std::string& least);

  // False: nothing will be run.
  bool standing() const { return tier_ != reward::v1::NOT_ISOLATED; }
  reward::v1::IsolationTier tier() const { return tier_; }
  // Why each tier that was tried does not hold, and what to do. Not empty although the jail stands:
  // the first tier fell.
  const std::string& problem() const { return problem_; }
  // The isolation in words, or the problem, as capabilities and health show it.
  std::string isolation() const;

  // Sends the calls one after another. `next` receives each value (as JSON text; empty for a value
  // that is not plain JSON) before the next call is sent, and returns false to end the run early.
  JailResult Run(const JailRequest& request,
                 const std::function<bool(size_t call, const std::string& json)>& next) const;

 private:
  std::string Try(reward::v1::IsolationTier tier);
  std::string Probe() const;
  JailResult RunInBox(const JailRequest& request,
                      const std::function<bool(size_t call, const std::string& json)>& next) const;
  JailOptions options_;
  std::unique_ptr<Walls> walls_;  // of the tier that is tried, then of the one that stands
  reward::v1::IsolationTier tier_ = reward::v1::NOT_ISOLATED;
  std::string problem_;
};

}  // namespace grouper
