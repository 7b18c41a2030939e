// A named jthread that keeps the first exception of its body, and the stop token that signals set.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

namespace grouper {

class NamedThread {
 public:
  NamedThread() = default;
  // name: at most 15 characters (pthread_setname_np).
  NamedThread(const std::string& name, std::function<void(std::stop_token)> body);
  NamedThread(NamedThread&&) = default;
  NamedThread& operator=(NamedThread&&) = default;
  void RequestStop() { thread_.request_stop(); }
  // Joins and rethrows what the body threw.
  void Join();

 private:
  std::shared_ptr<std::exception_ptr> failure_;
  std::jthread thread_;
};

// The number of cores that the process may use (after taskset and cpusets); at least 1.
int UsableCores();

// SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU (terminals, supervisors and schedulers send
// them before they end a job) request a stop on the returned token, however many of them come. Only
// a second SIGINT, or a second SIGTERM, at least a second after the first of its kind ends the
// process at once, with exit code 75. SIGQUIT still ends it with a core dump. SIGHUP stays ignored
// where it was (nohup). SIGXFSZ and SIGPIPE are ignored, so that the write fails instead. Call
// once, in main, before threads start.
std::stop_token StopOnSignals();

}  // namespace grouper
