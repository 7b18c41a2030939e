#include "base/thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "base/error.h"

namespace grouper {

NamedThread::NamedThread(const std::string& name, std::function<void(std::stop_token)> body)
    : failure_(std::make_shared<std::exception_ptr>()) {
  CHECK(!name.empty() && name.size() <= 15,
        "[thread] the name of a thread must have 1 to 15 characters", Named("name", name));
  thread_ =
      std::jthread([name, body = std::move(body), failure = failure_](const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), name.c_str());
        try {
          body(stop);
        } catch (...) {
          *failure = std::current_exception();
        }
      });
}

void NamedThread::Join() {
  if (thread_.joinable()) thread_.join();
  if (failure_ != nullptr && *failure_ != nullptr) {
    std::rethrow_exception(std::exchange(*failure_, nullptr));
  }
}

int UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

namespace {

// All that a signal handler may touch. It writes to the pipe; a thread that waits for that requests
// the stop, because request_stop runs callbacks and is not safe inside a handler.
std::atomic<bool> stop_asked{false};
std::atomic<int> signal_pipe_write{-1};
// When the first SIGINT and the first SIGTERM came, on the monotonic clock; 0: not yet.
std::atomic<int64_t> first_interrupt_ms{0}, first_terminate_ms{0};

// Whoever sends one signal often sends it twice at once, to a process and to its group.
constexpr int64_t kMomentMs = 1000;

// True for the second SIGINT or the second SIGTERM, a moment after the first of its kind.
bool IsRepeated(int number) {
  if (number != SIGINT && number != SIGTERM) return false;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ms = int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000 + 1;
  std::atomic<int64_t>& first = number == SIGINT ? first_interrupt_ms : first_terminate_ms;
  int64_t first_ms = 0;
  return !first.compare_exchange_strong(first_ms, now_ms) && now_ms - first_ms >= kMomentMs;
}

void OnStopSignal(int number) {
  const int saved_errno = errno;
  if (IsRepeated(number)) _exit(ExitCode(ErrorKind::kUnavailable));
  if (!stop_asked.exchange(true)) {
    const char byte = 1;
    [[maybe_unused]] const ssize_t written = write(signal_pipe_write.load(), &byte, 1);
  }
  errno = saved_errno;
}

// nohup asks for this.
bool IsIgnored(int number) {
  struct sigaction present {};
  return sigaction(number, nullptr, &present) == 0 && present.sa_handler == SIG_IGN;
}

}  // namespace

std::stop_token StopOnSignals() {
  CHECK(signal_pipe_write.load() < 0, "[thread] StopOnSignals was called twice");
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0, "[thread] a pipe for signals cannot be made",
        Named("errno", errno));
  signal_pipe_write = ends[1];

  std::stop_source source;
  std::thread([source, read_end = ends[0]]() mutable {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pthread_setname_np(pthread_self(), "signals");
    char byte;
    while (read(read_end, &byte, 1) < 0 && errno == EINTR) {
    }
    source.request_stop();
  }).detach();

  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    if (number == SIGHUP && IsIgnored(SIGHUP)) continue;
    CHECK(sigaction(number, &action, nullptr) == 0, "[thread] a signal handler was refused",
          Named("signal", number), Named("errno", errno));
  }
  // A write that exceeds the limit on file sizes, or that nobody reads, shall fail and not end the
  // process.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return source.get_token();
}

}  // namespace grouper
