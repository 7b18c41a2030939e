// Equality of answers and golds: own cases, in both directions where the rule is symmetric.
#include "reward/math/equivalence.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

struct Pair {
  const char* a;
  const char* b;
};

// Equal either way round.
const Pair kEqual[] = {
    {"18", "18"},
    {" 18 ", "18"},
    {"+18", "18"},
    {"018", "18"},
    {"18.", "18"},
    {"18.0", "18"},
    {"18.00", "18.0"},
    {"-7", "-7"},
    {"- 7", "-7"},
    {"\u22127", "-7"},
    {"\u20137", "-7"},
    {"0", "-0"},
    {"0.0", "0"},
    {".5", "0.5"},
    {"-.5", "-0.50"},
    {"1/2", "0.5"},
    {"1/2", "2/4"},
    {"4/2", "2"},
    {"-1/2", "-0.5"},
    {"1 / 2", "1/2"},
    {"1\u20442", "1/2"},
    {"\\frac{1}{2}", "1/2"},
    {"\\dfrac{1}{2}", "\\frac12"},
    {"\\tfrac12", "\\cfrac{1}{2}"},
    {"\\frac{1}2", "\\frac1{2}"},
    {"\\frac 1 2", "0.5"},
    {"\\frac{-1}{2}", "-\\frac{1}{2}"},
    {"\\frac{1}{-2}", "-0.5"},
    {"\\frac{\\frac{1}{2}}{3}", "1/6"},
    {"\\frac{1,000}{3}", "1000/3"},
    {"\\frac{2.5}{5}", "0.5"},
    {"2\\frac{2}{5}", "12/5"},
    {"2 2/5", "2.4"},
    {"2 \\frac25", "2.4"},
    {"-2\\frac{1}{2}", "-2.5"},
    {"2\u00BD", "2.5"},
    {"\u00BE", "0.75"},
    {"1,000 1/2", "1000.5"},
    {"0.\\overline{3}", "1/3"},
    {"0.1\\overline{6}", "1/6"},
    {"0.\\overline{142857}", "1/7"},
    {"0.\\overline{9}", "1"},
    {"1,234", "1234"},
    {"1,234,567", "1234567"},
    {"1{,}234", "1234"},
    {"1,\\!234,\\!567", "1234567"},
    {"1 234 567", "1234567"},
    {"1\\,234", "1234"},
    {"1\u202F234", "1234"},
    {"1\u00A0234\u00A0567", "1234567"},
    {"12,345.67", "12345.67"},
    {"-1,234", "-1234"},
    {"$18", "18"},
    {"\\$18", "18"},
    {"$ 18", "18"},
    {"-$18", "-18"},
    {"$-18", "-18"},
    {"$18$", "18"},
    {"$\\$18$", "$18"},
    {"\u20AC18", "18"},
    {"\u00A318", "18"},
    {"\u00A518", "18"},
    {"18\u20AC", "\u20AC18"},
    {"US$18", "$18"},
    {"USD 18", "$18"},
    {"18 USD", "18 dollars"},
    {"$18", "18 dollars"},
    {"$18", "18 dollar"},
    {"$5 dollars", "5"},
    {"$1,234.50", "1234.5"},
    {"Rs. 500", "500"},
    {"18 cents", "18\u00A2"},
    {"18 apples", "18"},
    {"18 apples", "18 apple"},
    {"18 Apples", "18 apples"},
    {"1 apple per day", "1 apples/day"},
    {"60 miles per hour", "60 mph"},
    {"60 km/h", "60 kilometers per hour"},
    {"60\\text{ km/h}", "60 kmh"},
    {"18\\text{ cm}", "18 cm"},
    {"18 \\mathrm{cm}", "18 centimeters"},
    {"18\\,\\mathrm{m}", "18 meters"},
    {"18\\text{ cm}^2", "18 cm^2"},
    {"18 cm\u00B2", "18 square cm"},
    {"18\\text{ cm}^{2}", "18 sq. cm"},
    {"18 cubic feet", "18 ft^3"},
    {"18 square meters", "18 m^2"},
    {"18 meters squared", "18 m^2"},
    {"18kg", "18"},
    {"18 hrs", "18 hours"},
    {"18 min", "18 minutes"},
    {"18 lbs.", "18 pounds"},
    {"5 feet", "5 ft"},
    {"45^\\circ", "45"},
    {"45^{\\circ}", "45 degrees"},
    {"45\u00B0", "45\\degree"},
    {"3 more apples", "3"},
    {"12 people in all", "12"},
    {"7 kilowatt-hours", "7"},
    {"\u4E94", "\u4E94"},
    {"5\u4E2A", "5"},
    {"5 \u5143", "5"},
    {"50%", "50\\%"},
    {"50 %", "50 percent"},
    {"50\\,\\%", "50 per cent"},
    {"50\\text{ percent}", "50\\text{%}"},
    {"50%", "0.5"},
    {"50%", "1/2"},
    {"12.5%", "0.125"},
    {"1.5e3", "1500"},
    {"1.5E+3", "1500"},
    {"15e-1", "1.5"},
    {"1.5 \\times 10^3", "1500"},
    {"1.5 \\times 10^{3}", "1,500"},
    {"1.5\\cdot10^{3}", "1500"},
    {"1.5 x 10^3", "1500"},
    {"1.5*10^3", "1500"},
    {"1.5\u00D710\u00B3", "1500"},
    {"2 \\times 10^{-3}", "0.002"},
    {"2\u00D710\u207B\u00B3", "0.002"},
    {"10^{6}", "1,000,000"},
    {"10^6", "1000000"},
    {"10\u2076", "1e6"},
    {"-10^3", "-1000"},
    {"1e300000", "1e300000"},
    {"1e-300000", "10e-300001"},
    {"5 million", "5,000,000"},
    {"$2.5 million", "2500000"},
    {"3 hundred thousand", "300000"},
    {"\\(18\\)", "18"},
    {"\\[18\\]", "18"},
    {"$$18$$", "18"},
    {"$18$.", "18"},
    {"$18$ apples", "18 apples"},
    {"\\(18\\) apples", "18"},
    {"**18**", "18"},
    {"**$18**", "18"},
    {"`18`", "18"},
    {"\\boxed{18}", "18"},
    {"$\\boxed{18}$", "18"},
    {"\\boxed{\\text{18}}", "18"},
    {"{18}", "18"},
    {"(18)", "18"},
    {"\\left(18\\right)", "18"},
    {"\\text{18 apples}", "18"},
    {"\\displaystyle \\frac{1}{2}", "1/2"},
    {"x = 18", "18"},
    {"x=18", "18"},
    {"$x = 18$", "18"},
    {"x_1 = 18", "18"},
    {"x_{12} = 18", "18"},
    {"\\theta = 18", "18"},
    {"x = 18", "x=18"},
    {"= 18", "18"},
    {"123456789012345678901234567890", "123,456,789,012,345,678,901,234,567,890"},
    {"yes", "Yes"},
    {" Yes. ", "yes"},
    {"\\text{yes}", "yes"},
    {"**Tuesday**", "tuesday"},
    {"(B)", "B"},
    {"B.", "(b)"},
    {"no  solution", "No solution"},
    {"\"Paris\"", "Paris"},
};

// Different either way round, and each side is a gold that can be judged.
const Pair kDifferent[] = {
    {"18", "19"},
    {"18", "-18"},
    {"18", "1.8"},
    {"18", "180"},
    {"18.5", "18"},
    {"1/3", "0"},
    {"1/2", "2"},
    {"1/3", "1/4"},
    {"2 2/5", "22/5"},
    {"2\\frac{2}{5}", "4/5"},
    {"1,234", "1.234"},
    {"1234567", "1234568"},
    {"1e300000", "1e300001"},
    {"1e300000", "1"},
    {"123456789012345678901234567890", "123456789012345678901234567891"},
    {"$5", "\u20AC5"},
    {"5 dollars", "5 cents"},
    {"5 apples", "5 pears"},
    {"5 km", "5 m"},
    {"5 cm^2", "5 cm"},
    {"5 miles", "5 miles per hour"},
    {"50%", "50"},
    {"50%", "5"},
    {"0.5", "0.5%"},
    {"5 million", "5"},
    {"5 thousand", "5"},
    {"x = 5", "y = 5"},
    {"10^3", "30"},
    {"10^3", "103"},
    {"5", "yes"},
    {"no", "yes"},
    {"A", "B"},
    {"yes or no", "yes"},
    {"-0.5", "0.5"},
};

// Never equal to the gold beside it, which is a number.
const Pair kRefused[] = {
    {"5 or 6", "5"},
    {"5 or 6", "6"},
    {"5 and 6", "5"},
    {"5 or six", "5"},
    {"5, 6", "5"},
    {"5,6", "56"},
    {"5; 6", "5"},
    {"5 to 6", "5"},
    {"5-6", "5"},
    {"\\pm 5", "5"},
    {"\u00B15", "5"},
    {"5 \\pm 1", "5"},
    {"", "5"},
    {"$$", "5"},
    {"\\boxed{}", "5"},
    {"1,23", "123"},
    {"12,34", "1234"},
    {"1234,567", "1234567"},
    {"1,2345", "12345"},
    {"0,123", "123"},
    {"1,234,56", "123456"},
    {"1,234 567", "1234567"},
    {"1 23", "123"},
    {"12 34", "1234"},
    {"1.234.567", "1234567"},
    {"1.5.2", "1.5"},
    {"1..5", "1.5"},
    {"5..", "5"},
    {"--5", "5"},
    {"+-5", "5"},
    {"5-", "5"},
    {"5x", "5"},
    {"5 x", "5"},
    {"5n", "5"},
    {"5xy", "5"},
    {"5ab", "5"},
    {"5i", "5"},
    {"5\\pi", "5"},
    {"5\u03C0", "5"},
    {"5 pi", "5"},
    {"5x^2", "5"},
    {"5^2", "5"},
    {"5^2", "25"},
    {"2^3", "8"},
    {"5!", "5"},
    {"5!", "120"},
    {"\\sqrt{25}", "5"},
    {"2+3", "5"},
    {"2*3", "6"},
    {"2 x 3", "6"},
    {"10/2/1", "5"},
    {"1/0", "0"},
    {"0/0", "0"},
    {"\\frac{1}{0}", "0"},
    {"\\frac{5}{1}2", "5"},
    {"\\frac123", "0.5"},
    {"\\frac{5}", "5"},
    {"2\\frac{5}{2}", "4.5"},
    {"2\\frac{5}{2}", "5"},
    {"2 125/1000", "2.125"},
    {"5 half", "5"},
    {"5 halves", "5"},
    {"5 hundredths", "5"},
    {"5 quarters", "5"},
    {"5k", "5"},
    {"5 squared", "5"},
    {"5 factorial", "5"},
    {"minus 5", "5"},
    {"negative 5", "5"},
    {"not 5", "5"},
    {"about 5", "5"},
    {"at least 5", "5"},
    {"x > 5", "5"},
    {"x \\ge 5", "5"},
    {"x \\neq 5", "5"},
    {"x = 5 = y", "5"},
    {"2 + 3 = 5", "5"},
    {"xy = 5", "5"},
    {"x = y = 5", "5"},
    {"(1,234)", "1234"},
    {"(5, 6)", "5"},
    {"[5]", "5"},
    {"\\{5\\}", "5"},
    {"[5, 6)", "5"},
    {"|5|", "5"},
    {"5:30", "5"},
    {"5%%", "0.0005"},
    {"5% or 6", "5"},
    {"$5$6", "56"},
    {"$5$600", "5600"},
    {"5\n6", "5"},
    {"5\n600", "5600"},
    {"5\nor not", "5"},
    {"5 % 3", "2"},
    {"5 mod 3", "2"},
    {"5 choose 2", "10"},
    {"nan", "0"},
    {"NaN", "5"},
    {"inf", "5"},
    {"\\infty", "5"},
    {"five", "4"},
    {"The answer is 5", "5"},
    {"answer: 5", "5"},
    {"0x10", "16"},
    {"1_000", "1000"},
    {"5e", "5"},
    {"e5", "5"},
    {"5e1.5", "5"},
    {"1.5 \\times 10", "15"},
    {"3 \\times 5", "15"},
    {"\\frac{1}{2}\\frac{1}{2}", "0.25"},
    {"5 \\text{ or } 6", "5"},
    {"5 \\text{ (or 6)}", "5"},
    {"5 % a comment", "5"},
    {"\uFF15", "5"},
    {"\u0665", "5"},
    {"5\u0661", "51"},
    {"5 \u4E07", "5"},
    {"\xFF\xFE", "5"},
    {"5\xFF", "5"},
    {"5 apples 6", "5"},
    {"5 apples or 6 pears", "5"},
    {"5 apples; 6 pears", "5"},
    {"undefined", "5"},
};

TEST(Equivalence, EqualBothWays) {
  for (const Pair& pair : kEqual) {
    EXPECT_TRUE(SameAnswer(pair.a, pair.b)) << pair.a << " | " << pair.b;
    EXPECT_TRUE(SameAnswer(pair.b, pair.a)) << pair.b << " | " << pair.a;
  }
}

TEST(Equivalence, DifferentBothWays) {
  for (const Pair& pair : kDifferent) {
    EXPECT_FALSE(SameAnswer(pair.a, pair.b)) << pair.a << " | " << pair.b;
    EXPECT_FALSE(SameAnswer(pair.b, pair.a)) << pair.b << " | " << pair.a;
  }
}

TEST(Equivalence, RefusedAnswersEqualNothing) {
  for (const Pair& pair : kRefused) {
    EXPECT_FALSE(SameAnswer(pair.a, pair.b)) << pair.a << " | " << pair.b;
  }
}

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
