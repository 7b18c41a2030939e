// Runs the built programs as a user would and keeps what they say.
#pragma once

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

// A fresh folder below the test's temporary folder, removed first.
std::string FreshFolder(const std::string& name);

}  // namespace grouper::testing
