#include "rl/experience/task_check.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "proto/textproto.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"
#include "reward/service/service.h"
#include "rl/experience/score_item.h"

namespace grouper {
namespace {

// The graders of a reward service without the service.
class Graders final : public GroupScorer {
 public:
  explicit Graders(const RewardConfig& config, const Grader* code)
      : config_(config), scorer_(&math_, code) {}
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
    ++calls;
    for (Group& group : *groups) {
      for (const Completion& completion : group.completions()) {
        const reward::v1::ScoreItem item = ScoreItemOf(group.prompt(), completion, "test");
        for (const Rubric& rubric : config_.rubric()) {
          if (rubric.name() == item.rubric()) *group.add_scores() = scorer_.Score(item, rubric, {});
        }
      }
    }
    return 0;
  }
  int calls = 0;

 private:
  RewardConfig config_;
  MathGrader math_;
  Scorer scorer_;
};

// Judges every program, and never gets to see an answer.
class ReadsPrograms final : public Grader {
 public:
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric&,
                  const GradeBudget&) const override {
    EXPECT_EQ(item.completion(), "") << "nothing may be run";
    Judgement j;
    j.verdict = reward::v1::ScoreResult::NO_ANSWER;
    return j;
  }
};

Prompt Number(int line, const std::vector<std::string>& golds, const std::string& rubric = "n") {
  Prompt prompt;
  prompt.set_ordinal(static_cast<uint64_t>(line));
  prompt.set_task_id("rows.jsonl:" + std::to_string(line));
  prompt.set_rubric(rubric);
  for (const std::string& gold : golds) prompt.mutable_math()->add_golds(gold);
  return prompt;
}

Prompt Program(int line) {
  Prompt prompt = Number(line, {});
  prompt.mutable_code()->set_language("python");
  prompt.mutable_code()->mutable_problem()->set_entry("f");
  auto* test = prompt.mutable_code()->mutable_problem()->add_cases();
  test->set_arguments_json("[1]");
  test->set_expected_json("1");
  return prompt;
}

class TaskCheckTest : public ::testing::Test {
 protected:
  TaskCheckTest() {
    MergeTextproto(R"(rubric { name: "n" extraction: WHOLE component { name: "accuracy" } })",
                   "test", &config_);
  }
  std::string Refusal(const std::vector<Prompt>& tasks, const std::string& problem = "") {
    Graders graders(config_, &code_);
    TaskCheckOptions options{.setting = "data.train",
                             .tasks_of_set = static_cast<int64_t>(tasks.size())};
    options.programs.problem = problem;
    try {
      CheckTasks(tasks, config_, &graders, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
      return error.message();
    }
    return "";
  }
  // What is warned of; the tasks pass.
  std::string Warning(const std::vector<Prompt>& tasks, const std::string& problem = "") {
    testing::internal::CaptureStderr();
    EXPECT_EQ(Refusal(tasks, problem), "");
    return testing::internal::GetCapturedStderr();
  }

  RewardConfig config_;
  ReadsPrograms code_;
};

TEST_F(TaskCheckTest, GoldsThatNobodyCanReadAreRefusedWithTheirPlaces) {
  const std::string all =
      Refusal({Number(1, {"\\frac{"}), Number(4, {"\\sqrt{"}), Number(5, {"{"})});
  EXPECT_NE(all.find("data.train: 3 of 3 right answers"), std::string::npos) << all;
  EXPECT_NE(all.find("rows.jsonl:1"), std::string::npos) << all;
  EXPECT_NE(all.find("data.gold_after"), std::string::npos) << all;
  config_.set_allow_unjudged(true);
  EXPECT_NE(Refusal({Number(1, {"\\frac{"})}), "") << "that is for programs";
}

TEST_F(TaskCheckTest, SomeThatNobodyCanReadAreCountedAndTheFirstAreNamed) {
  std::vector<Prompt> tasks;
  for (int line = 1; line <= 9; ++line) tasks.push_back(Number(line, {line < 4 ? "7" : "\\frac{"}));
  const std::string words = Warning(tasks);
  EXPECT_NE(words.find("6 of 9 right answers"), std::string::npos) << words;
  EXPECT_NE(words.find("(rows.jsonl:4, rows.jsonl:5, rows.jsonl:6, ...)"), std::string::npos)
      << words;
  EXPECT_EQ(std::count(words.begin(), words.end(), '\n'), 1) << words;
  EXPECT_EQ(Warning({Number(1, {"7"})}), "");
}

// A gold is given in the form that each rubric asks for, behind gates and required thoughts too.
TEST_F(TaskCheckTest, EveryRubricAcceptsItsOwnGolds) {
  for (const char* extraction : {"BOXED", "ANSWER_TAG", "GSM8K", "LINE", "WHOLE"}) {
    for (const char* more : {"", "think_required: true", "marker: '**Final Answer**'"}) {
      SCOPED_TRACE(std::string(extraction) + " " + more);
      config_.clear_rubric();
      MergeTextproto(std::string("rubric { name: 'n' extraction: ") + extraction + " " + more +
                         " component { name: 'format' } component { name: 'accuracy' gate: "
                         "'format' right: 0.5 wrong: -1 } }",
                     "test", &config_);
      const std::string words =
          Warning({Number(1, {"7"}), Number(2, {"-1,234.50"}), Number(3, {"1/2"}),
                   Number(4, {"50%"}), Number(5, {"\\frac{", "3 cm"})});
      EXPECT_EQ(words, "");
    }
  }
}

TEST_F(TaskCheckTest, ProgramsWithoutIsolationAreRefusedWithReasonAndRemedy) {
  const std::vector<Prompt> mixed = {Number(1, {"7"}), Program(2), Number(3, {"8"}), Program(4)};
  EXPECT_EQ(Warning(mixed), "");
  const std::string refused = Refusal(mixed, "no walls: see docs/running.md");
  EXPECT_NE(refused.find("2 of 2 tasks that ask for a program"), std::string::npos) << refused;
  EXPECT_NE(refused.find("no walls: see docs/running.md"), std::string::npos) << refused;
  EXPECT_NE(refused.find("reward.allow_unjudged"), std::string::npos) << refused;
  EXPECT_EQ(Refusal({Number(1, {"7"})}, "no walls"), "") << "nobody asks for programs";
  config_.set_allow_unjudged(true);
  EXPECT_NE(Warning(mixed, "no walls").find("2 of 2 tasks that ask for a program"),
            std::string::npos);
}

TEST_F(TaskCheckTest, AFailureOfTheServiceIsNoFaultOfTheTask) {
  class Fails final : public GroupScorer {
    int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
      for (Group& group : *groups) {
        group.add_scores()->set_status(reward::v1::ScoreResult::TIMEOUT);
      }
      return 0;
    }
  } fails;
  const std::vector<Prompt> tasks = {Number(1, {"\\frac{"})};
  CheckTasks(tasks, config_, &fails, {.setting = "data.train", .tasks_of_set = 1});
}

TEST_F(TaskCheckTest, ManyTasksAreAskedInCallsOfBoundedSize) {
  std::vector<Prompt> tasks;
  for (int line = 1; line <= 2500; ++line) tasks.push_back(Number(line, {"7"}));
  Graders graders(config_, &code_);
  CheckTasks(tasks, config_, &graders, {.setting = "data.train", .tasks_of_set = 2500});
  EXPECT_EQ(graders.calls, 3);
}

// What services say of themselves against what the run asks for.
TEST_F(TaskCheckTest, TheWeakestServiceDecidesWhetherProgramsAreJudged) {
  MathGrader math;
  const Scorer scorer(&math, nullptr);
  RewardServiceOptions none;
  none.code_serving = false;
  none.isolation = "no Landlock here";
  const RewardService with(&scorer, {}), without(&scorer, none);
  EXPECT_EQ(AskProgramJudging(config_, {with.address()}).problem, "");
  const ProgramJudging both = AskProgramJudging(config_, {with.address(), without.address()});
  EXPECT_EQ(both.TierName(), "NOT_ISOLATED");
  for (const std::string& word : {without.address(), std::string("no Landlock here"),
                                  std::string("PROCESS"), std::string("docs/running.md")}) {
    EXPECT_NE(both.problem.find(word), std::string::npos) << both.problem;
  }
  // A service that is down is left out while another answers; if none does, it is named.
  config_.set_max_wait_seconds(0);
  EXPECT_EQ(AskProgramJudging(config_, {"127.0.0.1:1", with.address()}).problem, "");
  try {
    AskProgramJudging(config_, {"127.0.0.1:1"});
    FAIL() << "nobody answered";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_NE(error.message().find("127.0.0.1:1"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace grouper
