// The trainer against a reward service in this process: one flipped bit between sampler and learner
// ends the run before its weights move, and the run can go on from where it stood.
#include "rl/training/trainer.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json_lines.h"
#include "proto/textproto.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"
#include "reward/service/service.h"
#include "rl/command/quickstart_config.h"
#include "tests/rl/training/judged_run.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

// The engine, but the last bit of one log-prob is flipped: of completion `member` of group `group`,
// in its call number `call`.
class Flipper final : public Generator {
 public:
  Flipper(int64_t call, size_t group, int member) : call_(call), group_(group), member_(member) {}

  bool Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                std::vector<Group>* groups, std::stop_token stop) override {
    if (!engine->Generate(prompts, options, groups, stop)) return false;
    if (calls_++ != call_) return true;
    const Group& group = (*groups)[group_];
    Completion* completion = (*groups)[group_].mutable_completions(member_);
    const int at = completion->ids_size() / 2;
    const uint32_t bits = std::bit_cast<uint32_t>(completion->rollout_log_probs(at));
    completion->set_rollout_log_probs(at, std::bit_cast<float>(bits ^ 1u));
    rollout = "rollout=" + std::to_string(completion->rollout_id());
    position = "position=" + std::to_string(group.prompt().ids_size() + at);
    return true;
  }
  const GeneratorStats& stats() const override { return engine->stats(); }

  Engine* engine = nullptr;
  std::string rollout, position;  // where the bit was flipped

 private:
  int64_t call_, calls_ = 0;
  size_t group_;
  int member_;
};

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() : scorer_(&math_, nullptr), service_(&scorer_, {}) {
    config_ = QuickstartConfig(QuickstartStage::kRl, 7, true);
    config_.set_steps(3);
    config_.set_checkpoint_every(1);
    config_.mutable_data()->set_eval("");
    config_.mutable_reward()->add_addresses(service_.address());
    // No jail here: every completion that should be a program is UNSCORABLE.
    config_.mutable_reward()->set_allow_unjudged(true);
    for (Rubric& rubric : *config_.mutable_reward()->mutable_rubric()) {
      for (Component& component : *rubric.mutable_component()) component.clear_gate();
    }
  }

  TrainResult Run(const std::string& run, const TrainOptions& options = {}) {
    Trainer trainer(config_, run, {.threads = 1}, options);
    return trainer.Run({});
  }
  static int64_t Rows(const std::string& run) {
    JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
    int64_t count = 0;
    for (Json row; rows.Next(&row);) ++count;
    return count;
  }

  // A run whose sampler is not the engine alone.
  TrainResult RunTouched(const std::string& run, Flipper* flipper) {
    Trainer trainer(config_, run, {.threads = 1}, {.generator = flipper});
    flipper->engine = &trainer.session().engine();
    return trainer.Run({});
  }

  TempFolder folder_;
  MathGrader math_;
  Scorer scorer_;
  RewardService service_;
  Config config_;
};

TEST_F(TrainerTest, OneFlippedBitEndsTheRunWithExitCodeOneAndNothingIsLost) {
  const std::string untouched = JoinPath(folder_.path(), "untouched"),
                    touched = JoinPath(folder_.path(), "touched");
  const TrainResult reference = Run(untouched);
  EXPECT_EQ(reference.mismatches, 0);

  Flipper flipper(1, 2, 1);
  try {
    RunTouched(touched, &flipper);
    FAIL() << "the flipped bit went unseen";
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.kind()), 1);
    EXPECT_NE(error.message().find(flipper.rollout), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(flipper.position), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("the same way twice"), std::string::npos) << error.message();
  }
  EXPECT_EQ(Rows(touched), 1) << "the step that failed is no step";

  const TrainResult resumed = Run(touched);
  EXPECT_EQ(resumed.steps, 3);
  EXPECT_EQ(resumed.weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Rows(touched), 3);
}

TEST_F(TrainerTest, WarnGoesOnAndCountsIt) {
  config_.set_check(Config::WARN);
  Flipper flipper(0, 0, 0);
  const TrainResult result = RunTouched(JoinPath(folder_.path(), "warn"), &flipper);
  EXPECT_EQ(result.steps, 3);
  EXPECT_EQ(result.mismatches, 2) << "one log-prob differs, so one ratio is not 1";
}

TEST_F(TrainerTest, ALengthCapHoldsFromTheStepThatBeginsAtItsUpdate) {
  MergeTextproto(
      R"(sampling { max_new_tokens: 9 length_schedule { from_update: 1 max_new_tokens: 14 } }
         loss { aggregation: CONST })",
      "test", &config_);
  const std::string run = JoinPath(folder_.path(), "caps");
  Run(run);
  std::map<uint64_t, int64_t> longest;  // by the version that sampled
  for (const Group& group : testing::Traced(run)) {
    for (const Completion& completion : group.completions()) {
      int64_t& n = longest[completion.spans(0).policy_version()];
      n = std::max<int64_t>(n, completion.ids_size());
    }
  }
  EXPECT_EQ(longest, (std::map<uint64_t, int64_t>{{0, 9}, {1, 14}, {2, 14}}));
}

TEST_F(TrainerTest, KlInTheRewardMovesAdvantagesAndSurvivesAResume) {
  config_.mutable_loss()->set_kl(LossConfig::K1);
  config_.mutable_loss()->set_kl_beta(0.5);
  config_.mutable_loss()->set_kl_place(LossConfig::IN_REWARD);
  config_.mutable_optimizer()->set_lr(0.05);
  const std::string whole = JoinPath(folder_.path(), "whole"),
                    parts = JoinPath(folder_.path(), "parts");
  config_.set_steps(5);
  const TrainResult reference = Run(whole);
  int64_t zero = 0, other = 0;
  for (const Group& group : testing::Traced(whole)) {
    ASSERT_EQ(group.kl_penalties_size(), group.completions_size());
    for (int i = 0; i < group.completions_size(); ++i) {
      const bool first = group.completions(i).spans(0).policy_version() == 0;
      EXPECT_EQ(first, group.kl_penalties(i) == 0) << "the reference is the first policy";
      ++(first ? zero : other);
    }
  }
  EXPECT_GT(zero, 0);
  EXPECT_GT(other, 0);
  for (const int64_t steps : {2, 4, 5}) {
    config_.set_steps(steps);
    const TrainResult part = Run(parts);
    if (steps == 5) {
      EXPECT_EQ(part.weights_sha256, reference.weights_sha256);
    }
  }
  JsonLinesReader rows(JoinPath(parts, "metrics.jsonl"), "metrics");
  Json row;
  ASSERT_TRUE(rows.Next(&row));
  ASSERT_NE(row.Find("kl.in_reward"), nullptr);
  EXPECT_EQ(row.Find("kl.in_reward")->number, 0);
}

// Whatever a completion says, its reward is 1: only the penalties differ.
class AllEqual final : public GroupScorer {
 public:
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
    for (Group& group : *groups) {
      group.clear_scores();
      for (const Completion& completion : group.completions()) {
        auto* score = group.add_scores();
        score->set_item_id(std::to_string(completion.rollout_id()));
        score->set_status(reward::v1::ScoreResult::SCORED);
        score->set_verdict(reward::v1::ScoreResult::CORRECT);
        score->set_reward(1);
      }
    }
    return 0;
  }
};

TEST_F(TrainerTest, AdvantagesOfKlPenaltiesAloneAreSaidOnce) {
  const testing_support::TempFolder base;
  MergeTextproto("loss { kl: K1 kl_beta: 0.001 kl_place: IN_REWARD } steps: 3", "test", &config_);
  // Another policy as the reference, so that there are penalties from the first step on.
  config_.set_checkpoint_every(0);
  Config other = config_;
  other.set_seed(8);
  other.clear_loss();
  other.set_steps(0);
  const std::string from = JoinPath(base.path(), "other");
  Trainer(other, from, {.threads = 1}, {}).Run({});
  config_.mutable_reference()->set_init_from(CheckpointPath(from, 0));
  AllEqual scorer;
  const auto lines = [&](const std::string& name) {
    ::testing::internal::CaptureStderr();
    Run(JoinPath(folder_.path(), name), {.scorer = &scorer});
    const std::string text = ::testing::internal::GetCapturedStderr();
    int64_t count = 0;
    for (size_t at = 0; (at = text.find("KL penalties alone", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  };
  EXPECT_EQ(lines("grpo"), 1);
  for (const Group& group : testing::Traced(JoinPath(folder_.path(), "grpo"))) {
    EXPECT_FALSE(group.no_signal());
  }
  config_.mutable_advantage()->set_kind(AdvantageConfig::CENTERED);
  EXPECT_EQ(lines("centered"), 0) << "these advantages are as small as the penalties";
}

TEST_F(TrainerTest, UnscorableCompletionsLeaveTheirGroupAndAreCounted) {
  const std::string run = JoinPath(folder_.path(), "dropped");
  Run(run);
  JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
  int64_t dropped = 0, named = 0;
  for (Json row; rows.Next(&row);) {
    const int64_t step_dropped = row.Integer("reward.dropped", "row");
    dropped += step_dropped;
    if (const Json* why = row.Find("reward.dropped.UNSCORABLE.no_isolation")) {
      named += static_cast<int64_t>(why->number);
    }
    EXPECT_EQ(row.Integer("reward.scored", "row") + step_dropped, 16);
    EXPECT_EQ(row.Integer("check.tokens", "row"), row.Integer("rollout.sampled_tokens", "row"));
  }
  EXPECT_EQ(dropped, named);
  EXPECT_GT(dropped, 0) << "half of the prompts ask for a program";
}

TEST_F(TrainerTest, ProgramsThatNobodyJudgesAreRefusedUnlessTheRunSaysSoAllTheTime) {
  config_.mutable_reward()->clear_allow_unjudged();
  const std::string refused =
      testing_support::UserErrorOf([&] { Run(JoinPath(folder_.path(), "refused")); });
  EXPECT_NE(refused.find("that ask for a program"), std::string::npos) << refused;
  EXPECT_NE(refused.find("reward.allow_unjudged"), std::string::npos) << refused;

  config_.mutable_reward()->set_allow_unjudged(true);
  const std::string run = JoinPath(folder_.path(), "said");
  std::vector<std::string> lines;
  const TrainResult result =
      Run(run, {.print = [&](const std::string& line) { lines.push_back(line); }});
  EXPECT_EQ(result.tasks, 12);
  EXPECT_GT(result.tasks_not_judged, 0);
  JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
  int64_t counted = 0;
  for (Json row; rows.Next(&row);) {
    const int64_t step = row.Integer("step", "row"),
                  n = row.Integer("reward.tasks_not_judged", "row");
    counted += n;
    const std::string words = std::to_string(n) + " of 4 tasks are not judged";
    EXPECT_EQ(lines.at(static_cast<size_t>(step)).find(words) != std::string::npos, n > 0);
  }
  EXPECT_EQ(counted, result.tasks_not_judged);
  TraceReader trace(run);
  EXPECT_EQ(trace.header().isolation_tier(), "NAMESPACES") << "as the service said of itself";
}

TEST_F(TrainerTest, WhatWasNotScoredHasNoMean) {
  const Scorer judges_nothing(nullptr, nullptr);
  const RewardService service(&judges_nothing, {});
  config_.mutable_reward()->set_addresses(0, service.address());
  const std::string run = JoinPath(folder_.path(), "unscored");
  std::vector<std::string> lines;
  Run(run,
      {.print = [&](const std::string& line) { lines.push_back(line); }, .check_tasks = false});
  JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
  Json row;
  ASSERT_TRUE(rows.Next(&row));
  EXPECT_EQ(row.Find("reward.mean"), nullptr);
  EXPECT_EQ(row.Find("reward.accuracy"), nullptr);
  EXPECT_EQ(row.Integer("reward.scored", "row"), 0);
  EXPECT_NE(lines.at(0).find("reward - | acc - |"), std::string::npos) << lines.at(0);
  EXPECT_NE(lines.at(0).find("4 of 4 tasks are not judged"), std::string::npos) << lines.at(0);
}

}  // namespace
}  // namespace grouper
