// What a comparison reports beside equality: golds that cannot be judged, reasons, bounds on the
// work an answer may cause, agreement of boxes.
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

TEST(Equivalence, GoldsThatCannotBeJudged) {
  const Rubric rubric;
  for (const char* gold :
       {"1,23", "12,34", "x^2+1", "(1,2)", "[0,1)", "\\sqrt{2}",   "5 or 6",  "\\pm 3",
        "1/0",  "nan",   "NaN",   "inf",   "-inf",  "infinity",    "\\infty", "undefined",
        "x-y",  "2\\pi", "--5",   "5:30",  "\xFF",  "\\frac{1}{0}"}) {
    EXPECT_EQ(ReadGold(gold, rubric).kind, Gold::Kind::kUnparsable) << gold;
  }
  for (const char* gold : {"", "  ", "$$", "\\boxed{}", "\\text{ }"}) {
    EXPECT_NE(ReadGold(gold, rubric).kind, Gold::Kind::kNumber) << gold;
    EXPECT_NE(ReadGold(gold, rubric).kind, Gold::Kind::kWords) << gold;
  }
  EXPECT_EQ(ReadGold("1e999999", rubric).kind, Gold::Kind::kOverBudget);
  EXPECT_EQ(ReadGold(std::string(400000, '7'), rubric).kind, Gold::Kind::kOverBudget);
  EXPECT_EQ(ReadGold(std::string(300000, '7'), rubric).kind, Gold::Kind::kNumber);
}

TEST(Equivalence, ReasonsSayWhy) {
  const Rubric rubric;
  const auto reason = [&](const std::string& answer, const std::string& gold) {
    return std::string(Compare(answer, ReadGold(gold, rubric), rubric).reason);
  };
  EXPECT_EQ(reason("5", "5"), "exact");
  EXPECT_EQ(reason("3.141", "3.14"), "tolerance");
  EXPECT_EQ(reason("yes", "yes"), "words");
  EXPECT_EQ(reason("6", "5"), "different");
  EXPECT_EQ(reason("5 or 6", "5"), "several_values");
  EXPECT_EQ(reason("5 m", "5 km"), "units_differ");
  EXPECT_EQ(reason("x = 5", "y = 5"), "variables_differ");
  EXPECT_EQ(reason("what", "5"), "unparsable");
  EXPECT_EQ(reason("1e999999999999", "5"), "over_budget");
  EXPECT_EQ(reason(std::string(300, ' ') + "5", "5"), "too_long");
}

TEST(Equivalence, AnswersFarLongerThanTheGoldAreWrong) {
  const Gold gold = ReadGold("5", {});
  // 4 * 1 + 200 bytes.
  EXPECT_EQ(Compare("5" + std::string(203, ' '), gold, {}).kind, Equivalence::Kind::kEqual);
  EXPECT_EQ(Compare("5" + std::string(204, ' '), gold, {}).kind, Equivalence::Kind::kDifferent);
}

TEST(Equivalence, BudgetOfAnAnswerIsCounted) {
  const Gold gold = ReadGold("5", {});
  for (const char* bomb :
       {"1e315653", "1e999999999", "1e99999999999999999999", "10^{999999}",
        "1.5 \\times 10^{-99999999999}",
        "\\frac{\\frac{\\frac{\\frac{\\frac{\\frac{"
        "\\frac{\\frac{\\frac{\\frac{1}{2}}{3}}{4}}{5}}{6}}{7}}{8}}{9}}{2}}{2}"}) {
    EXPECT_EQ(Compare(bomb, gold, {}).kind, Equivalence::Kind::kOverBudget) << bomb;
  }
  EXPECT_EQ(Compare("1e315652", gold, {}).kind, Equivalence::Kind::kDifferent);
}

TEST(Equivalence, BoxesAgreeByValueAndByText) {
  const Rubric rubric;
  EXPECT_TRUE(Agree("1/2", "0.5", rubric));
  EXPECT_TRUE(Agree("x = 5", "5", rubric));
  EXPECT_TRUE(Agree("50%", "0.5", rubric));
  EXPECT_TRUE(Agree("5 apples", "5", rubric));
  EXPECT_TRUE(Agree("x^2", "X^2", rubric));
  EXPECT_FALSE(Agree("0.33", "1/3", rubric));
  EXPECT_FALSE(Agree("5 km", "5 m", rubric));
  EXPECT_FALSE(Agree("5", "6", rubric));
  EXPECT_FALSE(Agree("5 or 6", "6", rubric));
  EXPECT_FALSE(Agree("5" + std::string(900, ' '), "5", rubric));
}

TEST(Exact, DoublesAreTheirShortestDecimal) {
  EXPECT_TRUE(Equal(ExactFromDouble(0.01), *ExactFromDigits("1", -2)));
  EXPECT_TRUE(Equal(ExactFromDouble(-2.5), Negate(*ExactFromDigits("25", -1))));
  EXPECT_TRUE(Equal(ExactFromDouble(1e22), *ExactFromDigits("1", 22)));
  EXPECT_TRUE(Equal(ExactFromDouble(0), Exact()));
  EXPECT_FALSE(ExactFromDouble(0.1).IsInteger());
  EXPECT_TRUE(ExactFromDouble(100).IsInteger());
}

}  // namespace
}  // namespace grouper
