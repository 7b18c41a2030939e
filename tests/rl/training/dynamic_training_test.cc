// Training with dynamic sampling: what each step consumed, that neither timing, threads nor a kill
// changes a bit of it, and that a run without enough groups stops where it can go on.
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/json_lines.h"
#include "rl/algorithm/verdict.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

constexpr int64_t kPrompts = 3, kMembers = 4;

class DynamicTrainingTest : public testing::JudgedRunTest {
 protected:
  DynamicTrainingTest()
      : JudgedRunTest([this](const reward::v1::ScoreItem& item) {
          const uint32_t bits = Crc32c(item.completion());
          // A slow day comes in another order.
          if (slow_) std::this_thread::sleep_for(std::chrono::milliseconds(bits / 7 % 5));
          return bits % 6 == 0 && !hopeless_;
        }) {
    config_.set_steps(4);
    config_.set_prompts_per_step(kPrompts);
    config_.set_group_size(kMembers);
    config_.set_checkpoint_every(2);
    MergeTextproto(
        "sampling { max_new_tokens: 12 } dynamic_sampling { enabled: true max_rounds: 20 }", "test",
        &config_);
  }

  std::atomic<bool> slow_ = false, hopeless_ = false;
};

TEST_F(DynamicTrainingTest, AStepTakesPromptsUntilItsBatchIsFull) {
  const std::string run = Folder("run");
  const TrainResult result = Run(run);
  EXPECT_EQ(result.policy_version, 4u) << "every step has signal";
  EXPECT_EQ(result.mismatches, 0);
  std::map<int64_t, std::vector<Group>> steps;
  uint64_t next = 0;
  for (const Group& group : testing::Traced(run)) {
    EXPECT_EQ(group.prompt().ordinal(), next++) << "no prompt is lost or used twice";
    steps[group.step()].push_back(group);
  }
  ASSERT_EQ(steps.size(), 4u);
  JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
  int64_t longest = 0, surplus = 0;
  for (Json row; rows.Next(&row);) {
    const std::vector<Group>& groups = steps[row.Integer("step", "row")];
    int64_t trained = 0, tokens = 0, dropped_tokens = 0;
    for (const Group& group : groups) {
      int64_t right = 0, own = 0;
      for (int i = 0; i < group.completions_size(); ++i) {
        right += IsRight(group.scores(i)) ? 1 : 0;
        own += group.completions(i).ids_size();
      }
      if (group.dropped().empty()) {
        EXPECT_GT(right, 0);
        EXPECT_LT(right, kMembers);
        EXPECT_EQ(group.advantages_size(), kMembers);
        EXPECT_FALSE(group.no_signal());
        ++trained;
        tokens += own;
      } else {
        EXPECT_EQ(group.advantages_size(), 0);
        EXPECT_EQ(group.dropped(), right == 0          ? "all_wrong"
                                   : right == kMembers ? "all_right"
                                                       : "surplus");
        surplus += group.dropped() == "surplus" ? 1 : 0;
        dropped_tokens += own;
      }
    }
    EXPECT_EQ(trained, kPrompts);
    const int64_t rounds = row.Integer("rollout.rounds", "row");
    longest = std::max(longest, rounds);
    EXPECT_EQ(rounds * kPrompts, static_cast<int64_t>(groups.size()));
    EXPECT_EQ(row.Integer("group.trained", "row"), kPrompts);
    EXPECT_EQ(row.Integer("group.dropped", "row"), static_cast<int64_t>(groups.size()) - kPrompts);
    EXPECT_EQ(row.Integer("rollout.dropped_tokens", "row"), dropped_tokens);
    EXPECT_EQ(row.Integer("rollout.sampled_tokens", "row"), tokens + dropped_tokens);
    EXPECT_EQ(row.Integer("check.tokens", "row"), tokens);
    EXPECT_EQ(row.Integer("batch.tokens", "row"), tokens);
  }
  EXPECT_GT(longest, 1) << "some step needs a second round";
  EXPECT_GT(surplus, 0) << "some round brings more than is needed";
}

TEST_F(DynamicTrainingTest, NeitherTimingNorThreadsNorAKillChangeABit) {
  const TrainResult reference = Run(Folder("whole"));
  const std::string digest = Digest(Folder("whole"));
  slow_ = true;
  EXPECT_EQ(Run(Folder("slow"), {}, 2).weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Digest(Folder("slow")), digest);
  slow_ = false;

  const std::string cut = Folder("cut");
  RunUntil(cut, 1);  // before the first checkpoint
  RunUntil(cut, 3);  // the checkpoint of step 2 knows how many prompts two steps took
  asked_ = 0;
  const TrainResult resumed = Run(cut);
  EXPECT_EQ(resumed.weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Digest(cut), digest);
  EXPECT_EQ(asked_, 0) << "verdicts of steps 2 and 3 stand in the trace, dropped groups included";
}

TEST_F(DynamicTrainingTest, TooFewGroupsStopTheRunWhereItCanGoOn) {
  const TrainResult reference = Run(Folder("whole"));
  const std::string run = Folder("run");
  config_.set_steps(3);
  Run(run);
  config_.set_steps(4);
  config_.mutable_dynamic_sampling()->set_max_rounds(2);
  hopeless_ = true;
  asked_ = 0;
  const std::string words = UserErrorOf([&] { Run(run); });
  EXPECT_NE(words.find("dynamic_sampling.max_rounds"), std::string::npos) << words;
  EXPECT_NE(words.find("step=3 rounds=2 groups_needed=3 groups_missing=3"), std::string::npos)
      << words;
  EXPECT_EQ(asked_, 2 * kPrompts * kMembers);
  EXPECT_TRUE(FolderExists(JoinPath(run, "checkpoints/step-00000003")));
  hopeless_ = false;
  config_.mutable_dynamic_sampling()->set_max_rounds(20);  // may be raised
  EXPECT_EQ(Run(run).weights_sha256, reference.weights_sha256);
}

// A checkpoint would fix the settings that the error asks to change.
TEST_F(DynamicTrainingTest, BeforeTheFirstStepNothingIsSavedAndAnySettingMayChange) {
  const TrainResult reference = Run(Folder("whole"));
  const std::string run = Folder("run");
  config_.mutable_dynamic_sampling()->set_max_rounds(1);
  config_.mutable_optimizer()->set_lr(0.5);
  hopeless_ = true;
  UserErrorOf([&] { Run(run); });
  EXPECT_EQ(ListFolder(JoinPath(run, "checkpoints")), std::vector<std::string>{});
  hopeless_ = false;
  config_.mutable_dynamic_sampling()->set_max_rounds(20);
  EXPECT_NE(Run(run).weights_sha256, reference.weights_sha256);
}

}  // namespace
}  // namespace grouper
