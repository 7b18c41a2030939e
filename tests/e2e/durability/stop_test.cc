// How a run is stopped, and what it leaves: one signal at any named place, in the middle of an
// evaluation or of a recovery; two signals; the child process of a trainer that was killed; a run
// whose files are missing.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/io/file.h"
#include "tests/e2e/durability/kill_case.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::Background;
using testing::FreshFolder;
using testing::KillCase;
using testing::KillPlace;
using testing::Outcome;
using testing::Ran;
using testing::ResultOf;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;
using Strings = std::vector<std::string>;

// The bits of the shrunk quickstart. The rows of metrics are left out, because a signal during an
// evaluation cuts the evaluation short.
std::string BitsOf(const KillCase& run) {
  const Outcome outcome = run.outcome();
  EXPECT_TRUE(outcome.left_behind.empty()) << outcome.left_behind[0];
  return outcome.weights + outcome.trace_digest + outcome.before;
}

// In each stage, at each kind of file, and in recovery, the run ends with exit code 75 after a
// checkpoint. Continued, it comes to the same bits.
TEST(Stop, ASignalAtAnyPlaceEndsWith75AndLosesNothing) {
  SKIP_WITHOUT_ISOLATION();
  KillCase run("stop");
  run.Run();
  const std::string reference = BitsOf(run);
  for (const std::vector<KillPlace>& places : std::vector<std::vector<KillPlace>>{
           {{"sft.updated", 9}, {"resume.found"}, {"resume.loaded"}},
           {{"checkpoint.model_written", 5}, {"quickstart.base_done"}},
           {{"quickstart.sft_done"}, {"resume.ready"}},
           {{"trace.completion_appended", 20}, {"step.begun"}, {"step.updated"}},
           {{"trace.step_recorded", 2}},  // an evaluation comes next
       }) {
    run.Clear();
    for (const KillPlace& place : places) {
      SCOPED_TRACE(place.text());
      const Ran ran = run.RunAndSignalAt(place, SIGTERM);
      EXPECT_EQ(ran.code, 75) << ran.err;
      EXPECT_NE(ran.err.find("run the same command again to continue"), std::string::npos)
          << ran.err;
    }
    SCOPED_TRACE(places[0].text());
    run.Run();
    EXPECT_EQ(BitsOf(run), reference);
  }
}

class StoppedRun : public ::testing::Test {
 protected:
  StoppedRun()
      : folder_(FreshFolder("stopped")),
        config_(TinyRun{.steps = 4, .eval = "tasks:calc,fit"}.Write(folder_)),
        run_(JoinPath(folder_, "run")) {}
  ~StoppedRun() override { RemoveTree(folder_); }

  Strings Train(const std::string& run, const Strings& settings = {}) const {
    return TrainArguments(config_, run, settings);
  }
  std::string Reference(const Strings& settings = {}) const {
    const std::string run = folder_ + "/reference";
    EXPECT_EQ(RunProgram("grouper", Train(run, settings)).code, 0);
    return ResultOf(run);
  }
  static int64_t Lines(const std::string& file) {
    const std::string text = ReadFile(file, "lines");
    return std::count(text.begin(), text.end(), '\n');
  }
  std::string File(const std::string& name) const { return JoinPath(run_, name); }

  std::string folder_, config_, run_;
};

// The second signal ends the program at once, whatever it does. The older checkpoint remains.
TEST_F(StoppedRun, TwoSignalsLeaveAtOnce) {
  const Strings settings = {"eval_every=2", "eval.questions=200", "eval.samples=2000"};
  Background running("grouper", Train(run_, settings));
  ASSERT_TRUE(running.HasLines(File("metrics.jsonl"), 1))
      << running.err();  // a long evaluation next
  running.Signal(SIGSTOP);
  running.Signal(SIGTERM);  // pending signals of one number are one
  running.Signal(SIGINT);
  const auto begin = std::chrono::steady_clock::now();
  running.Signal(SIGCONT);
  EXPECT_EQ(running.Wait().code, 75);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 2.0);
  EXPECT_EQ(ListFolder(File("checkpoints")), Strings{}) << "nothing was saved on the way out";
  EXPECT_EQ(RunProgram("grouper", Train(run_)).code, 0);
}

// One signal in the middle of a long evaluation cuts it short. The step before it is saved.
TEST_F(StoppedRun, ASignalCutsAnEvaluationWithinSeconds) {
  const std::string log = folder_ + "/places";
  const Strings settings = {"eval_every=1", "eval.questions=200", "eval.samples=2000"};
  Background running("grouper", Train(run_, settings), {"GROUPER_KILL_LOG=" + log});
  ASSERT_TRUE(running.HasLines(log, 1)) << running.err();
  const auto evaluates = [&] {
    return ReadFile(log, "places").find("trace.step_recorded") != std::string::npos;
  };
  for (int i = 0; i < 3000 && !evaluates(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(evaluates());
  const auto begin = std::chrono::steady_clock::now();
  running.Signal(SIGTERM);
  EXPECT_EQ(running.Wait().code, 75);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 5.0);
  EXPECT_EQ(ListFolder(File("checkpoints")), Strings{"step-00000001"});
}

bool Lives(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string id, name, state;
  return static_cast<bool>(in >> id >> name >> state) && state != "Z";
}

TEST_F(StoppedRun, AKilledTrainerLeavesNoProcess) {
  Background running("grouper", Train(run_, {"steps=100000"}));
  ASSERT_TRUE(running.HasLines(File("metrics.jsonl"), 2)) << running.err();
  const std::string task = std::to_string(running.pid());
  pid_t service = -1;
  ASSERT_TRUE(std::ifstream("/proc/" + task + "/task/" + task + "/children") >> service);
  ASSERT_TRUE(Lives(service));
  running.Signal(SIGKILL);
  EXPECT_EQ(running.Wait().code, 128 + SIGKILL);
  for (int i = 0; i < 500 && Lives(service); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(Lives(service)) << "the reward service outlived its trainer by 5 s";
}

// The run continues from the newest checkpoint that its files still reach. Without one, it ends
// with a clear error.
TEST_F(StoppedRun, FilesThatAreShorterThanTheCheckpointSays) {
  const std::string reference = Reference();
  ASSERT_EQ(RunProgram("grouper", Train(run_)).code, 0);
  std::string events;
  for (const std::string& name : ListFolder(run_)) {
    if (name.rfind("events.", 0) == 0) events = name;
  }
  const std::string whole = folder_ + "/whole";
  std::filesystem::copy(run_, whole, std::filesystem::copy_options::recursive);
  for (const std::string& name :
       {std::string("metrics.jsonl"), events,
        JoinPath("traces/learner", ListFolder(File("traces/learner")).back())}) {
    SCOPED_TRACE(name);
    std::filesystem::resize_file(File(name), FileSize(File(name)) - 1);
    const Ran ran = RunProgram("grouper", Train(run_));
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_NE(ran.err.find("step-00000004 is not valid"), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find(name), std::string::npos) << ran.err;
    EXPECT_EQ(ResultOf(run_), reference);
    EXPECT_EQ(Lines(File("metrics.jsonl")), 4);

    // Of the trace all segments, because an older checkpoint needs an older one only.
    RemoveTree(File(name.rfind("traces/", 0) == 0 ? "traces/learner" : name));
    const Ran gone = RunProgram("grouper", Train(run_));
    EXPECT_EQ(gone.code, 2) << gone.err;
    EXPECT_NE(gone.err.find("a file of the run is missing: file="), std::string::npos) << gone.err;
    EXPECT_NE(gone.err.find("put back"), std::string::npos) << gone.err;
    RemoveTree(run_);
    std::filesystem::copy(whole, run_, std::filesystem::copy_options::recursive);
  }
}

}  // namespace
}  // namespace grouper
