// How people and models write one number: decorations, words that lead in, chains of equations,
// units, repeating digits, number words. Each family has texts beside it that only look alike.
#include <gtest/gtest.h>

#include <span>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

struct Pair {
  const char* answer;
  const char* gold;
};

void ExpectAll(std::span<const Pair> pairs, bool equal) {
  for (const Pair& pair : pairs) {
    EXPECT_EQ(SameAnswer(pair.answer, pair.gold), equal) << pair.answer << " | " << pair.gold;
  }
}

TEST(Notation, Decorations) {
  const Pair equal[] = {
      {"*5*", "5"},
      {"***5***", "5"},
      {"__5__", "5"},
      {"_5_", "5"},
      {"```\n5\n```", "5"},
      {"'5'", "5"},
      {"\u201C5\u201D", "5"},
      {"<b>5</b>", "5"},
      {"\\underline{5}", "5"},
      {"\\emph{5}", "5"},
      {"\\boldsymbol{5}", "5"},
      {"\\textcolor{red}{5}", "5"},
      {"{\\color{red}5}", "5"},
      {"\\bf 5", "5"},
      {"{\\bf 5}", "5"},
      {"\\large 5", "5"},
      {"5\\\\", "5"},
      {"5</s>", "5"},
      {"5<|im_end|>", "5"},
      {"5 <|endoftext|>", "5"},
      {"\u200B5", "5"},
      {"5\uFEFF", "5"},
      {"\u20105", "-5"},
      {"B)", "(B)"},
      {"yes!", "yes"},
      {"'Paris'", "Paris"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"*5", "5"},
      {"5*", "5"},
      {"*5* or *6*", "5"},
      {"'5' or '6'", "5"},
      {"<b>5</b>6", "5"},
      {"5<|im_end|>6", "5"},
      {"<|5|>", "5"},
      {"5|>", "5"},
      {"5<6", "5"},
      {"\\color{red}", "5"},
      {"1\u200B2", "12"},
      {"1\uFEFF234", "1234"},
      {"1\u2003234", "1234"},
      {"\\bfx 5", "5"},
      {"Yes, because", "yes"},
      {"5!", "5"},
  };
  ExpectAll(different, false);
}

TEST(Notation, WordsThatLeadIn) {
  const Pair equal[] = {
      {"The answer is 5.", "5"},
      {"the final answer is: $5$", "5"},
      {"So the answer is **5**.", "5"},
      {"Therefore, the correct answer is \\boxed{5}", "5"},
      {"Answer: 5", "5"},
      {"ANSWER = 5", "5"},
      {"**Final Answer:** 5", "5"},
      {"\\text{The answer is }5", "5"},
      {"The value of x is 5", "5"},
      {"The solution is x = 5.", "5"},
      {"It is 5", "5"},
      {"Thus, 5", "5"},
      {"The answer is five apples.", "5"},
      {"The answer is yes.", "yes"},
      {"The correct answer is (B).", "B"},
      {"Total = 5", "5"},
      {"Total cost: $5", "5"},
      {"\\text{Area} = 5\\text{ cm}^2", "5 cm^2"},
      {"Number of eggs = 5", "5"},
      {"AB = 5", "5"},
      {"P(A) = \\frac{1}{2}", "0.5"},
      {"x = \\boxed{5}", "5"},
      {"x = **5**", "5"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"The answer is not 5", "5"},
      {"The answer is", "5"},
      {"The answer is 5 or 6", "5"},
      {"The answer is 5, not 6", "5"},
      {"The answer is at least 5", "5"},
      {"The answer is 6. The answer is 5.", "5"},
      {"The wrong answer is 5", "5"},
      {"The value of 2x is 5", "5"},
      {"x is not 5", "5"},
      {"And 5", "5"},
      {"So not 5", "5"},
      {"not = 5", "5"},
      {"double = 5", "5"},
      {"xy = 5", "5"},
      {"x - y = 5", "5"},
      {"2x = 5", "5"},
      {"x^2 = 5", "5"},
      {"|x| = 5", "5"},
      {"x(2) = 5", "5"},
      {"x != 5", "5"},
      {"x >= 5", "5"},
      {"x = 5, y = 6", "5"},
      {"x = 5 or x = 6", "5"},
      {"Answer: not yes", "yes"},
      {"\\text{not }5", "5"},
      {"x: 5", "5"},
      {"She has 5 apples and 6 pears", "5"},
  };
  ExpectAll(different, false);
}

TEST(Notation, AChainMustBeTrue) {
  const Pair equal[] = {
      {"2 + 3 = 5", "5"},
      {"5 = 2 + 3", "5"},
      {"5 = 5", "5"},
      {"x = 2 + 3 = 5", "5"},
      {"2 + 3 * 4 = 14", "14"},
      {"(2 + 3) \\times 4 = 20", "20"},
      {"100 - 20 - 30 = 50", "50"},
      {"12 / 4 / 3 = 1", "1"},
      {"2^{10} = 1024", "1024"},
      {"8 / 2^2 = 2", "2"},
      {"-3 + 8 = 5", "5"},
      {"9 * $2 = $18", "$18"},
      {"9 eggs * $2/egg = $18", "18"},
      {"$9 \\times \\$2 = \\$18$", "18"},
      {"1,000 + 500 = 1,500", "1500"},
      {"20\\% \\times 50 = 10", "10"},
      {"20% of 50 = 10", "10"},
      {"\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}", "5/6"},
      {"1/2 = 0.5 = 50\\%", "0.5"},
      {"2(3) = 6 apples", "6"},
      {"10/3 = 3.33", "3.33"},
      {"10/3 \\approx 3.33", "10/3"},
      {"x = 10/3 \u2248 3.33", "3.33"},
      {"\\approx 3.33", "3.33"},
      {"5.44 \u2248 5", "5"},
      // Signs, brackets and a fraction bar make no calculation.
      {"(-3)/4", "-0.75"},
      {"-(3/4)", "-0.75"},
      {"3/-4", "-3/4"},
      {"(3)/(4)", "0.75"},
      {"-\\left(\\frac{1}{2}\\right)", "-0.5"},
      {"36 \u00F7 2", "18"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"2 + 3 = 6", "6"},
      {"2 + 3 = 6", "5"},
      {"5 = 6", "5"},
      {"5 = 6", "6"},
      {"2 + 2 = 4 = 5", "4"},
      {"2 + 3 * 4 = 20", "20"},
      {"8 / 2^2 = 16", "16"},
      {"1/0 = 5", "5"},
      {"0/0 = 5", "5"},
      {"10/3 = 3.33", "10/3"},
      {"10/3 \u2248 3.43", "3.43"},
      {"10/3 \u2248 3.43", "10/3"},
      {"6 \u2248 5", "5"},
      {"x = y = 5", "5"},
      {"x + 1 = 5", "5"},
      {"5 =", "5"},
      {"= 5 =", "5"},
      {"1/2 = 50", "0.5"},
      {"(2, 3) = 5", "5"},
      {"2 * (3 = 6", "6"},
      {"2 + 3", "5"},
      {"2 * 3", "6"},
      {"(5)(6)", "30"},
      {"2(5)", "10"},
      {"1/2/3", "1/6"},
      {"(1 + 1)/2", "1"},
      {"--5", "5"},
      {"((1,234))", "1234"},
      {"9^99^99 = 5", "5"},
  };
  ExpectAll(different, false);
}

TEST(Notation, Units) {
  const Pair equal[] = {
      {"5 \\frac{m}{s}", "5 m/s"},
      {"5 \\frac{\\text{m}}{\\text{s}}", "5 meters per second"},
      {"5 m s^{-1}", "5 m/s"},
      {"5 m\u00B7s\u207B\u00B9", "5 m/s"},
      {"5 kg m^{-3}", "5 kg/m^3"},
      {"5 s^{-1}", "5 per second"},
      {"5 (eggs)", "5 eggs"},
      {"5 {\\rm cm}", "5 cm"},
      {"5~{\\text{cm}}", "5 cm"},
      {"5\\hspace{1mm}\\text{cm}", "5 cm"},
      {"5{}^\\circ", "5 degrees"},
      {"5 \u2103", "5\u00B0C"},
      {"5 \u03A9", "5 \\Omega"},
      {"5 k\\Omega", "5 k\u03A9"},
      {"5 \u00B5m", "5 \u03BCm"},
      {"5 p.m.", "5 pm"},
      {"3/4 of a cup", "3/4 cup"},
      {"75% of the total", "75%"},
      {"75 percent of students", "0.75"},
      {"R$5", "R$ 5"},
      {"US $5", "$5"},
      {"\u20A95", "5 won"},
      {"5 times", "5"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"5 \\frac{m}{s}", "5 km/h"},
      {"5 \\frac{a}{b}", "5"},
      {"5 m s^{-1}", "5 m s"},
      {"5 x^{-1}", "5"},
      {"5 (x)", "5"},
      {"5 (or 6)", "5"},
      {"5 (6)", "5"},
      {"5 (incorrect)", "5"},
      {"5 ()", "5"},
      {"5 (eggs", "5"},
      {"5 eggs)", "5"},
      {"5{xy}", "5"},
      {"5 of", "5"},
      {"5 of 6", "5"},
      {"5 of x", "5"},
      {"75% of 80", "75%"},
      {"75% of 80", "60"},
      {"75% off", "75%"},
      {"R$5", "$5"},
      {"5 mW", "5 MW"},
      {"5 mA", "5 A"},
      {"5 Jan", "5"},
      {"5 \u2103", "5 \u2109"},
      {"5 am", "5 p.m."},
  };
  ExpectAll(different, false);
}

TEST(Notation, RepeatingDigitsAndFractions) {
  const Pair equal[] = {
      {"0.\\bar{3}", "1/3"},
      {"0.\\dot{3}", "1/3"},
      {"0.(3)", "1/3"},
      {"0.1(6)", "1/6"},
      {"3.(6)", "11/3"},
      {"0.3\u0305", "1/3"},
      {"0.333...", "1/3"},
      {"0.1666\\ldots", "1/6"},
      {"0.142857142857\u2026", "1/7"},
      {"0.2727...", "3/11"},
      {"0.999...", "1"},
      {"3.14159...", "3.14"},
      {"3 \\over 4", "3/4"},
      {"\\nicefrac{3}{4}", "0.75"},
      {"1\\times{10}^{2}", "100"},
      {"1*10**2", "100"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"0.33...", "1/3"}, {"0.333", "1/3"},    {"0.333...4", "1/3"},  {"18...", "18"},
      {"5....", "5"},     {"0.(3)6", "1/3"},   {"3(6)", "18"},        {"3.14159...", "22/7"},
      {"5\u20266", "5"},  {"1 \\over 0", "0"}, {"10^{10^{10}}", "5"},
  };
  ExpectAll(different, false);
}

TEST(Notation, NumberWords) {
  const Pair equal[] = {
      {"five", "5"},
      {"Five apples", "5"},
      {"zero", "0"},
      {"twenty-one", "21"},
      {"twenty one", "21"},
      {"one hundred and five", "105"},
      {"two thousand", "2000"},
      {"five thousand and six", "5006"},
      {"two hundred thousand", "200000"},
      {"twenty-one hundred", "2100"},
      {"one million two hundred thousand and three", "1200003"},
      {"five million", "5,000,000"},
      {"ten percent", "10%"},
      {"5", "Five"},
  };
  ExpectAll(equal, true);
  const Pair different[] = {
      {"five", "6"},           {"five or six", "5"},
      {"five and six", "5"},   {"one two three", "1"},
      {"fifty ten", "60"},     {"one half", "1"},
      {"one-half", "1"},       {"two thirds", "2"},
      {"one point five", "1"}, {"minus five", "5"},
      {"not five", "5"},       {"no one", "1"},
      {"one of five", "1"},    {"one hundred and", "100"},
      {"one and a half", "1"}, {"two million million", "2"},
  };
  ExpectAll(different, false);
}

}  // namespace
}  // namespace grouper
