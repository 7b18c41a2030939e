// Components, gates, clamps and weights by their formulas (docs/algorithms.md 2), which rubrics are
// refused, and that no failure carries a reward.
#include "reward/scorer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/error.h"
#include "proto/check/rubric_check.h"
#include "reward/components/components.h"
#include "reward/math/math_grader.h"
#include "tests/testing/fake_grader.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;
using reward::v1::ScoreItem;
using testing::ByText;
using testing::CodeItem;
using testing::Failed;
using testing::FakeGrader;
using testing::Judged;
using testing::MathItem;
using testing::RubricFrom;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const char kGood[] = "<think>t</think>x";

Result Score(const ScoreItem& item, const std::string& rubric,
             const FakeGrader::Function& grader = ByText) {
  const FakeGrader fake(grader);
  return Scorer(&fake, &fake).Score(item, RubricFrom(rubric), {});
}

double RewardOf(const std::string& completion, const std::string& rubric) {
  const Result r = Score(MathItem("i", completion), rubric);
  EXPECT_EQ(r.status(), Result::SCORED) << rubric;
  EXPECT_TRUE(r.has_reward()) << rubric;
  return r.reward();
}

TEST(Components, AccuracyHasTheRubricsValues) {
  EXPECT_EQ(RewardOf("right", "component { name: \"accuracy\" }"), 1);
  EXPECT_EQ(RewardOf("no", "component { name: \"accuracy\" }"), 0);
  const std::string dapo = "component { name: \"accuracy\" right: 1.5 wrong: -1 }";
  EXPECT_EQ(RewardOf("right", dapo), 1.5);
  EXPECT_EQ(RewardOf("no", dapo), -1);
}

struct FormatCase {
  const char* completion;
  const char* prefill;
  double boxed;
  double tag;
};

TEST(Components, FormatIsThinkThenAnswerAndNothingElse) {
  Rubric tag;
  tag.set_extraction(Rubric::ANSWER_TAG);
  for (const FormatCase& c : std::vector<FormatCase>{
           {"<think>a</think>b", "", 1, 0},
           {" \n<think>a</think>b", "", 1, 0},
           {"<think></think>b", "", 1, 0},
           {"<think>a</think> \n", "", 0, 0},
           {"<think>a</think>", "", 0, 0},
           {"<think>a", "", 0, 0},
           {"a</think>b", "", 0, 0},
           {"x<think>a</think>b", "", 0, 0},
           {"<think>a<think>b</think>c", "", 0, 0},
           {"<think>a</think>b</think>c", "", 0, 0},
           {"</think><think>b", "", 0, 0},
           {"b", "", 0, 0},
           {"", "", 0, 0},
           {"a</think>b", "<think>\n", 1, 0},
           {"</think>b", "Q <think>", 1, 0},
           {"<think>a</think>b", "<think>\n", 0, 0},
           {"a</think>b", "<think></think>", 0, 0},
           {"<think>a</think>b", "<think></think>", 1, 0},
           {"<think>a</think>b", "<think><think>", 1, 0},
           {"<think>a</think><answer>b</answer>", "", 0, 1},
           {"<think>a</think>\n <answer> b </answer> \n", "", 0, 1},
           {"a</think><answer>b</answer>", "<think>", 0, 1},
           {"<think>a</think><answer> </answer>", "", 0, 0},
           {"<think>a</think><answer>b</answer>c", "", 0, 0},
           {"<think>a</think>c<answer>b</answer>", "", 0, 0},
           {"<think>a</think><answer>b", "", 0, 0},
           {"<think>a</think></answer>b<answer>", "", 0, 0},
           {"<think>a</think><answer>b</answer><answer>c</answer>", "", 0, 0},
           {"<think><answer>a</answer></think>b", "", 0, 0},
           {"<think><answer>a</think>b</answer>", "", 0, 0},
           {"<think>a</think><answer>\xff</answer>", "", 0, 1},
       }) {
    EXPECT_EQ(FormatValue(c.completion, c.prefill, false, {}), c.boxed)
        << c.prefill << "|" << c.completion;
    EXPECT_EQ(FormatValue(c.completion, c.prefill, false, tag), c.tag)
        << c.prefill << "|" << c.completion;
    EXPECT_EQ(FormatValue(c.completion, c.prefill, true, tag), 0);
  }
}

// DAPO eq. 13 at both ends of the ramp.
TEST(Components, OverlongFallsOverItsRamp) {
  for (const auto& [tokens, value] : std::vector<std::pair<int64_t, double>>{
           {0, 0}, {79, 0}, {80, 0}, {81, -0.05}, {90, -0.5}, {99, -0.95}, {100, -1}, {101, -1}}) {
    EXPECT_DOUBLE_EQ(OverlongValue(tokens, 100, 20), value) << tokens;
  }
  EXPECT_EQ(OverlongValue(0, 10, 10), 0);
  EXPECT_EQ(OverlongValue(5, 10, 10), -0.5);
  ScoreItem item = MathItem("i", "right");
  item.set_completion_tokens(90);
  EXPECT_EQ(Score(item,
                  "component { name: \"accuracy\" } component { name: \"overlong\" "
                  "max_tokens: 100 ramp_tokens: 20 weight: 0.5 }")
                .reward(),
            0.75);
}

TEST(Components, RepetitionIsTheShareOfRepeatedNgrams) {
  EXPECT_EQ(RepetitionValue("", 1), 0);
  EXPECT_EQ(RepetitionValue("a b c", 4), 0);
  EXPECT_EQ(RepetitionValue("a b c", 3), 0);
  EXPECT_EQ(RepetitionValue("a b c", 1), 0);
  EXPECT_EQ(RepetitionValue("a a a a", 1), -0.75);
  EXPECT_DOUBLE_EQ(RepetitionValue("a a a a", 2), -(1 - 1.0 / 3));
  EXPECT_DOUBLE_EQ(RepetitionValue("a b a b a", 2), -0.5);
  EXPECT_EQ(RepetitionValue(" a\tb\na\r\nb ", 2), -(1 - 2.0 / 3));
  EXPECT_EQ(RepetitionValue("ab a b", 2), 0);     // words, not letters
  EXPECT_EQ(RepetitionValue("a bb aa b", 2), 0);  // "a bb" is not "aa b"
  // A megabyte of one-letter words and the longest n-grams that a rubric may ask for.
  std::string long_text;
  for (int i = 0; i < (1 << 19); ++i) long_text += "a ";
  EXPECT_LT(RepetitionValue(long_text, 100), -0.99);
}

TEST(Components, LengthIsOverTheGroup) {
  EXPECT_TRUE(LengthValues({}, {}).empty());
  const std::vector<int64_t> tokens = {100, 150, 200, 200};
  const std::vector<char> right = {1, 1, 1, 0};
  EXPECT_EQ(LengthValues(tokens, right), (std::vector<double>{0.5, 0, -0.5, -0.5}));
  const std::vector<char> wrong = {0, 0, 0, 0};
  EXPECT_EQ(LengthValues(tokens, wrong), (std::vector<double>{0, 0, -0.5, -0.5}));
  EXPECT_EQ(LengthValues(std::vector<int64_t>{7, 7}, std::vector<char>{1, 0}),
            (std::vector<double>{0, 0}));
}

TEST(Length, CountsOnlyWhatWasScored) {
  const Rubric rubric =
      RubricFrom("component { name: \"accuracy\" } component { name: \"length\" weight: 2 }");
  std::vector<ScoreItem> items(4, MathItem("i", ""));
  std::vector<Result> results(4);
  std::vector<GroupMember> group;
  for (size_t i = 0; i < 4; ++i) {
    items[i].set_completion_tokens(static_cast<uint32_t>(100 + 50 * i));
    results[i].set_status(Result::SCORED);
    results[i].set_verdict(i == 1 ? Result::WRONG : Result::CORRECT);
    group.push_back({&items[i], &rubric, &results[i]});
  }
  results[3].set_status(Result::TIMEOUT);  // the longest has left the group
  results[3].set_verdict(Result::VERDICT_UNSPECIFIED);
  AddLength(group);
  EXPECT_EQ(results[0].reward(), 1 + 2 * 0.5);
  EXPECT_EQ(results[1].reward(), 0);
  EXPECT_EQ(results[2].reward(), 1 + 2 * -0.5);
  EXPECT_EQ(results[2].components().at("length"), -0.5);
  EXPECT_FALSE(results[3].has_reward());
  EXPECT_EQ(results[3].components_size(), 0);
  const Rubric plain = RubricFrom("component { name: \"accuracy\" }");
  Result untouched = results[0];
  AddLength(std::vector<GroupMember>{{&items[0], &plain, &untouched}});
  EXPECT_EQ(untouched.reward(), results[0].reward());
}

TEST(Reward, IsTheClampedSumOfWeightedClampedValues) {
  const std::string both = "component { name: \"accuracy\" weight: 2 } ";
  for (const auto& [rubric, reward] : std::vector<std::pair<std::string, double>>{
           {both + "component { name: \"format\" weight: 0.25 }", 0.25},
           {both + "component { name: \"format\" weight: -3 }", -3},
           {both + "component { name: \"format\" weight: 0 }", 0},
           {both + "component { name: \"format\" clamp { high: 0.5 } }", 0.5},
           {both + "component { name: \"format\" clamp { low: 2 } }", 2},
           {both + "component { name: \"format\" weight: 9 } clamp { high: 4 }", 4},
           {both + "component { name: \"format\" weight: -9 } clamp { low: -4 high: 4 }", -4},
           // Gates: the other component's value, behind its own gate and clamp, must be above 0.
           {"component { name: \"accuracy\" wrong: 5 gate: \"format\" } component { name: "
            "\"format\" }",
            6},
           {"component { name: \"format\" gate: \"accuracy\" } component { name: \"accuracy\" }",
            0},
           {"component { name: \"format\" gate: \"accuracy\" } component { name: \"accuracy\" "
            "wrong: 2 clamp { high: 0 } }",
            0},
           {"component { name: \"overlong\" max_tokens: 9 ramp_tokens: 1 } "
            "component { name: \"accuracy\" wrong: 4 gate: \"overlong\" } "
            "component { name: \"format\" gate: \"accuracy\" }",
            0},
           // A closed gate is 0, whatever the clamp.
           {"component { name: \"format\" gate: \"accuracy\" clamp { low: 3 } } component { name: "
            "\"accuracy\" }",
            0},
       }) {
    EXPECT_NO_THROW(CheckRubric(RubricFrom(rubric))) << rubric;
    EXPECT_DOUBLE_EQ(RewardOf(kGood, rubric), reward) << rubric;
  }
  const Result r = Score(MathItem("i", kGood), both + "component { name: \"format\" }");
  EXPECT_EQ(r.components().at("accuracy"), 0);
  EXPECT_EQ(r.components().at("format"), 1);
}

TEST(Reward, ThatIsNotFiniteIsInternal) {
  for (const char* rubric :
       {"component { name: \"accuracy\" wrong: 1e308 weight: 1e308 }",
        "component { name: \"accuracy\" wrong: 1e308 weight: 1e308 } clamp { low: -1 high: 1 }",
        "component { name: \"accuracy\" wrong: nan }",
        "component { name: \"accuracy\" wrong: inf clamp { high: 1 } }",
        "component { name: \"accuracy\" weight: nan }",
        "component { name: \"accuracy\" gate: \"format\" } component { name: \"format\" gate: "
        "\"accuracy\" }",
        "component { name: \"accuracy\" gate: \"other\" }"}) {
    EXPECT_THROW(CheckRubric(RubricFrom(rubric)), Error) << rubric;  // never gets this far
    const Result r = Score(MathItem("i", kGood), rubric);
    EXPECT_EQ(r.status(), Result::INTERNAL) << rubric;
    EXPECT_EQ(r.reason(), "reward_not_finite");
    EXPECT_FALSE(r.has_reward());
    EXPECT_EQ(r.components_size(), 0);
  }
  Result r;
  r.set_status(Result::SCORED);
  ComposeReward(MathItem("i", ""), RubricFrom("component { name: \"length\" }"), true, kNan, &r);
  EXPECT_EQ(r.status(), Result::INTERNAL);
}

struct BadRubric {
  const char* name;
  std::string rubric;
  const char* words;
};

std::vector<BadRubric> BadRubrics() {
  const std::string accuracy = "component { name: \"accuracy\" } ";
  return {
      {"Empty", "name: \"r\"", "\"r\": it has no component"},
      {"ControlInName", "name: \"r\x1b[2J\" ", "\"r\\x1b[2J\""},
      {"UnknownComponent", "component { name: \"acuracy\" }", "component=acuracy"},
      {"NoName", "component { weight: 1 }", "unknown component"},
      {"ComponentTwice", accuracy + accuracy, "named once: component=accuracy"},
      {"WeightInfinite", "component { name: \"accuracy\" weight: inf }", "component[0].weight=inf"},
      {"RightNan", "component { name: \"accuracy\" right: nan }", "component[0].right=nan"},
      {"ClampNan", "component { name: \"accuracy\" clamp { low: nan } }",
       "component[0].clamp.low=nan"},
      {"ClampInfinite", "component { name: \"accuracy\" clamp { high: inf } }",
       "component[0].clamp.high=inf"},
      {"ClampInverted", "component { name: \"accuracy\" clamp { low: 2 high: 1 } }",
       "accuracy: clamp.low must not be above clamp.high: low=2 high=1"},
      {"ClampOfTheSumInverted", accuracy + "clamp { low: 2 high: 1 }",
       "the sum: clamp.low must not be above"},
      {"WeightTooLarge", "component { name: \"accuracy\" weight: 1e6 right: 2 }",
       "beyond the limit"},
      {"RightTooLarge", "component { name: \"accuracy\" right: -2e6 }", "right must be from"},
      {"NoRamp", "component { name: \"overlong\" }", "set max_tokens, and ramp_tokens from 1"},
      {"RampAboveTheMost", "component { name: \"overlong\" max_tokens: 5 ramp_tokens: 6 }",
       "ramp_tokens=6 max_tokens=5"},
      {"RampOfZero", "component { name: \"overlong\" max_tokens: 5 ramp_tokens: 0 }",
       "ramp_tokens=0"},
      {"NgramOfZero", "component { name: \"repetition\" ngram: 0 }", "ngram=0"},
      {"NgramTooLarge", "component { name: \"repetition\" ngram: 2000000000 }", "ngram=2000000000"},
      {"UnknownGate", "component { name: \"accuracy\" gate: \"format\" }", "gate=format"},
      {"OwnGate", "component { name: \"accuracy\" gate: \"accuracy\" }", "component=accuracy"},
      {"CircleOfGates",
       accuracy + "component { name: \"format\" gate: \"length\" } "
                  "component { name: \"length\" gate: \"format\" }",
       "must not gate itself"},
      {"NoMarker", accuracy + "extraction: LINE marker: \"\"", "needs a marker"},
      {"ToleranceBelowZero", accuracy + "tolerance { absolute: -1 }", "tolerance.absolute=-1"},
      {"ToleranceNan", accuracy + "tolerance { relative: nan }", "tolerance.relative=nan"},
      {"CpuSecondsNan", accuracy + "code { cpu_seconds: nan }", "code.cpu_seconds=nan"},
      {"WallSecondsTooLarge", accuracy + "code { wall_seconds: 1e300 }",
       "code.wall_seconds=1e+300"},
      {"WallSecondsOfZero", accuracy + "code { wall_seconds: 0 }", "code.wall_seconds=0"},
      // RLIM_INFINITY as a signed number.
      {"MemoryBelowZero", accuracy + "code { memory_bytes: -1 }", "code.memory_bytes=-1"},
      {"OutputOfZero", accuracy + "code { output_bytes: 0 }", "code.output_bytes=0"},
  };
}

class BadRubricTest : public ::testing::TestWithParam<BadRubric> {};

TEST_P(BadRubricTest, IsRefusedInWords) {
  try {
    CheckRubric(RubricFrom(GetParam().rubric));
    ADD_FAILURE() << "was accepted: " << GetParam().rubric;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_NE(error.message().find(GetParam().words), std::string::npos) << error.message();
    EXPECT_LT(error.message().size(), 300u);
  }
}
INSTANTIATE_TEST_SUITE_P(Row, BadRubricTest, ::testing::ValuesIn(BadRubrics()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Rubric, OfOneComponentIsAccepted) {
  EXPECT_NO_THROW(CheckRubric(RubricFrom("component { name: \"accuracy\" }")));
}

// Of a newer client: a rule that would be ignored, an enum value that would be read as BOXED.
TEST(Rubric, OfAnotherVersionIsRefused) {
  const std::string good = RubricFrom("component { name: \"accuracy\" }").SerializeAsString();
  for (const std::string& more : {std::string("\x10\x7f"), std::string("\xa2\x06\x01x"),
                                  std::string("\x52\x03\xa2\x06\x00", 5)}) {
    Rubric rubric;
    ASSERT_TRUE(rubric.ParseFromString(good + more));
    EXPECT_THROW(CheckRubric(rubric), Error);
  }
}

TEST(Scorer, NoFailureCarriesAReward) {
  const std::string rubric = "component { name: \"accuracy\" } component { name: \"format\" }";
  for (const Result::Status status : {Result::UNSCORABLE, Result::TIMEOUT, Result::INTERNAL}) {
    const Result r = Score(MathItem("i", kGood), rubric,
                           [&](const auto&, const auto&) { return Failed(status, "why"); });
    EXPECT_EQ(r.status(), status);
    EXPECT_EQ(r.reason(), "why");
    EXPECT_FALSE(r.has_reward());
    EXPECT_EQ(r.components_size(), 0);
    EXPECT_EQ(r.item_id(), "i");
  }
  const Result thrown =
      Score(MathItem("i", kGood), rubric,
            [](const auto&, const auto&) -> Judgement { throw std::runtime_error("\xff bad"); });
  EXPECT_EQ(thrown.status(), Result::INTERNAL);
  EXPECT_EQ(thrown.flags(0), "\xEF\xBF\xBD bad");  // carried by a string field
}

TEST(Scorer, LooksAtTimeBeforeItAsksAGrader) {
  const FakeGrader grader([](const auto&, const auto&) -> Judgement { throw 1; });
  const Scorer scorer(&grader, &grader);
  const Rubric rubric = RubricFrom("component { name: \"accuracy\" }");
  const Result late =
      scorer.Score(MathItem("i", ""), rubric, {std::chrono::steady_clock::now(), {}});
  EXPECT_EQ(late.status(), Result::TIMEOUT);
  EXPECT_EQ(late.reason(), "deadline");
  std::stop_source stop;
  stop.request_stop();
  const Result gone = scorer.Score(MathItem("i", ""), rubric, {.stop = stop.get_token()});
  EXPECT_EQ(gone.status(), Result::TIMEOUT);
  EXPECT_EQ(gone.reason(), "cancelled");
}

TEST(Scorer, KnowsTasksThatNobodyCanAnswer) {
  const MathGrader math;
  const Scorer scorer(&math, nullptr);
  const Rubric rubric = RubricFrom(
      "component { name: \"accuracy\" gate: \"format\" } "
      "component { name: \"format\" }");
  ScoreItem no_tests = CodeItem("i", kGood);
  no_tests.mutable_code()->mutable_problem()->clear_cases();
  ScoreItem no_task = MathItem("i", kGood);
  no_task.clear_task();
  const std::string too_long(size_t{1} << 21, 'x');
  for (const auto& [item, reason] : std::vector<std::pair<ScoreItem, std::string>>{
           {no_tests, "no_tests"},
           {CodeItem("i", kGood), "no_isolation"},
           // Whoever answers: a bad format or an endless text must not be a 0 there.
           {CodeItem("i", "no format"), "no_isolation"},
           {CodeItem("i", too_long), "no_isolation"},
           {MathItem("i", too_long, ""), "gold_empty"},
           {no_task, "no_task"}}) {
    const Result r = scorer.Score(item, rubric, {});
    EXPECT_EQ(r.status(), Result::UNSCORABLE) << reason;
    EXPECT_EQ(r.reason(), reason);
    EXPECT_FALSE(r.has_reward());
  }
  const Result long_text = scorer.Score(MathItem("i", too_long), rubric, {});
  EXPECT_EQ(long_text.status(), Result::SCORED);
  EXPECT_EQ(long_text.verdict(), Result::OVER_BUDGET);
  EXPECT_EQ(long_text.reward(), 0);
  const Result format_only =
      scorer.Score(no_task, RubricFrom("component { name: \"format\" }"), {});
  EXPECT_EQ(format_only.reward(), 1);
}

TEST(Scorer, RunsNoProgramWhoseAccuracyIsGatedOff) {
  int read = 0;
  const auto grader = [&](const ScoreItem& item, const GradeBudget&) {
    read += item.completion().empty() ? 0 : 1;
    return Judged(Result::AC);
  };
  const std::string gated =
      "component { name: \"accuracy\" gate: \"format\" } component { name: \"format\" ";
  const Result off = Score(CodeItem("i", "no format"), gated + "}", grader);
  EXPECT_EQ(off.status(), Result::SCORED);
  EXPECT_EQ(off.reason(), "gated_by_format");
  EXPECT_EQ(off.reward(), 0);
  EXPECT_EQ(read, 0);
  EXPECT_EQ(Score(CodeItem("i", kGood), gated + "}", grader).reward(), 2);
  EXPECT_EQ(read, 1);
  // The clamp opens the gate.
  EXPECT_EQ(Score(CodeItem("i", "no format"), gated + "clamp { low: 0.5 } }", grader).reward(),
            1.5);
  EXPECT_EQ(read, 2);
  // What only the group knows may open it later.
  Score(CodeItem("i", "x"),
        "component { name: \"accuracy\" gate: \"length\" } component { name: \"length\" }", grader);
  EXPECT_EQ(read, 3);
}

TEST(Scorer, StampsGraderAndRubric) {
  const Result a = Score(MathItem("i", ""), "component { name: \"accuracy\" }");
  const Result b = Score(MathItem("i", ""), "component { name: \"accuracy\" weight: 2 }");
  EXPECT_EQ(a.grader_version(), kGraderVersion);
  EXPECT_EQ(a.rubric_hash().size(), 32u);
  EXPECT_NE(a.rubric_hash(), b.rubric_hash());
  EXPECT_EQ(RubricHash(RubricFrom("component { name: \"accuracy\" }")).size(), 64u);
}

}  // namespace
}  // namespace grouper
