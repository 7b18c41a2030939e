// One process that runs the harness: in the namespaces that bubblewrap makes, or without, confined
// by Landlock (confined_process.h). A box is started, talked to through two pipes, and ended, all
// by one thread. Both ways to start it are safe while gRPC's threads run. The harness sets the
// process limits before it reads a submission. Invariants: (1) nothing that the box sees is
// writable, so it can use up neither bytes nor inodes of the host; (2) killing the process ends
// everything inside: bubblewrap has a pid namespace of its own, and a confined process cannot start
// another.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

#include "proto/reward.pb.h"

namespace grouper {

using reward::v1::IsolationTier;
using reward::v1::NAMESPACES;
using reward::v1::NOT_ISOLATED;
using reward::v1::PROCESS;

struct JailPrograms {
  std::string bwrap = "/usr/bin/bwrap";
  std::string setpriv = "/usr/bin/setpriv";  // used only as root, so that the box never has uid 0
  std::string python = "/usr/bin/python3";
};

// What a box is made of, apart from the programs. Whoever holds it outlives the box.
struct BoxWalls {
  IsolationTier tier = NAMESPACES;
  std::string filter;  // the compiled system-call filter
  int landlock = -1;   // of tier PROCESS
};

class Box {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // number: of this box; tier PROCESS gives each number a user of its own. If start_problem() is
  // not empty, nothing runs.
  Box(const JailPrograms& programs, const BoxWalls& walls, unsigned number);
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
  // Ends the box and reaps its process. It may be called again.
  void Kill();
  // The text that bubblewrap, the confined process or the interpreter wrote to standard error
  // before the harness started.
  std::string Complaint() const;

 private:
  void SpawnBubblewrap(const JailPrograms& programs, int in, int out, int filter, int complaint);
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
