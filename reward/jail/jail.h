// Runs one Python submission apart from the machine, in the best way that this machine allows:
//   NAMESPACES  inside bubblewrap, with its own user, pid, network, mount, ipc, uts and cgroup
//               namespaces, a read-only /usr and nothing else of the host, and no /proc.
//   PROCESS     where namespaces are not to be had, as in most containers: one process under
//               Landlock, which can open /usr and a few devices to read and nothing to write.
// Both have no environment, a system-call filter (no new processes, no network, no signals to
// others) and resource limits. A tier is used only if a probe shows that it holds on this machine;
// if none does, nothing runs. docs/running.md lists what each tier holds. Thread-safe; each Run
// owns its process. The jail does not protect against kernel bugs. Expected outputs never enter it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "reward/jail/box.h"
#include "reward/jail/landlock.h"

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
  struct Options {
    JailPrograms programs = {};
    IsolationTier least = PROCESS;    // a lower tier is not used
    IsolationTier most = NAMESPACES;  // tests of tier PROCESS lower it
    int most_landlock_abi = 1000;     // tests of older kernels lower it
  };
  // Tries the tiers from the best one down, and probes each.
  explicit Jail(Options options);
  Jail() : Jail(Options{}) {}

  // False: nothing will be run; problem() says why and what to do.
  bool standing() const { return tier() != NOT_ISOLATED; }
  IsolationTier tier() const { return walls_.tier; }
  // Why better tiers than tier() are not used, and what to do; empty if it is the best.
  const std::string& problem() const { return problem_; }
  // The isolation in words, or the problem, as capabilities and health show it.
  std::string isolation() const;

  // Sends the calls one after another. `next` receives each value (as JSON text; empty for a value
  // that is not plain JSON) before the next call is sent, and returns false to end the run early.
  JailResult Run(const JailRequest& request,
                 const std::function<bool(size_t call, const std::string& json)>& next) const;

 private:
  // Sets walls_ up and tests them. Returns what is wrong; empty if the tier holds.
  std::string TryTier(IsolationTier tier);
  std::string Probe() const;

  Options options_;
  LandlockRules landlock_;
  BoxWalls walls_;
  std::string problem_;
  mutable std::atomic<unsigned> boxes_;  // started so far; begins anywhere
};

// The tier's name in options and messages: "namespaces", "process", "none".
const char* NameOf(IsolationTier tier);

}  // namespace grouper
