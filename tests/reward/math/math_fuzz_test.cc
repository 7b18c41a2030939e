// Random bytes and mutated answers through the whole of math grading: spans stay inside the
// completion, a gold equals itself, equality does not depend on the side, nothing else is promised.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "reward/answer/answer_span.h"
#include "reward/math/math_grader.h"
#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

constexpr uint64_t kSeed = 20260501;

const char* const kPieces[] = {"\\boxed{",    "\\fbox{",
                               "}",           "{",
                               "<answer>",    "</answer>",
                               "<think>",     "</think>",
                               "#### ",       "Answer: ",
                               "\n",          " ",
                               "5",           "18",
                               "0",           "1,234",
                               "-",           "+",
                               "\u2212",      ".",
                               ",",           "/",
                               "*",           "^",
                               "=",           "\\approx",
                               "(",           ")",
                               "\\frac",      "\\text{",
                               "\\left(",     "\\right)",
                               "\\%",         "%",
                               "$",           "\\$",
                               "\u20AC",      "e",
                               "10",          "\\times",
                               "x",           "cm",
                               "apples",      "per",
                               "or",          "five",
                               "hundred",     "million",
                               "\\overline{", "...",
                               "\u00BD",      "\u00B2",
                               "\u00B0",      "**",
                               "*",           "_",
                               "`",           "'",
                               "\"",          "\\",
                               "\\\\",        "the answer is ",
                               "of",          "<|im_end|>",
                               "\xFF",        "\xC3",
                               "\xE2\x88",    "\\pm",
                               ";",           ":",
                               "\\color{",    "yes"};

const char* const kAnswers[] = {"18",
                                "-7",
                                "3.14",
                                "1/2",
                                "\\frac{3}{4}",
                                "2\\frac{2}{5}",
                                "1,234,567",
                                "50\\%",
                                "$18.50",
                                "18 cm^2",
                                "60 km/h",
                                "1.5 \\times 10^{3}",
                                "0.\\overline{3}",
                                "x = 5",
                                "2 + 3 = 5",
                                "yes",
                                "(B)",
                                "twenty-one",
                                "5 \\frac{m}{s}",
                                "10/3 \\approx 3.33",
                                "\\boxed{5}",
                                "The answer is 5."};

class Source {
 public:
  explicit Source(uint64_t seed) : random_(seed) {}

  size_t Below(size_t n) { return static_cast<size_t>(random_() % n); }

  std::string Pieces() {
    std::string text;
    for (size_t n = Below(24); n > 0; --n) text += kPieces[Below(std::size(kPieces))];
    return text;
  }

  std::string Bytes() {
    std::string text(Below(64), ' ');
    for (char& c : text) c = static_cast<char>(Below(256));
    return text;
  }

  std::string Mutated() {
    std::string text = kAnswers[Below(std::size(kAnswers))];
    for (size_t n = Below(3); n > 0; --n) {
      const size_t at = Below(text.size() + 1);
      const size_t kind = Below(3);
      if (kind == 0) text.insert(at, kPieces[Below(std::size(kPieces))]);
      if (kind == 1 && at < text.size()) text.erase(at, 1 + Below(3));
      if (kind == 2 && at < text.size()) text[at] = static_cast<char>(Below(256));
    }
    return text;
  }

  std::string Any() {
    const size_t kind = Below(4);
    return kind == 0 ? Bytes() : kind == 1 ? Pieces() : Mutated();
  }

  Rubric AnyRubric() {
    Rubric rubric;
    rubric.set_extraction(static_cast<Rubric::Extraction>(Below(5)));
    rubric.set_think_required(Below(8) == 0);
    rubric.set_units(static_cast<Rubric::Units>(Below(4)));
    rubric.set_percent_as_number(Below(2) == 0);
    rubric.set_decimal_comma(Below(4) == 0);
    return rubric;
  }

 private:
  std::mt19937_64 random_;
};

TEST(MathFuzz, SpansLieInTheCompletion) {
  Source source(kSeed);
  for (int i = 0; i < 40000; ++i) {
    const std::string completion = source.Below(8) == 0 ? source.Bytes() : source.Pieces();
    const Rubric rubric = source.AnyRubric();
    const AnswerSpan span = FindAnswer(completion, source.Below(4) == 0 ? "<think>" : "", rubric);
    ASSERT_EQ(span.found, span.reason.empty());
    if (!span.found) continue;
    ASSERT_LT(span.begin, span.end) << completion;
    ASSERT_LE(span.end, completion.size()) << completion;
    for (const std::string_view other : span.other_boxes) {
      ASSERT_GE(other.data(), completion.data());
      ASSERT_LE(other.data() + other.size(), completion.data() + completion.size());
    }
  }
}

TEST(MathFuzz, AGoldEqualsItself) {
  Source source(kSeed + 1);
  int judged = 0;
  for (int i = 0; i < 40000; ++i) {
    const std::string text = source.Any();
    Rubric rubric = source.AnyRubric();
    // Under UNITS_NONE a gold with a unit is for answers without.
    if (rubric.units() == Rubric::UNITS_NONE) rubric.set_units(Rubric::UNITS_REQUIRED);
    const Gold gold = ReadGold(text, rubric);
    if (gold.kind != Gold::Kind::kNumber && gold.kind != Gold::Kind::kWords) continue;
    ++judged;
    ASSERT_EQ(Compare(text, gold, rubric).kind, Equivalence::Kind::kEqual) << text;
    ASSERT_TRUE(Agree(text, text, rubric)) << text;
  }
  EXPECT_GT(judged, 5000);
}

TEST(MathFuzz, EqualityIsSymmetricAndOfValues) {
  Source source(kSeed + 2);
  int equal = 0;
  for (int i = 0; i < 40000; ++i) {
    const std::string a = source.Mutated();
    const std::string b = source.Mutated();
    Rubric rubric = source.AnyRubric();
    rubric.mutable_tolerance()->set_exact(true);
    if (rubric.units() == Rubric::UNITS_NONE) rubric.clear_units();
    const Gold gold_a = ReadGold(a, rubric);
    const Gold gold_b = ReadGold(b, rubric);
    if (gold_a.kind != Gold::Kind::kNumber || gold_b.kind != Gold::Kind::kNumber) continue;
    // A rounded value beside the exact one belongs to the answer alone.
    if (!gold_a.number.rounded.empty() || !gold_b.number.rounded.empty()) continue;
    const bool same = Compare(a, gold_b, rubric).kind == Equivalence::Kind::kEqual;
    ASSERT_EQ(Compare(b, gold_a, rubric).kind == Equivalence::Kind::kEqual, same)
        << a << " | " << b;
    ASSERT_EQ(Agree(a, b, rubric), Agree(b, a, rubric)) << a << " | " << b;
    equal += same ? 1 : 0;
    if (same && !rubric.percent_as_number()) {
      ASSERT_TRUE(Equal(PlainValue(gold_a.number), PlainValue(gold_b.number))) << a << " | " << b;
    }
  }
  EXPECT_GT(equal, 500);
}

TEST(MathFuzz, RandomRationalsByTheirOwnArithmetic) {
  Source source(kSeed + 3);
  const Rubric rubric;
  for (int i = 0; i < 5000; ++i) {
    const auto a = static_cast<int64_t>(source.Below(2000)) - 1000;
    const auto b = static_cast<int64_t>(source.Below(999)) + 1;
    const auto c = static_cast<int64_t>(source.Below(2000)) - 1000;
    const auto d = static_cast<int64_t>(source.Below(999)) + 1;
    const std::string left = std::to_string(a) + "/" + std::to_string(b);
    const std::string right = "\\frac{" + std::to_string(c) + "}{" + std::to_string(d) + "}";
    const bool equal = a * d == c * b;
    EXPECT_EQ(SameAnswer(left, right), equal) << left << " " << right;
    const std::string scaled = std::to_string(a * d) + "/" + std::to_string(b * d);
    EXPECT_TRUE(SameAnswer(scaled, left)) << scaled << " " << left;
    const std::string sum = std::to_string(a * d + c * b) + "/" + std::to_string(b * d);
    EXPECT_TRUE(SameAnswer(left + " + " + right + " = " + sum, sum)) << left << " + " << right;
    EXPECT_FALSE(SameAnswer(left + " + " + right + " = 2000", "2000")) << left << " + " << right;
  }
}

TEST(MathFuzz, EveryItemIsScoredWhereTheGoldIsSound) {
  Source source(kSeed + 4);
  const MathGrader grader;
  for (int i = 0; i < 20000; ++i) {
    reward::v1::ScoreItem item;
    item.set_completion(source.Below(4) == 0 ? source.Bytes() : source.Pieces());
    item.mutable_math()->add_golds("18");
    const Judgement j = grader.Grade(item, source.AnyRubric(), GradeBudget());
    ASSERT_EQ(j.status, reward::v1::ScoreResult::SCORED) << item.completion();
    ASSERT_FALSE(j.reason.empty()) << item.completion();
  }
}

}  // namespace
}  // namespace grouper
