// One process of bubblewrap that runs the harness. A box is started, talked to through two pipes,
// and ended, all by one thread. posix_spawn starts it, which is safe while gRPC's threads run. The
// harness sets the process limits before it reads a submission. Invariants: (1) nothing in the box
// is writable, so it can use up neither bytes nor inodes of the host; (2) killing bubblewrap ends
// everything inside
// (--die-with-parent, a pid namespace of its own).
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
  std::string setpriv = "/usr/bin/setpriv";  // used only as root, so that the box never has uid 0
  std::string python = "/usr/bin/python3";
};

class Box {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // filter: the compiled system-call filter. If start_problem() is not empty, nothing runs.
  Box(const JailPrograms& programs, const std::string& filter);
  ~Box();  // Kill()
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  const std::string& start_problem() const { return start_problem_; }
  int input() const { return input_; }    // non-blocking; a write may meet EPIPE, never SIGPIPE
  int output() const { return output_; }  // non-blocking; end-of-file when nobody inside holds it

  // The exit code (128 + signal) once bubblewrap has ended; empty if it still runs at `until` or if
  // a stop was requested.
  std::optional<int> WaitExit(TimePoint until, const std::stop_token& stop);
  // The longest time, in seconds, that a process inside was ready to run while no processor was
  // free. 0 if the kernel does not report it.
  double SecondsStarved() const;
  // Ends the box and reaps bubblewrap. It may be called again.
  void Kill();
  // The text that bubblewrap and the interpreter wrote to standard error before the harness
  // started.
  std::string Complaint() const;

 private:
  void Spawn(const JailPrograms& programs, int in, int out, int filter, int complaint);
  void Reap();

  std::string start_problem_;
  pid_t pid_ = -1;
  int pidfd_ = -1, input_ = -1, output_ = -1, complaint_ = -1;
  std::optional<int> exit_code_;
};

// Blocks SIGPIPE in this thread during its lifetime, because the reader of a pipe may die at any
// time.
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
