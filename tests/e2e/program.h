// Runs the built programs as a user would, and keeps what they print.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace grouper::testing {

struct Ran {
  int code = -1;  // exit code; 128 + signal when killed
  std::string out;
  std::string err;
  int64_t most_bytes = 0;  // the memory of the largest process, it or one that it waited for
};

// `program` is "grouper", "grouper-reward" or "grouper-trace" of the build. The environment is
// added to that of the test, as "NAME=value".
Ran RunProgram(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment = {});

// Runs a script of bash, which finds the programs of the build by their names.
Ran RunScript(const std::string& script, const std::vector<std::string>& environment = {});

// Starts the program, sends `signal` when `file` has at least `lines` lines, and waits for its end.
Ran RunAndSignal(const std::string& program, const std::vector<std::string>& arguments,
                 const std::string& file, int lines, int signal);

// A program that runs while the test does other things. The destructor kills it if it still runs.
class Background {
 public:
  Background(const std::string& program, const std::vector<std::string>& arguments,
             const std::vector<std::string>& environment = {});
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  pid_t pid() const { return pid_; }
  std::string err() const;  // what it has written to stderr so far
  // Waits until stderr holds the words. False when the time is over or the program has ended.
  bool Says(const std::string& words, double seconds = 60);
  // Waits until the file has so many lines. False when the time is over or the program has ended.
  bool HasLines(const std::string& file, int lines, double seconds = 60);
  void Signal(int signal);
  Ran Wait();

 private:
  bool Until(const std::function<bool()>& condition, double seconds);
  bool Ended();
  pid_t pid_ = -1;
  int status_ = 0;
  rusage usage_ = {};
  bool ended_ = false;
  std::string out_file_, err_file_;
};

// Whether this machine can isolate programs well enough to judge them. The quickstart trains on
// programs and is refused elsewhere.
bool JudgesPrograms();
#define SKIP_WITHOUT_ISOLATION()                                                           \
  if (!::grouper::testing::JudgesPrograms())                                               \
  GTEST_SKIP()                                                                             \
      << "this machine cannot isolate programs; `grouper-reward health --self-test` says " \
         "why"

// An empty folder below the test's temporary folder. An older one of this name is removed.
std::string FreshFolder(const std::string& name);

}  // namespace grouper::testing
