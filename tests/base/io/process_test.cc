// Child programs and signals. Children are shell scripts that wait for an end of file, never for a
// time; the parents' deadlines are only there for a test that fails.
#include "base/io/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/error.h"
#include "base/io/file.h"
#include "base/thread.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing_support::TempFolder;
using testing_support::UserErrorOf;

ProcessOptions Shell(const std::string& script, bool pipes = true) {
  return {.argv = {"/bin/sh", "-c", script},
          .environment_extra = {},
          .report_and_lifeline_pipes = pipes};
}

int ExitOf(const ProcessOptions& options) {
  Process child(options);
  return child.Wait(seconds(60)).value_or(-1);
}

std::string UnavailableOf(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    return error.message();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

TEST(Process, ExitCodesAndSignals) {
  EXPECT_EQ(ExitOf(Shell("exit 0", false)), 0);
  EXPECT_EQ(ExitOf(Shell("exit 75", false)), 75);
  EXPECT_EQ(ExitOf(Shell("kill -SEGV $$", false)), 128 + SIGSEGV);
  Process child(Shell("exit 7"));
  EXPECT_EQ(child.Wait(seconds(60)), 7);
  EXPECT_EQ(child.Wait(milliseconds(0)), 7);  // asked again
  child.Terminate();  // of a child that is gone: nothing, its id may be another's
  child.Kill();
}

TEST(Process, AMissingProgramIsNamed) {
  EXPECT_EQ(UserErrorOf([] {
              Process child({{"/nonexistent/program"}, {}, false});
            }),
            "[process] cannot start /nonexistent/program: No such file or directory; check that "
            "the program is there");
}

TEST(Process, TheEnvironmentIsOursWithTheAdditionsInPlace) {
  setenv("GROUPER_TEST_KEPT", "kept", 1);
  setenv("GROUPER_TEST_CHANGED", "old", 1);
  ProcessOptions options = Shell(
      "echo $GROUPER_TEST_KEPT $GROUPER_TEST_CHANGED $GROUPER_TEST_NEW $(env | grep -c "
      "GROUPER_TEST_CHANGED) >&3");
  options.environment_extra = {"GROUPER_TEST_CHANGED=changed", "GROUPER_TEST_NEW=a=b"};
  EXPECT_EQ(Process(options).ReadReportLine(seconds(60)), "kept changed a=b 1");
}

TEST(Process, ReportLineEndsAtTheLineFeed) {
  Process child(Shell("echo 127.0.0.1:4711 >&3; echo more >&3; read forever <&4"));
  EXPECT_EQ(child.ReadReportLine(seconds(60)), "127.0.0.1:4711");
  EXPECT_FALSE(child.Wait(milliseconds(0)).has_value());
}

TEST(Process, AChildThatDiesWithoutAReportTellsItsCode) {
  Process child(Shell("printf half >&3; exit 9"));
  const std::string message = UnavailableOf([&] { child.ReadReportLine(seconds(60)); });
  EXPECT_NE(message.find("ended without a report; exit code 9"), std::string::npos) << message;
}

TEST(Process, AChildThatHangsMissesTheDeadline) {
  Process child(Shell("printf half >&3; read forever <&4"));
  const std::string message = UnavailableOf([&] { child.ReadReportLine(milliseconds(30)); });
  EXPECT_NE(message.find(std::to_string(child.pid()) + " reported nothing within 30 ms"),
            std::string::npos)
      << message;
  EXPECT_FALSE(child.Wait(milliseconds(0)).has_value());
}

TEST(Process, AReportWithoutEndIsCut) {
  Process child(Shell("while :; do printf 0123456789abcdef >&3 || exit; done"));
  EXPECT_THROW(child.ReadReportLine(seconds(60)), Error);
  child.Kill();
}

TEST(Process, TerminateAndKill) {
  Process polite(Shell("trap 'exit 5' TERM; echo ready >&3; while :; do read x <&4; done"));
  polite.ReadReportLine(seconds(60));
  polite.Terminate();
  EXPECT_EQ(polite.Wait(seconds(60)), 5);
  Process deaf(Shell("trap '' TERM; echo ready >&3; while :; do read x <&4; done"));
  deaf.ReadReportLine(seconds(60));
  deaf.Terminate();
  EXPECT_FALSE(deaf.Wait(milliseconds(0)).has_value());
  deaf.Kill();
  EXPECT_EQ(deaf.Wait(seconds(60)), 128 + SIGKILL);
}

// Takes the two seconds in which a child may end by itself.
TEST(Process, TheDestructorEndsAChildThatDoesNotListen) {
  pid_t pid = -1;
  {
    Process deaf(Shell("trap '' TERM; echo ready >&3; while :; do read x <&4; done"));
    deaf.ReadReportLine(seconds(60));
    pid = deaf.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Process, NoDescriptorOfOursGoesOver) {
  const int leaked = open("/dev/null", O_RDONLY);  // without close-on-exec
  ASSERT_GE(leaked, 3);
  const auto descriptors = [](bool pipes) {
    const TempFolder folder;
    const std::string path = JoinPath(folder.path(), "list");
    EXPECT_EQ(
        ExitOf(Shell("for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && printf $n >> " +
                         path + "; done; true",
                     pipes)),
        0);
    return ReadFile(path, "t");
  };
  EXPECT_EQ(descriptors(false), "012");
  EXPECT_EQ(descriptors(true), "01234");
  close(leaked);
}

// All bytes of fd until its end; a test failure when that takes a minute.
std::string ReadToEnd(int fd) {
  std::string all;
  for (;;) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 60'000) <= 0) {
      ADD_FAILURE() << "no end of file after " << all;
      return all;
    }
    char bytes[256];
    const ssize_t got = read(fd, bytes, sizeof(bytes));
    if (got <= 0) return all;
    all.append(bytes, static_cast<size_t>(got));
  }
}

// The owner of a child is killed; the child sees the end of its lifeline. Both hold the pipe as
// standard output, so its end means that both are gone.
TEST(Process, TheLifelineEndsWithItsOwner) {
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  const pid_t owner = fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    dup2(out[1], STDOUT_FILENO);
    close(out[0]);
    close(out[1]);
    Process child(Shell("echo ready >&3; read forever <&4; echo ended"));
    child.ReadReportLine(seconds(60));
    kill(getpid(), SIGKILL);
  }
  close(out[1]);
  EXPECT_EQ(ReadToEnd(out[0]), "ended\n");
  close(out[0]);
  int status = 0;
  ASSERT_EQ(waitpid(owner, &status, 0), owner);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(ProgramFolder, HoldsThisProgram) {
  EXPECT_TRUE(FileExists(JoinPath(ProgramFolder(), "base_file_test")));
}

// A child, because handlers stay for the life of a process. It says "ready", then "stop" when its
// token is set, and then waits for its end.
class Stoppable {
 public:
  explicit Stoppable(bool ignore_hangup = false) {
    int out[2];
    EXPECT_EQ(pipe(out), 0);
    child_ = fork();
    if (child_ == 0) {
      alarm(60);  // should the test end before it signals us
      close(out[0]);
      signal(SIGHUP, ignore_hangup ? SIG_IGN : SIG_DFL);
      const std::stop_token stop = StopOnSignals();
      bool twice = false;
      try {
        StopOnSignals();
      } catch (const Error&) {
        twice = true;
      }
      if (!twice || write(out[1], "ready\n", 6) != 6) _exit(1);
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any never;
      never.wait(lock, stop, [] { return false; });
      if (write(out[1], "stop\n", 5) != 5) _exit(1);
      for (;;) pause();
    }
    close(out[1]);
    out_ = out[0];
    char bytes[6];
    EXPECT_EQ(read(out_, bytes, 6), 6);
  }
  ~Stoppable() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(out_);
  }
  void Signal(int number) const {
    if (child_ > 0) kill(child_, number);
  }
  void ExpectStop() const {
    char bytes[5];
    ASSERT_EQ(read(out_, bytes, 5), 5);
    EXPECT_EQ(std::string(bytes, 5), "stop\n");
  }
  bool Lives() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid == 0;
  }
  int ExitCode() {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t child_ = -1;
  int out_ = -1;
};

void Pause(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST(StopOnSignals, AnyNumberOfSignalsOfAnyKindIsOneStop) {
  for (const int first : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    SCOPED_TRACE(first);
    const Stoppable child;
    child.Signal(first);
    child.ExpectStop();
    // The same one at once again, as to a process and to its group; then all others, as Slurm does.
    for (const int again : {first, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGPIPE}) {
      child.Signal(again);
    }
    Pause(100);
    EXPECT_TRUE(child.Lives());
  }
}

TEST(StopOnSignals, ASecondOfTheSameKindAMomentLaterLeavesAtOnce) {
  for (const int number : {SIGINT, SIGTERM}) {
    Stoppable child;
    child.Signal(number);
    child.ExpectStop();
    Pause(1100);
    child.Signal(SIGUSR1);
    child.Signal(number == SIGINT ? SIGTERM : SIGINT);
    Pause(100);
    EXPECT_TRUE(child.Lives());
    child.Signal(number);
    EXPECT_EQ(child.ExitCode(), 75);
  }
}

TEST(StopOnSignals, AnIgnoredHangupStaysIgnored) {
  const Stoppable child(true);
  child.Signal(SIGHUP);
  Pause(100);
  EXPECT_TRUE(child.Lives());
  child.Signal(SIGTERM);
  child.ExpectStop();
}

}  // namespace
}  // namespace grouper
