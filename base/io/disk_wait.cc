#include "base/io/disk_wait.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "base/error.h"

namespace grouper {
namespace {

constexpr double kFirstPause = 0.1, kLongestPause = 1;
constexpr double kSayEvery = 30;

std::string Seconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", seconds);
  return text;
}

}  // namespace

DiskWait::DiskWait(DiskWaitOptions options) : options_(std::move(options)) {
  USER_CHECK(options_.seconds >= 0,
             "[config] disk_wait_seconds must not be negative; set 0 or more",
             Named("disk_wait_seconds", options_.seconds));
  if (!options_.say) options_.say = [](const std::string&) {};
  if (!options_.sleep) {
    options_.sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  }
}

void DiskWait::Do(const std::function<void()>& write) {
  double waited = 0, pause = kFirstPause, said = -kSayEvery;
  for (;;) {
    try {
      write();
      if (waited > 0)
        options_.say("[disk] there is room again; writing continues after " + Seconds(waited));
      return;
    } catch (const DiskFull& full) {
      const double rest = options_.seconds - waited;
      if (rest <= 0 || stop_.stop_requested()) {
        ThrowUnavailable(full.message() + "; this was tried for " + Seconds(waited) +
                         " (disk_wait_seconds); a resumed run continues from its last checkpoint");
      }
      if (waited - said >= kSayEvery) {
        said = waited;
        options_.say("[disk] writing is paused and nothing is lost: " + full.message() +
                     "; waiting up to " + Seconds(rest) + " more");
      }
      const auto time = std::chrono::milliseconds(
          std::max<int64_t>(1, static_cast<int64_t>(std::min(rest, pause) * 1000)));
      options_.sleep(time);
      waited += static_cast<double>(time.count()) / 1000;
      pause = std::min(kLongestPause, pause * 2);
    }
  }
}

void DoWaiting(DiskWait* wait, const std::function<void()>& write) {
  if (wait != nullptr) {
    wait->Do(write);
  } else {
    write();
  }
}

}  // namespace grouper
