// Runs the built programs as a user would and keeps what they say.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace grouper::testing {

struct Ran {
  int code = -1;  // exit code; 128 + signal when killed
  std::string out;
  std::string err;
};

// program: "grouper", "grouper-reward" or "grouper-trace" of the build; environment: "NAME=value".
Ran RunProgram(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment = {});

// Starts it and sends `signal` when `file` has at least `lines` lines; then waits.
Ran RunAndSignal(const std::string& program, const std::vector<std::string>& arguments,
                 const std::string& file, int lines, int signal);

// A program that runs beside the test; killed when the test forgets it.
class Background {
 public:
  Background(const std::string& program, const std::vector<std::string>& arguments,
             const std::vector<std::string>& environment = {});
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  pid_t pid() const { return pid_; }
  std::string err() const;  // so far
  // True when it says so on stderr within the time; false also when it ended.
  bool Says(const std::string& words, double seconds = 60);
  // True when the file has so many lines within the time; false also when it ended.
  bool HasLines(const std::string& file, int lines, double seconds = 60);
  void Signal(int signal);
  Ran Wait();

 private:
  bool Until(const std::function<bool()>& condition, double seconds);
  bool Ended();
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string out_file_, err_file_;
};

// A fresh folder below the test's temporary folder, removed first.
std::string FreshFolder(const std::string& name);

}  // namespace grouper::testing
