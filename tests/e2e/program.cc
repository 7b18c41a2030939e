#include "tests/e2e/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/file.h"

extern char** environ;

namespace grouper::testing {
namespace {

struct Started {
  pid_t pid;
  std::string out, err;  // files
};

Started Start(const std::string& program, const std::vector<std::string>& arguments,
              const std::vector<std::string>& environment) {
  static int counter = 0;
  const std::string base =
      ::testing::TempDir() + "ran-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
  Started started{-1, base + ".out", base + ".err"};
  std::vector<std::string> argv = {std::string(GROUPER_PROGRAMS) + "/" + program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::vector<std::string> env = environment;
  for (char** e = environ; *e != nullptr; ++e) env.push_back(*e);
  std::vector<char*> raw_argv, raw_env;
  for (std::string& a : argv) raw_argv.push_back(a.data());
  for (std::string& e : env) raw_env.push_back(e.data());
  raw_argv.push_back(nullptr);
  raw_env.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, started.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0644);
  posix_spawn_file_actions_addopen(&actions, 2, started.err.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0644);
  EXPECT_EQ(0, posix_spawn(&started.pid, raw_argv[0], &actions, nullptr, raw_argv.data(),
                           raw_env.data()));
  posix_spawn_file_actions_destroy(&actions);
  return started;
}

Ran Finish(const Started& started) {
  int status = 0;
  waitpid(started.pid, &status, 0);
  Ran ran;
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.out = ReadFile(started.out, "output");
  ran.err = ReadFile(started.err, "errors");
  unlink(started.out.c_str());
  unlink(started.err.c_str());
  return ran;
}

}  // namespace

Ran RunProgram(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment) {
  return Finish(Start(program, arguments, environment));
}

Ran RunAndSignal(const std::string& program, const std::vector<std::string>& arguments,
                 const std::string& file, int lines, int signal) {
  const Started started = Start(program, arguments, {});
  for (int i = 0; i < 6000; ++i) {
    if (FileExists(file)) {
      const std::string text = ReadFile(file, "progress");
      if (std::count(text.begin(), text.end(), '\n') >= lines) break;
    }
    int status = 0;
    if (waitpid(started.pid, &status, WNOHANG) != 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(started.pid, signal);
  return Finish(started);
}

std::string FreshFolder(const std::string& name) {
  const std::string folder =
      ::testing::TempDir() + "grouper-" + std::to_string(getpid()) + "-" + name;
  RemoveTree(folder);
  MakeFolders(folder);
  return folder;
}

}  // namespace grouper::testing
