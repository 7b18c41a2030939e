#include "base/io/process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/io/file.h"

namespace grouper {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kReportFd = 3;
constexpr int kLifelineFd = 4;
constexpr size_t kMaxReportBytes = 4096;

void CloseEnd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// Both ends of a pipe, closed on exec and above the numbers that the child's ends are moved to.
struct Pipe {
  int read_end = -1;
  int write_end = -1;

  Pipe() = default;
  ~Pipe() {
    CloseEnd(&read_end);
    CloseEnd(&write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void Open() {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0, "[process] a pipe cannot be made",
          Named("reason", std::strerror(errno)));
    read_end = fcntl(ends[0], F_DUPFD_CLOEXEC, 16);
    write_end = fcntl(ends[1], F_DUPFD_CLOEXEC, 16);
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    CHECK(read_end >= 0 && write_end >= 0, "[process] no descriptor is left",
          Named("reason", std::strerror(error)));
  }
};

// Our environment, in which the "NAME=value" entries of `extra` replace ours.
std::vector<std::string> MergedEnvironment(const std::vector<std::string>& extra) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view ours = *entry;
    const std::string_view name = ours.substr(0, ours.find('=') + 1);
    const bool replaced = std::any_of(extra.begin(), extra.end(), [&](const std::string& other) {
      return std::string_view(other).substr(0, name.size()) == name;
    });
    if (!replaced) merged.emplace_back(ours);
  }
  merged.insert(merged.end(), extra.begin(), extra.end());
  return merged;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What posix_spawn shall do in the child.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void GivePipes(int report_write, int lifeline_read) {
    posix_spawn_file_actions_adddup2(&actions_, report_write, kReportFd);
    posix_spawn_file_actions_adddup2(&actions_, lifeline_read, kLifelineFd);
    first_closed_ = kLifelineFd + 1;
    own_group_ = true;
  }

  pid_t Spawn(const ProcessOptions& options) {
    // Descriptors of libraries may lack close-on-exec, so all but those that we gave are closed.
    posix_spawn_file_actions_addclosefrom_np(&actions_, first_closed_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    // Ctrl-C of a terminal then reaches this process alone, which ends the child after the step.
    if (own_group_) flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));

    const std::vector<std::string> environment = MergedEnvironment(options.environment_extra);
    std::vector<char*> argv = Pointers(options.argv);
    std::vector<char*> envp = Pointers(environment);
    pid_t pid = -1;
    const int error = posix_spawn(&pid, argv[0], &actions_, &attributes_, argv.data(), envp.data());
    USER_CHECK(error == 0, "[process] cannot start " + options.argv[0] + ": " +
                               std::strerror(error) + "; check that the program is there");
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  int first_closed_ = 3;
  bool own_group_ = false;
};

}  // namespace

Process::Process(const ProcessOptions& options) {
  CHECK(!options.argv.empty(), "[process] argv is empty, so there is no program to start");
  SpawnPlan plan;
  Pipe report, lifeline;
  if (options.report_and_lifeline_pipes) {
    report.Open();
    lifeline.Open();
    plan.GivePipes(report.write_end, lifeline.read_end);
  }
  pid_ = plan.Spawn(options);
  std::swap(report_fd_, report.read_end);
  std::swap(lifeline_fd_, lifeline.write_end);
}

Process::~Process() {
  CloseEnd(&lifeline_fd_);
  Terminate();
  try {
    if (!Wait(std::chrono::seconds(2)).has_value()) {
      Kill();
      Wait(std::chrono::seconds(10));
    }
  } catch (const Error&) {
    // Something else waited for the child, so it is gone, and nothing is left to do.
  }
  CloseEnd(&report_fd_);
}

std::string Process::ReadReportLine(std::chrono::milliseconds deadline) {
  CHECK(report_fd_ >= 0, "[process] the child was started without a report pipe",
        Named("pid", pid_));
  const auto end = SteadyClock::now() + deadline;
  std::string line;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - SteadyClock::now()).count();
    pollfd ready{.fd = report_fd_, .events = POLLIN, .revents = 0};
    const int count =
        left > 0 ? poll(&ready, 1, static_cast<int>(std::min<int64_t>(left, INT_MAX))) : 0;
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) {
      ThrowUnavailable("[process] the child " + std::to_string(pid_) + " reported nothing within " +
                       std::to_string(deadline.count()) + " ms; look at its lines above");
    }
    char byte;
    const ssize_t got = read(report_fd_, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (byte == '\n') return line;
    line.push_back(byte);
    CHECK(line.size() <= kMaxReportBytes, "[process] the child's report line does not end",
          Named("pid", pid_));
  }
  const std::optional<int> code = Wait(std::chrono::seconds(1));
  ThrowUnavailable("[process] the child " + std::to_string(pid_) + " ended without a report; " +
                   (code.has_value() ? "exit code " + std::to_string(*code) : "it still runs") +
                   "; look at its lines above");
}

void Process::Terminate() {
  if (!status_.has_value()) kill(pid_, SIGTERM);
}

void Process::Kill() {
  if (!status_.has_value()) kill(pid_, SIGKILL);
}

std::optional<int> Process::Wait(std::chrono::milliseconds deadline) {
  const auto end = SteadyClock::now() + deadline;
  auto pause = std::chrono::microseconds(200);
  while (!status_.has_value()) {
    int raw = 0;
    const pid_t got = waitpid(pid_, &raw, WNOHANG);
    if (got == pid_) {
      status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    } else if (got < 0 && errno != EINTR) {
      ThrowInternal("[process] something else has waited for the child", Named("pid", pid_),
                    Named("reason", std::strerror(errno)));
    } else {
      if (SteadyClock::now() >= end) return std::nullopt;
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(20000));
    }
  }
  return status_;
}

std::string ProgramFolder() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  CHECK(size > 0 && size < static_cast<ssize_t>(sizeof(path)),
        "[process] the path of this program is unknown", Named("reason", std::strerror(errno)));
  return FolderOf(std::string(path, static_cast<size_t>(size)));
}

}  // namespace grouper
