// Runs one Python submission isolated from the machine, in the best of two tiers. NAMESPACES:
// inside bubblewrap, with its own user, pid, network, mount, ipc, uts and cgroup namespaces, a
// read-only /usr and nothing else of the host. PROCESS, for containers that allow no namespaces:
// one process under Landlock that may read /usr and nothing else. In both: nothing writable, no
// /proc, no environment, a system-call filter and resource limits. If no tier can be shown to hold
// on this machine, nothing runs. Thread-safe; each Run owns its process. The jail does not protect
// against kernel bugs. Expected outputs never enter it. docs/running.md says what each tier holds.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "proto/reward.pb.h"
#include "reward/jail/box.h"
#include "reward/jail/session.h"

namespace grouper {

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
  JailResult Run(const JailRequest& request, const NextValue& next) const;

 private:
  std::string Try(reward::v1::IsolationTier tier);
  std::string Probe() const;
  JailResult RunInBox(const JailRequest& request, const NextValue& next) const;
  JailOptions options_;
  std::unique_ptr<Walls> walls_;  // of the tier that is tried, then of the one that stands
  reward::v1::IsolationTier tier_ = reward::v1::NOT_ISOLATED;
  std::string problem_;
};

}  // namespace grouper
