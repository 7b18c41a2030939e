#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "reward/code/code_grader.h"
#include "reward/command/options.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"
#include "reward/service/service.h"

namespace grouper {
namespace {

constexpr int kReportFd = 3, kLifelineFd = 4;

// True once the other end of the lifeline pipe is closed, which means that the trainer has ended in
// some way.
bool LifelineEnded(int timeout_ms) {
  pollfd p{kLifelineFd, POLLIN, 0};
  if (poll(&p, 1, timeout_ms) <= 0) return false;
  char byte;
  return read(kLifelineFd, &byte, 1) <= 0;
}

// gRPC would take the port modulo 65536.
void CheckPort(const std::string& listen) {
  const std::string port = listen.substr(listen.rfind(':') + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  USER_CHECK(digits && std::stoi(port) <= 65535,
             "[reward] --listen is not host:port with a port from 0 to 65535 (0: any free one)",
             Named("listen", Excerpt(listen)));
}

}  // namespace

int RunServe(const ServeOptions& options) {
  CheckPort(options.listen);
  const std::stop_token stop = StopOnSignals();
  const Jail jail(Jail::AtLeast(options.min_isolation));
  if (!jail.standing()) {
    LogWarn("[jail] this service does not judge programs: " + jail.problem());
  } else if (!jail.problem().empty()) {
    LogInfo("[jail] programs are judged in the weaker tier " + std::string(TierWord(jail.tier())) +
            ", because a stronger one does not hold: " + jail.problem());
  }
  const MathGrader math;
  reward::v1::CodeCaps caps;
  caps.set_cpu_seconds(options.max_cpu_seconds);
  caps.set_wall_seconds(options.max_wall_seconds);
  caps.set_memory_bytes(options.max_memory_bytes);
  caps.set_output_bytes(options.max_output_bytes);
  caps.set_tests(options.max_tests);
  const CodeGrader code(&jail, caps, static_cast<size_t>(options.cache_bytes));
  const Scorer scorer(&math, &code);
  RewardServiceOptions service_options;
  service_options.listen = options.listen;
  service_options.math_workers = options.threads > 0 ? options.threads : UsableCores();
  service_options.code_workers = options.code_workers > 0 ? options.code_workers : UsableCores();
  service_options.caps = caps;
  service_options.insecure = options.insecure;
  service_options.code_serving = jail.standing();
  service_options.isolation = jail.isolation();
  service_options.isolation_tier = jail.tier();
  RewardService service(&scorer, service_options);
  if (options.report_port) {
    const std::string line = service.address() + "\n";
    const ssize_t written = write(kReportFd, line.data(), line.size());
    CHECK(written == static_cast<ssize_t>(line.size()),
          "[reward] the port could not be reported on descriptor 3");
    close(kReportFd);
  } else {
    LogInfo("[reward] serves on " + service.address());
  }
  while (!stop.stop_requested()) {
    if (!options.report_port) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    } else if (LifelineEnded(100)) {
      return 0;
    }
  }
  LogInfo("[reward] finishes the calls in progress and then ends");
  service.Drain(std::chrono::milliseconds(10000));
  return 0;
}

}  // namespace grouper
