// Status, verdict and reason of whole items: whose fault it is, several golds, boxes that differ.
#include "reward/math/math_grader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

Judgement Grade(const std::string& completion, const std::vector<std::string>& golds,
                const std::string& rubric = "", const std::string& prefill = "") {
  reward::v1::ScoreItem item;
  item.set_completion(completion);
  item.set_prefill(prefill);
  item.mutable_math();
  for (const std::string& gold : golds) item.mutable_math()->add_golds(gold);
  return MathGrader().Grade(item, RubricOf(rubric), GradeBudget());
}

TEST(MathGrader, AGoldThatCannotBeJudgedIsNobodysAnswer) {
  struct GoldCase {
    std::vector<std::string> golds;
    const char* reason;
  };
  const GoldCase cases[] = {
      {{}, "gold_missing"},
      {{""}, "gold_empty"},
      {{" \n"}, "gold_empty"},
      {{"\\boxed{}"}, "gold_empty"},
      {{"x^2 + 1"}, "gold_unparsable"},
      {{"5 or 6"}, "gold_unparsable"},
      {{"2 + 3 = 6"}, "gold_unparsable"},
      {{"nan"}, "gold_unparsable"},
      {{"\\boxed{5"}, "gold_unparsable"},
      {{"1e999999"}, "gold_over_budget"},
      {{"x^2", ""}, "gold_empty"},
  };
  for (const GoldCase& c : cases) {
    // Whoever answers: the right text, nonsense, nothing, a bomb.
    for (const char* completion : {"\\boxed{5}", "\\boxed{x^2 + 1}", "", "\\boxed{1e99999999}"}) {
      const Judgement j = Grade(completion, c.golds);
      EXPECT_EQ(j.status, Result::UNSCORABLE) << c.reason << completion;
      EXPECT_EQ(j.verdict, Result::VERDICT_UNSPECIFIED) << c.reason;
      EXPECT_EQ(j.reason, c.reason) << completion;
      EXPECT_FALSE(j.right());
    }
  }
}

TEST(MathGrader, VerdictsAndReasons) {
  struct VerdictCase {
    const char* completion;
    Result::Verdict verdict;
    const char* reason;
  };
  const VerdictCase cases[] = {
      {"\\boxed{5}", Result::CORRECT, "exact"},
      {"\\boxed{2 + 3 = 5}", Result::CORRECT, "exact"},
      {"\\boxed{6}", Result::WRONG, "different"},
      {"\\boxed{2 + 3 = 6}", Result::WRONG, "different"},
      {"\\boxed{2 + 4 = 5}", Result::WRONG, "chain_differs"},
      {"\\boxed{5 or 6}", Result::WRONG, "several_values"},
      {"\\boxed{5 m}", Result::WRONG, "units_differ"},
      {"\\boxed{what}", Result::UNPARSABLE, "unparsable"},
      {"\\boxed{2 + 3}", Result::UNPARSABLE, "unparsable"},
      {"\\boxed{1e99999999}", Result::OVER_BUDGET, "over_budget"},
      {"\\boxed{9^99 = 5}", Result::OVER_BUDGET, "over_budget"},
      {"\\boxed{9^99^99 = 5}", Result::UNPARSABLE, "unparsable"},
      {"\\boxed{6} \\boxed{5}", Result::AMBIGUOUS, "boxes_differ"},
      {"\\boxed{} \\boxed{5.0} \\boxed{5}", Result::CORRECT, "exact"},
      {"5", Result::NO_ANSWER, "no_answer"},
      {"\\boxed{5", Result::NO_ANSWER, "box_unclosed"},
      {"\\boxed{ }", Result::NO_ANSWER, "answer_empty"},
      {"<think>\\boxed{5}", Result::NO_ANSWER, "think_unclosed"},
  };
  for (const VerdictCase& c : cases) {
    const Judgement j = Grade(c.completion, {"5 km"});
    EXPECT_EQ(j.status, Result::SCORED) << c.completion;
    EXPECT_EQ(j.verdict, c.verdict) << c.completion;
    EXPECT_EQ(j.reason, c.reason) << c.completion;
    EXPECT_EQ(j.right(), c.verdict == Result::CORRECT) << c.completion;
    const bool flagged = c.verdict == Result::OVER_BUDGET;
    EXPECT_EQ(j.flags, std::vector<std::string>(flagged ? 1 : 0, "over_budget")) << c.completion;
  }
}

TEST(MathGrader, AnyOneGoldSuffices) {
  EXPECT_TRUE(Grade("\\boxed{5}", {"4", "5"}).right());
  EXPECT_TRUE(Grade("\\boxed{yes}", {"5", "yes"}).right());
  EXPECT_FALSE(Grade("\\boxed{6}", {"4", "5"}).right());
  // The mildest failure is told.
  EXPECT_EQ(Grade("\\boxed{what}", {"5", "yes"}).verdict, Result::WRONG);
  // A gold that cannot be judged is left out and told.
  const Judgement j = Grade("\\boxed{5}", {"x^2", "1e999999", "5"});
  EXPECT_TRUE(j.right());
  EXPECT_EQ(j.flags, std::vector<std::string>{"gold_ignored"});
}

TEST(MathGrader, GoldsAsDataSetsWriteThem) {
  for (const char* gold : {"18", "$18$", "\\boxed{18}", "$\\boxed{18}$", "#### 18",
                           "She sells 9 eggs for $2.\n9 * 2 = <<9*2=18>>18\n#### 18",
                           "It is 9 times 2, so the answer is $\\boxed{18}$.", "x = 18", "18 eggs",
                           "9 * 2 = 18", "18.0", "1.8 \\times 10^1", "eighteen"}) {
    EXPECT_TRUE(Grade("\\boxed{18}", {gold}).right()) << gold;
    EXPECT_EQ(Grade("\\boxed{19}", {gold}).verdict, Result::WRONG) << gold;
    EXPECT_TRUE(Grade("#### 18", {gold}, "extraction: GSM8K").right()) << gold;
  }
}

TEST(MathGrader, TheSpanIsReported) {
  const Judgement j = Grade("ab \\boxed{ 5 }", {"5"});
  EXPECT_EQ(j.extraction.rung(), "boxed");
  EXPECT_EQ(j.extraction.begin(), 11u);
  EXPECT_EQ(j.extraction.end(), 12u);
  EXPECT_EQ(j.extraction.answer(), "5");
  // What the field carries is UTF-8 of a bounded length.
  EXPECT_EQ(Grade("\\boxed{5\xFF}", {"5"}).extraction.answer(), "5\xEF\xBF\xBD");
  EXPECT_EQ(Grade("\\boxed{" + std::string(5000, '7') + "}", {"5"}).extraction.answer().size(),
            1024u);
  EXPECT_TRUE(Grade("5", {"5"}).extraction.rung().empty());
}

TEST(MathGrader, ManyLargeBoxesAreOverBudget) {
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "\\boxed{";
  nested += "5" + std::string(5000, '}');
  const Judgement j = Grade(nested, {"5"});
  EXPECT_EQ(j.status, Result::SCORED);
  EXPECT_FALSE(j.right());
  std::string flat;
  for (int i = 0; i < 5000; ++i) flat += "\\boxed{5}";
  EXPECT_TRUE(Grade(flat, {"5"}).right());
  // A pair that agrees by the first bytes only costs its length, not its square.
  const std::string long_box = "\\boxed{" + std::string(30000, '7') + "}";
  EXPECT_TRUE(Grade(long_box + long_box, {std::string(30000, '7')}).right());
}

TEST(MathGrader, ThePrefillOpensThinking) {
  EXPECT_FALSE(Grade("\\boxed{5}", {"5"}, "", "<think>\n").right());
  EXPECT_TRUE(Grade("so</think>\\boxed{5}", {"5"}, "", "<think>\n").right());
  EXPECT_FALSE(Grade("\\boxed{5}", {"5"}, "think_required: true").right());
}

}  // namespace
}  // namespace grouper
