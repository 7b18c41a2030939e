// Going on: verdicts of the trace are used again, checkpoints are kept and passed over by rule, a
// clock that was set back disorders nothing.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/json_lines.h"
#include "base/io/record_file.h"
#include "proto/event.pb.h"
#include "rl/algorithm/schedule.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

class ResumeTest : public testing::JudgedRunTest {
 protected:
  ResumeTest()
      : JudgedRunTest([this](const reward::v1::ScoreItem& item) {
          return (Crc32c(item.completion()) % 2 == 0) != changed_mind_;
        }) {
    config_.set_steps(5);
    config_.set_checkpoint_every(2);
  }

  // Of each step.
  static std::vector<int64_t> Reused(const std::string& run) {
    JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
    std::vector<int64_t> reused;
    for (Json row; rows.Next(&row);) reused.push_back(row.Integer("reward.reused", "row"));
    return reused;
  }
  static std::vector<std::string> Checkpoints(const std::string& run) {
    return ListFolder(JoinPath(run, "checkpoints"));
  }
  static void Spoil(const std::string& run, const std::string& checkpoint) {
    const std::string path =
        JoinPath(JoinPath(JoinPath(run, "checkpoints"), checkpoint), "MANIFEST");
    const std::string text = ReadFile(path, "manifest");
    std::filesystem::remove(path);
    PublishFile(path, text.substr(0, text.size() / 2));
  }

  std::atomic<bool> changed_mind_ = false;
};

TEST_F(ResumeTest, VerdictsOfTheTraceAreUsedAgainAlsoAfterASecondKill) {
  const std::string whole = Folder("whole"), cut = Folder("cut");
  const TrainResult reference = Run(whole);
  EXPECT_GT(reference.policy_version, 0u);
  EXPECT_EQ(Reused(whole), (std::vector<int64_t>{0, 0, 0, 0, 0}));
  RunUntil(cut, 3);  // the checkpoint is of step 2: steps 2 and 3 are made again
  // From here on the grader says the opposite: as a time limit may on a slower day.
  changed_mind_ = true;
  asked_ = 0;
  RunUntil(cut, 2);
  EXPECT_TRUE(FileExists(cut + "/traces/kept-verdicts"));
  RunUntil(cut, 3);
  EXPECT_EQ(asked_, 0) << "no item that has a verdict is asked for again";
  changed_mind_ = false;  // steps that were never judged
  const TrainResult resumed = Run(cut);
  EXPECT_EQ(resumed.weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Reused(cut), (std::vector<int64_t>{0, 0, 16, 16, 0}));
  EXPECT_EQ(asked_, 16);
  EXPECT_EQ(Digest(cut), Digest(whole));
  EXPECT_FALSE(FileExists(cut + "/traces/kept-verdicts"));
}

// Bytes that read() has given this process.
int64_t BytesRead() {
  std::ifstream in("/proc/self/io");
  std::string name;
  int64_t value = 0;
  in >> name >> value;
  return value;
}

TEST_F(ResumeTest, ACheckpointIsReadOnce) {
  config_.set_steps(1);
  config_.mutable_policy()->mutable_moe()->set_width(512);
  MergeTextproto("loss { kl: K3 kl_beta: 0.01 }", "test", &config_);  // with a reference
  const std::string run = Folder("run");
  const TrainResult reference = Run(run);
  const std::string folder = CheckpointPath(run, 1);
  int64_t size = 0;
  for (const std::string& name : ListFolder(folder)) {
    size += static_cast<int64_t>(FileSize(JoinPath(folder, name)));
  }
  ASSERT_EQ(ListFolder(folder).size(), 4u) << "model, moments, reference and manifest";
  ASSERT_GT(size, 4'000'000);
  const int64_t before = BytesRead();
  const Trainer resumed(config_, run, {.threads = 1}, {});
  const int64_t read = BytesRead() - before;
  EXPECT_GE(read, size);
  EXPECT_LT(read, size + size / 4);
  EXPECT_EQ(resumed.next_step(), 1);
}

TEST_F(ResumeTest, AVerdictUnderAnotherRubricIsNotUsed) {
  const std::string run = Folder("run");
  RunUntil(run, 1);  // no checkpoint yet: the config may change
  config_.mutable_reward()->mutable_rubric(0)->mutable_component(0)->set_weight(2);
  asked_ = 0;
  Run(run);
  EXPECT_EQ(Reused(run), (std::vector<int64_t>{0, 0, 0, 0, 0}));
  EXPECT_EQ(asked_, 5 * 16);
}

TEST_F(ResumeTest, TheLastThreeAndEveryKthAreKept) {
  config_.set_steps(9);
  config_.set_checkpoint_every(1);
  Run(Folder("three"));
  EXPECT_EQ(Checkpoints(Folder("three")),
            (std::vector<std::string>{"step-00000007", "step-00000008", "step-00000009"}));
  config_.set_checkpoint_keep_every(3);
  Run(Folder("kth"));
  EXPECT_EQ(Checkpoints(Folder("kth")),
            (std::vector<std::string>{"step-00000003", "step-00000006", "step-00000007",
                                      "step-00000008", "step-00000009"}));
}

TEST_F(ResumeTest, TheOnlyValidCheckpointSurvivesAndNoneIsAnError) {
  config_.set_steps(6);
  config_.set_checkpoint_every(1);
  const std::string run = Folder("run");
  const TrainResult reference = Run(run);
  Spoil(run, "step-00000006");
  Spoil(run, "step-00000005");
  {
    const Trainer stopped(config_, run, {.threads = 1}, {});
    EXPECT_EQ(Checkpoints(run).size(), 3u) << "the bad ones are left for a person to look at";
  }
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Run(run).weights_sha256, reference.weights_sha256);
  const std::string log = ::testing::internal::GetCapturedStderr();
  for (const char* bad : {"step-00000005", "step-00000006"}) {
    const size_t first = log.find(bad);
    ASSERT_NE(first, std::string::npos) << log;
    EXPECT_EQ(log.find(bad, log.find('\n', first)), std::string::npos) << "reported once: " << log;
  }
  for (const std::string& name : Checkpoints(run)) EXPECT_NO_THROW(ResolveCheckpoint(run)) << name;
  for (const std::string& name : Checkpoints(run)) Spoil(run, name);
  const std::string words = UserErrorOf([&] { Run(run); });
  EXPECT_NE(words.find(run), std::string::npos) << words;
  EXPECT_NE(words.find("put back"), std::string::npos) << words;
}

TEST_F(ResumeTest, AScheduleThatEndsWithTheRunIsNamedWhenTheEndMoves) {
  MergeTextproto("optimizer { lr: 1e-3 warmup_updates: 1 schedule: COSINE }", "test", &config_);
  const auto said = [&](const std::string& run, int64_t steps) {
    config_.set_steps(steps);
    ::testing::internal::CaptureStderr();
    Run(run);
    const std::string log = ::testing::internal::GetCapturedStderr();
    const size_t at = log.find("[run] optimizer.schedule COSINE ends with the run");
    return at == std::string::npos ? "" : log.substr(at, log.find('\n', at) - at);
  };
  const std::string run = Folder("run");
  EXPECT_EQ(said(run, 3), "") << "a first start";
  const uint64_t version = Trainer(config_, run, {.threads = 1}, {}).learner().version();
  ASSERT_GT(version, 1u);
  EXPECT_EQ(said(run, 3), "") << "the same end";
  const std::string line = said(run, 5);
  std::ostringstream rates;
  rates << "from update 3 to 5: the learning rate of the next update, " << version << ", is "
        << LearningRateAt(config_.optimizer(), static_cast<int64_t>(version), 5) << " instead of "
        << LearningRateAt(config_.optimizer(), static_cast<int64_t>(version), 3);
  EXPECT_NE(line.find(rates.str()), std::string::npos) << line << "\n" << rates.str();
  EXPECT_EQ(said(run, 5), "") << "said once, at the start that moves it";
}

// A wall clock under the test's control; monotonic time goes on.
class SetClock final : public Clock {
 public:
  explicit SetClock(double offset) : offset_(offset) {}
  int64_t MonotonicNanos() const override { return SystemClock().MonotonicNanos(); }
  double WallSeconds() const override { return SystemClock().WallSeconds() + offset_; }

 private:
  double offset_;
};

TEST_F(ResumeTest, AClockSetBackBetweenRunsDisordersNothing) {
  const TrainResult reference = Run(Folder("whole"));
  const std::string run = Folder("run");
  const SetClock ahead(3600), back(-3600);
  config_.set_steps(2);
  TrainOptions options;
  options.clock = &ahead;
  Run(run, options);
  config_.set_steps(5);
  options.clock = &back;
  EXPECT_EQ(Run(run, options).weights_sha256, reference.weights_sha256);

  std::vector<std::string> event_files;
  for (const std::string& name : ListFolder(run)) {
    if (name.rfind("events.out.tfevents.", 0) == 0) event_files.push_back(name);
  }
  ASSERT_EQ(event_files.size(), 1u);
  RecordReader reader(JoinPath(run, event_files[0]));
  double last = 0;
  int64_t step = -1, events = 0;
  for (std::string record; reader.Next(&record); ++events) {
    tensorboard::Event event;
    ASSERT_TRUE(event.ParseFromString(record));
    EXPECT_GE(event.wall_time(), last);
    last = event.wall_time();
    if (event.has_summary()) {
      EXPECT_EQ(event.step(), ++step);
    }
  }
  EXPECT_EQ(events, 6);
  JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
  int64_t row_step = 0;
  for (Json row; rows.Next(&row);) EXPECT_EQ(row.Integer("step", "row"), row_step++);
  EXPECT_EQ(row_step, 5);
}

}  // namespace
}  // namespace grouper
