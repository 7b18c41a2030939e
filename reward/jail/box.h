// One process that runs the harness: inside bubblewrap, or, in the tier without namespaces, behind
// the walls of walled_start.h. A box is started, talked to through two pipes, and ended, all by one
// thread, while gRPC's threads run. The harness sets the process limits before it reads a
// submission. Invariants: (1) nothing in the box is writable, so it can use up neither bytes nor
// inodes of the host; (2) killing the process ends everything inside (bubblewrap:
// --die-with-parent, a pid namespace of its own; otherwise it can start no other process).
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

#include "reward/jail/landlock.h"

namespace grouper {

struct JailPrograms {
  std::string bwrap = "/usr/bin/bwrap";
  std::string setpriv = "/usr/bin/setpriv";  // used only as root, so that the box never has uid 0
  std::string python = {};  // a path below /usr; empty: the first of the usual ones that exists
};

// What surrounds a box. It outlives its boxes.
struct Walls {
  bool namespaces;
  std::string filter;      // CompileSeccompFilter
  LandlockRules landlock;  // used only without namespaces
};

class Box {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // If start_problem() is not empty, nothing runs.
  Box(const JailPrograms& programs, const Walls& walls);
  ~Box();  // Kill()
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  const std::string& start_problem() const { return start_problem_; }
  int input() const { return input_; }    // non-blocking; a write may meet EPIPE, never SIGPIPE
  int output() const { return output_; }  // non-blocking; end-of-file when nobody inside holds it

  // The exit code (128 + signal) once the process has ended; empty if it still runs at `until` or
  // if a stop was requested.
  std::optional<int> WaitExit(TimePoint until, const std::stop_token& stop);
  // The longest time, in seconds, that a process inside was ready to run while no processor was
  // free. 0 if the kernel does not report it.
  double SecondsStarved() const;
  // The threads of the process that was started; 0 if the kernel does not report them.
  int Threads() const;
  // True if a process inside computes, or is ready to and waits for a processor.
  bool Runnable() const;
  // Ends the box and reaps its process. It may be called again.
  void Kill();
  // The text that the start and the interpreter wrote to standard error before the harness
  // started.
  std::string Complaint() const;

 private:
  void SpawnBubblewrap(const JailPrograms& programs, int in, int out, int filter, int complaint);
  void SpawnWalled(const JailPrograms& programs, const Walls& walls, int in, int out,
                   int complaint);
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
