// A child program with pipes: the trainer's own reward service and test drivers. Started by
// posix_spawn, so it is safe in a program with gRPC threads.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace grouper {

struct ProcessOptions {
  std::vector<std::string> argv;               // argv[0] is the program's path
  std::vector<std::string> environment_extra;  // "NAME=value", added to ours
  // A pipe is made: the child inherits its write end as descriptor 3 (to report a port) and the
  // read end of a second one as descriptor 4, which reads end-of-file when this process dies.
  bool report_and_lifeline_pipes = false;
};

class Process {
 public:
  explicit Process(const ProcessOptions& options);
  ~Process();  // Terminate(), wait 2 s, SIGKILL
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // First line the child writes to descriptor 3; kUnavailable after the deadline or when it died.
  std::string ReadReportLine(std::chrono::milliseconds deadline);
  void Terminate();  // SIGTERM
  void Kill();       // SIGKILL
  // Exit code (128 + signal when killed); empty when still running after the deadline.
  std::optional<int> Wait(std::chrono::milliseconds deadline);

 private:
  pid_t pid_ = -1;
  int report_fd_ = -1;
  int lifeline_fd_ = -1;
  std::optional<int> status_;
};

// Folder of the running program (to find grouper-reward beside grouper).
std::string ProgramFolder();

}  // namespace grouper
