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

bool Sleeps(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string id, name, state;
  return static_cast<bool>(in >> id >> name >> state) && state == "T";
}

// The run gets `first` after its first step and halts in the middle of the save that follows, until
// `second` has come.
Ran HaltInTheSave(Background* running, const std::string& metrics, int first, int second) {
  EXPECT_TRUE(running->HasLines(metrics, 1)) << running->err();
  running->Signal(first);
  for (int i = 0; i < 3000 && !Sleeps(running->pid()); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(Sleeps(running->pid()));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  running->Signal(second);
  running->Signal(SIGCONT);
  return running->Wait();
}
const Strings kHalt = {"GROUPER_KILL_POINT=checkpoint.model_written",
                       "GROUPER_KILL_SIGNAL=" + std::to_string(SIGSTOP)};

// The older checkpoint remains; here there is none.
TEST_F(StoppedRun, ASecondSignalOfTheSameKindLeavesAtOnce) {
  Background running("grouper", Train(run_, {"steps=100000", "checkpoint_every=0"}), kHalt);
  EXPECT_EQ(HaltInTheSave(&running, File("metrics.jsonl"), SIGTERM, SIGTERM).code, 75);
  for (const std::string& name : ListFolder(File("checkpoints"))) {
    EXPECT_NE(name.find(".tmp"), std::string::npos) << name;
  }
  EXPECT_EQ(RunProgram("grouper", Train(run_)).code, 0);
}

// As Slurm sends them.
TEST_F(StoppedRun, SignalsOfTwoKindsAreOneStopAndTheSaveIsFinished) {
  Background running("grouper", Train(run_, {"steps=100000", "checkpoint_every=0"}), kHalt);
  const Ran ran = HaltInTheSave(&running, File("metrics.jsonl"), SIGUSR1, SIGTERM);
  EXPECT_EQ(ran.code, 75) << ran.err;
  const Strings saved = ListFolder(File("checkpoints"));
  ASSERT_EQ(saved.size(), 1u);
  EXPECT_EQ(saved[0].find(".tmp"), std::string::npos) << saved[0];
}

TEST_F(StoppedRun, EverySignalThatMeansAStopSaves) {
  for (const int number : {SIGHUP, SIGUSR2, SIGXCPU}) {
    SCOPED_TRACE(number);
    Background running("grouper", Train(run_, {"steps=100000", "checkpoint_every=0"}));
    ASSERT_TRUE(running.HasLines(File("metrics.jsonl"), 1)) << running.err();
    running.Signal(number);
    const Ran ran = running.Wait();
    EXPECT_EQ(ran.code, 75) << ran.err;
    EXPECT_EQ(ListFolder(File("checkpoints")).size(), 1u);
    RemoveTree(run_);
  }
}

// An evaluation and a sampling job wait for a service that is not there.
TEST_F(StoppedRun, ASignalEndsTheWaitForScores) {
  ASSERT_EQ(RunProgram("grouper", Train(run_)).code, 0);
  std::ofstream(folder_ + "/rows.jsonl") << "{\"question\":\"calc 1+1\",\"answer\":\"2\"}\n";
  const Strings nobody = {"--set", "reward.addresses=127.0.0.1:1", "--set",
                          "reward.max_wait_seconds=3600"};
  Strings eval = {"eval", "--checkpoint", run_};
  Strings sample = {"sample",
                    "--checkpoint",
                    run_,
                    "--input",
                    folder_ + "/rows.jsonl",
                    "--output",
                    folder_ + "/sampled.jsonl"};
  for (Strings& arguments : std::vector<Strings>{eval, sample}) {
    SCOPED_TRACE(arguments[0]);
    arguments.insert(arguments.end(), nobody.begin(), nobody.end());
    Background running("grouper", arguments);
    ASSERT_TRUE(running.Says("waits for a reward service")) << running.err();
    const auto begin = std::chrono::steady_clock::now();
    running.Signal(SIGTERM);
    EXPECT_EQ(running.Wait().code, 75);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(took.count(), 10.0);
  }
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
