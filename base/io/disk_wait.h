// Waits when the disk is full, a quota is used up or a file reaches its size limit: the write
// pauses, says so, and continues where it stopped when there is room. After the set time it gives
// up with kUnavailable (exit code 75). A failed sync is not waited for, because nobody knows what
// it lost (docs/formats.md, "Resume"). The writers of a run share one object; one thread.
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
  // Tests replace it. The time it is asked for counts as waited.
  std::function<void(std::chrono::milliseconds)> sleep = {};
};

class DiskWait {
 public:
  explicit DiskWait(DiskWaitOptions options);

  // A stop ends the wait at once; the run can be resumed from its last checkpoint.
  void set_stop(std::stop_token stop) { stop_ = std::move(stop); }
  // From here on nothing is waited for: the run is leaving, and what fits may still be written.
  void WaitNoMore() { options_.seconds = 0; }

  // Runs `write`, and again while it throws DiskFull, so it must be safe to repeat.
  void Do(const std::function<void()>& write);

 private:
  DiskWaitOptions options_;
  std::stop_token stop_;
};

// write() with a DiskWait, or once without one.
void DoWaiting(DiskWait* wait, const std::function<void()>& write);

}  // namespace grouper
