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

#include "base/io/file.h"

extern char** environ;

namespace grouper::testing {
namespace {

// The base name of the files that take the output of a program.
std::string NextBase() {
  static int counter = 0;
  return ::testing::TempDir() + "ran-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
}

}  // namespace

Background::Background(const std::string& program, const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment) {
  const std::string base = NextBase();
  out_file_ = base + ".out";
  err_file_ = base + ".err";
  std::vector<std::string> argv = {
      program[0] == '/' ? program : std::string(GROUPER_PROGRAMS) + "/" + program};
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
  constexpr int kFresh = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out_file_.c_str(), kFresh, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, err_file_.c_str(), kFresh, 0644);
  EXPECT_EQ(0, posix_spawn(&pid_, raw_argv[0], &actions, nullptr, raw_argv.data(), raw_env.data()));
  posix_spawn_file_actions_destroy(&actions);
}

Background::~Background() {
  if (!Ended()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  unlink(out_file_.c_str());
  unlink(err_file_.c_str());
}

bool Background::Ended() {
  if (!ended_) ended_ = wait4(pid_, &status_, WNOHANG, &usage_) == pid_;
  return ended_;
}

bool Background::Until(const std::function<bool()>& condition, double seconds) {
  for (int i = 0; i < seconds * 200; ++i) {
    if (condition()) return true;
    if (Ended()) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::string Background::err() const { return ReadFile(err_file_, "errors"); }

bool Background::Says(const std::string& words, double seconds) {
  return Until([&] { return err().find(words) != std::string::npos; }, seconds);
}

bool Background::HasLines(const std::string& file, int lines, double seconds) {
  const auto has = [&] {
    if (!FileExists(file)) return false;
    const std::string text = ReadFile(file, "progress");
    return std::count(text.begin(), text.end(), '\n') >= lines;
  };
  return Until(has, seconds);
}

void Background::Signal(int signal) {
  if (!Ended()) kill(pid_, signal);
}

Ran Background::Wait() {
  if (!ended_) ended_ = wait4(pid_, &status_, 0, &usage_) == pid_;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_),
          ReadFile(out_file_, "output"), ReadFile(err_file_, "errors"),
          int64_t{usage_.ru_maxrss} * 1024};
}

Ran RunProgram(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment) {
  return Background(program, arguments, environment).Wait();
}

Ran RunScript(const std::string& script, const std::vector<std::string>& environment) {
  return RunProgram("/bin/bash",
                    {"-c", std::string("PATH=") + GROUPER_PROGRAMS + ":$PATH\n" + script},
                    environment);
}

Ran RunAndSignal(const std::string& program, const std::vector<std::string>& arguments,
                 const std::string& file, int lines, int signal) {
  Background running(program, arguments);
  running.HasLines(file, lines);
  running.Signal(signal);
  return running.Wait();
}

bool JudgesPrograms() {
  static const bool judges = RunProgram("grouper-reward", {"health", "--self-test"}).code == 0;
  return judges;
}

std::string FreshFolder(const std::string& name) {
  const std::string folder =
      ::testing::TempDir() + "grouper-" + std::to_string(getpid()) + "-" + name;
  RemoveTree(folder);
  MakeFolders(folder);
  return folder;
}

}  // namespace grouper::testing
