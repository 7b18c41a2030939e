// Things that can happen to a run that began well: a second learner, half a checkpoint, another
// tokenizer, a reward service that dies in the middle of a batch. There is one clear error, or the
// run continues. The final weights are those of a run that was left alone.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "base/io/file.h"
#include "base/io/process.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::Background;
using testing::FreshFolder;
using testing::Ran;
using testing::ResultOf;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;
using Strings = std::vector<std::string>;

class BadRun : public ::testing::Test {
 protected:
  BadRun()
      : folder_(FreshFolder("bad-run")),
        config_(TinyRun().Write(folder_)),
        run_(JoinPath(folder_, "run")) {
    const std::string reference = JoinPath(folder_, "reference");
    EXPECT_EQ(RunProgram("grouper", Train(reference)).code, 0);
    reference_ = ResultOf(reference);
  }
  ~BadRun() override { RemoveTree(folder_); }

  Strings Train(const std::string& run, const Strings& settings = {}) const {
    return TrainArguments(config_, run, settings);
  }
  void ExpectWords(const Ran& ran, int code, const Strings& words) {
    EXPECT_EQ(ran.code, code) << ran.err;
    for (const std::string& word : words) {
      EXPECT_NE(ran.err.find(word), std::string::npos) << "lacks \"" << word << "\":\n" << ran.err;
    }
  }

  std::string folder_, config_, run_, reference_;
};

TEST_F(BadRun, ASecondLearnerIsRefusedWithinASecondNamingTheFirst) {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  Background first("grouper", Train(run_, {"steps=100000"}));
  ASSERT_TRUE(first.HasLines(JoinPath(run_, "metrics.jsonl"), 2)) << first.err();
  const auto begin = std::chrono::steady_clock::now();
  const Ran second = RunProgram("grouper", Train(run_));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ExpectWords(second, 2, {run_, host, "pid " + std::to_string(first.pid()), "another folder"});
  // The program reports it within a second. Two are allowed, for its start on a busy machine.
  EXPECT_LT(took.count(), 2.0);
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait().code, 75);

  SKIP_WITHOUT_ISOLATION();
  Background quick("grouper", {"quickstart", "--smoke", "--run", folder_ + "/quick"});
  ASSERT_TRUE(quick.HasLines(folder_ + "/quick/base/metrics.jsonl", 1)) << quick.err();
  quick.Signal(SIGSTOP);
  ExpectWords(RunProgram("grouper", {"quickstart", "--smoke", "--run", folder_ + "/quick"}), 2,
              {folder_ + "/quick", "pid " + std::to_string(quick.pid())});
  quick.Signal(SIGCONT);
  EXPECT_EQ(quick.Wait().code, 0);
}

TEST_F(BadRun, HalfACheckpointIsNoneAndIsCleanedAway) {
  ASSERT_EQ(RunProgram("grouper", Train(run_, {"steps=4"})).code, 0);
  const std::string checkpoints = JoinPath(run_, "checkpoints");
  // A kill leaves the .tmp folder; a copy that was cut short leaves the others.
  std::filesystem::copy(checkpoints + "/step-00000004", checkpoints + "/step-00000006.tmp");
  std::filesystem::copy(checkpoints + "/step-00000004", checkpoints + "/step-00000005");
  std::filesystem::remove(checkpoints + "/step-00000005/optimizer.safetensors");
  std::filesystem::copy(checkpoints + "/step-00000004", checkpoints + "/step-00000007");
  std::filesystem::remove(checkpoints + "/step-00000007/MANIFEST");
  for (const char* bad : {"5", "7"}) {
    const std::string named = checkpoints + "/step-0000000" + bad;
    ExpectWords(RunProgram("grouper", Train(folder_ + "/new", {"init_from=" + named})), 2, {named});
  }
  const Ran ran = RunProgram("grouper", Train(run_));
  ExpectWords(ran, 0, {"step-00000005", "step-00000007", "not valid", "step-00000004"});
  EXPECT_EQ(ResultOf(run_), reference_);
  EXPECT_EQ(ListFolder(checkpoints).back(), "step-00000007") << "newer than all that is valid";
}

TEST_F(BadRun, AnotherTokenizerIsNamed) {
  ASSERT_EQ(RunProgram("grouper", Train(run_)).code, 0);
  ExpectWords(RunProgram("grouper", Train(run_, {"data.tokenizer=bytes"})), 2,
              {"data.tokenizer", "words", "bytes", run_});
  ExpectWords(
      RunProgram("grouper", Train(folder_ + "/new", {"data.tokenizer=bytes", "init_from=" + run_})),
      2, {"data.tokenizer", "words", "bytes", run_});
  ExpectWords(
      RunProgram("grouper", Train(folder_ + "/new", {"policy.vocab_size=77", "init_from=" + run_})),
      2, {"policy.vocab_size", "77"});
}

ProcessOptions Serve(const std::string& listen, const std::string& kill_point) {
  ProcessOptions options;
  options.argv = {GROUPER_REWARD_PROGRAM, "serve", "--listen", listen, "--report-port"};
  options.report_and_lifeline_pipes = true;
  if (!kill_point.empty()) options.environment_extra = {"GROUPER_KILL_POINT=" + kill_point};
  return options;
}

// A step has 8 items, and at most 4 are tried before the first, so the service dies within the
// batch of step 2.
TEST_F(BadRun, AServiceThatDiesInABatchIsWaitedForAndNothingIsScoredTwiceOrAsZero) {
  Process doomed(Serve("127.0.0.1:0", "score.item_scored:23"));
  const std::string address = doomed.ReadReportLine(std::chrono::seconds(60));
  Background running("grouper", Train(run_, {"reward.addresses=" + address}));
  ASSERT_TRUE(running.Says("waits for a reward service")) << running.err();
  EXPECT_EQ(doomed.Wait(std::chrono::seconds(10)), std::optional<int>(128 + SIGKILL));
  Process heir(Serve(address, ""));
  heir.ReadReportLine(std::chrono::seconds(60));
  const Ran ran = running.Wait();
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ResultOf(run_), reference_);
}

TEST_F(BadRun, AServiceThatStaysDeadIs75AndTheRunGoesOnLater) {
  Process doomed(Serve("127.0.0.1:0", "score.item_scored:23"));
  const std::string address = doomed.ReadReportLine(std::chrono::seconds(60));
  const Strings settings = {"reward.addresses=" + address, "reward.max_wait_seconds=0.5",
                            "checkpoint_every=0"};
  const Ran ran = RunProgram("grouper", Train(run_, settings));
  ExpectWords(ran, 75, {address, "nothing was scored as 0", "the state after 2 steps is saved"});
  EXPECT_EQ(ListFolder(JoinPath(run_, "checkpoints")), Strings{"step-00000002"});
  Process heir(Serve(address, ""));
  heir.ReadReportLine(std::chrono::seconds(60));
  const Ran again = RunProgram("grouper", Train(run_, settings));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(ResultOf(run_), reference_);
}

// The trainer's own service, killed from outside.
TEST_F(BadRun, TheOwnServiceIsStartedAgain) {
  Background running("grouper", Train(run_, {"steps=400"}));
  ASSERT_TRUE(running.HasLines(JoinPath(run_, "metrics.jsonl"), 3)) << running.err();
  running.Signal(SIGSTOP);
  const std::string task = std::to_string(running.pid());
  std::ifstream children("/proc/" + task + "/task/" + task + "/children");
  pid_t service = -1;
  ASSERT_TRUE(children >> service) << "the trainer has no child";
  ASSERT_EQ(kill(service, SIGKILL), 0);
  running.Signal(SIGCONT);
  EXPECT_TRUE(running.Says("started again")) << running.err();
  const Ran ran = running.Wait();
  EXPECT_EQ(ran.code, 0) << ran.err;
  ASSERT_EQ(RunProgram("grouper", Train(folder_ + "/left-alone", {"steps=400"})).code, 0);
  EXPECT_EQ(ResultOf(run_), ResultOf(folder_ + "/left-alone"));
}

// An answer on which the service dies each time must not keep the run in a circle.
TEST_F(BadRun, AServiceThatDiesAgainAndAgainEndsTheRun) {
  const Ran ran = RunProgram("grouper", Train(run_), {"GROUPER_KILL_POINT=score.item_scored:1"});
  ExpectWords(ran, 1, {"ends again and again", "exit_code=137", "grouper doctor"});
  const Ran again = RunProgram("grouper", Train(run_));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(ResultOf(run_), reference_);
}

}  // namespace
}  // namespace grouper
