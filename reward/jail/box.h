// One bubblewrap that runs the harness: started, spoken to through two pipes, ended. Owned by one
// thread. posix_spawn starts it, so it is safe beside gRPC's threads; the process limits are set by
// the harness inside, before it reads a submission.
//   1. The box has no writable place: neither bytes nor inodes can be spent on the host.
//   2. Killing bubblewrap ends everything inside (--die-with-parent, own pid namespace).
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

namespace grouper {

struct JailPrograms {
  std::string bwrap = "/usr/bin/bwrap";
  std::string setpriv = "/usr/bin/setpriv";  // used as root only: the box never belongs to uid 0
  std::string python = "/usr/bin/python3";
};

class Box {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // filter: the compiled system-call filter. Where start_problem() is not empty nothing runs.
  Box(const JailPrograms& programs, const std::string& filter);
  ~Box();  // Kill()
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  const std::string& start_problem() const { return start_problem_; }
  int input() const { return input_; }    // non-blocking; a write may meet EPIPE, never SIGPIPE
  int output() const { return output_; }  // non-blocking; end-of-file when nobody inside holds it

  // Exit code (128 + signal) once bubblewrap has ended; empty when it still runs at `until` or when
  // stop was requested.
  std::optional<int> WaitExit(TimePoint until, const std::stop_token& stop);
  // How long a process inside was ready to run while no processor was free: the longest of them, in
  // seconds. 0 where the kernel does not tell.
  double SecondsStarved() const;
  // Ends the box and reaps bubblewrap. Harmless when repeated.
  void Kill();
  // What bubblewrap and the interpreter said on standard error before the harness took over.
  std::string Complaint() const;

 private:
  void Spawn(const JailPrograms& programs, int in, int out, int filter, int complaint);
  void Reap();

  std::string start_problem_;
  pid_t pid_ = -1;
  int pidfd_ = -1, input_ = -1, output_ = -1, complaint_ = -1;
  std::optional<int> exit_code_;
};

// Keeps SIGPIPE from this thread while it lives: whoever reads our pipes may die at any moment.
class SigpipeGuard {
 public:
  SigpipeGuard();
  ~SigpipeGuard();
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;

 private:
  bool was_pending_ = false, blocked_ = false;
  sigset_t before_;
};

}  // namespace grouper
