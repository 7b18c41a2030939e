#include "base/kill_point.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace grouper {
namespace {

// What the environment asks for, read once; a value without ":occurrence" means the first.
struct Plan {
  std::string name;
  std::atomic<long> left{0};
  int signal = SIGKILL;
  int log_fd = -1;
  bool armed = false;  // name or log

  Plan() {
    const char* log = std::getenv("GROUPER_KILL_LOG");
    if (log != nullptr && *log != '\0') {
      log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
      armed = log_fd >= 0;
    }
    const char* value = std::getenv("GROUPER_KILL_POINT");
    if (value == nullptr || *value == '\0') return;
    const char* colon = std::strrchr(value, ':');
    name = colon != nullptr ? std::string(value, colon) : std::string(value);
    left = colon != nullptr ? std::strtol(colon + 1, nullptr, 10) : 1;
    armed = armed || left > 0;
    const char* other = std::getenv("GROUPER_KILL_SIGNAL");
    if (other != nullptr) signal = std::atoi(other);
  }
};

}  // namespace

void ReachKillPoint(const char* name) {
  static Plan plan;
  if (!plan.armed) [[likely]]
    return;
  if (plan.log_fd >= 0) {
    // One write per line, so that programs that share the log do not mix their lines.
    const std::string line = std::string(name) + "\n";
    [[maybe_unused]] const ssize_t written = write(plan.log_fd, line.data(), line.size());
  }
  if (plan.name != name) return;
  // Without GROUPER_KILL_POINT `left` starts at 0, so it never counts down to 1.
  if (plan.left.fetch_sub(1) == 1) {
    kill(getpid(), plan.signal);
    while (plan.signal == SIGKILL) pause();
  }
}

}  // namespace grouper
