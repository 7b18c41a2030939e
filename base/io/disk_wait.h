// Patience with a full disk, a used-up quota or a limit on file sizes: a write pauses, says so, and
// goes on where it stood when there is room; after the set time it gives up with kUnavailable (exit
// code 75). Failed syncs are not waited for: what a sync lost is not known (durability.md 3).
// Shared by the writers of a run; one thread.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "base/io/file.h"

namespace grouper {

struct DiskWaitOptions {
  double seconds = 0;  // for each write; 0: none
  std::function<void(const std::string&)> say = {};
  // Injected for tests. What it was asked for counts as waited.
  std::function<void(std::chrono::milliseconds)> sleep = {};
};

class DiskWait {
 public:
  explicit DiskWait(DiskWaitOptions options);

  // A stop ends the wait at once: the last checkpoint is what there is.
  void set_stop(std::stop_token stop) { stop_ = std::move(stop); }

  // Runs `write`, again while it throws DiskFull: it must be one that may be tried again.
  void Do(const std::function<void()>& write);

 private:
  DiskWaitOptions options_;
  std::stop_token stop_;
};

// write() with a DiskWait, or once without one.
void DoWaiting(DiskWait* wait, const std::function<void()>& write);

}  // namespace grouper
