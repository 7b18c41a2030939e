// Large tests are not the candidate's fault: what a right program can meet, it meets in both tiers,
// and what no program can meet is UNSCORABLE.
#include <gtest/gtest.h>

#include "reward/code/code_grader.h"
#include "tests/reward/jail/standing_jail.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

std::string Repeated(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// A JSON list of `count` items.
std::string ListOf(const std::string& item, size_t count) {
  return "[" + Repeated(item + ",", count - 1) + item + "]";
}

class LargeTests : public testing::TestWithParam<reward::v1::IsolationTier> {
 protected:
  void SetUp() override { SKIP_UNLESS_STANDING(jail_); }

  Judgement Grade(const std::string& program, const std::string& argument,
                  const std::string& expected, int cases = 1) {
    reward::v1::ScoreItem item;
    item.set_completion(program);
    reward::v1::CodeProblem* problem = item.mutable_code()->mutable_problem();
    problem->set_entry("f");
    for (int i = 0; i < cases; ++i) {
      reward::v1::CodeCase* test = problem->add_cases();
      test->set_arguments_json("[" + argument + "]");
      test->set_expected_json(expected);
    }
    const CodeGrader grader(&jail_);
    return grader.Grade(item, rubric_, {});
  }

  const Jail& jail_ = JailOf(GetParam());
  Rubric rubric_ = [] {
    Rubric rubric;
    rubric.set_extraction(Rubric::WHOLE);
    rubric.mutable_code()->set_cpu_seconds(1);
    rubric.mutable_code()->set_memory_bytes(64 << 20);
    return rubric;
  }();
};

INSTANTIATE_TEST_SUITE_P(Tiers, LargeTests, testing::ValuesIn(kTiers),
                         [](const auto& each) { return std::string(TierWord(each.param)); });

TEST_P(LargeTests, ARightProgramMeetsThem) {
  struct Case {
    const char* name;
    std::string program, argument, expected;
  };
  const std::string deep = Repeated("[", 47) + "1" + Repeated("]", 47);
  const std::string digits(308, '7');
  for (const Case& c : {
           Case{"700 kB of numbers", "def f(a): return len(a)", ListOf("1", 350000), "350000"},
           Case{"1 MB of empty lists", "def f(a): return len(a)", ListOf("[]", 350000), "350000"},
           Case{"4 MB of text", "def f(a): return len(a)", "\"" + std::string(4100000, 'a') + "\"",
                "4100000"},
           Case{"depth 48", "def f(a): return [a]", deep, "[" + deep + "]"},
           Case{"many digits", "def f(a): return a", digits, digits},
           Case{"a long result", "def f(a): return a", ListOf("123456", 110000),
                ListOf("123456", 110000)},
           Case{"a result of one text", "def f(a): return a",
                "\"" + Repeated("\\u00e9", 170000) + "\"",
                "\"" + Repeated("\\u00e9", 170000) + "\""},
       }) {
    SCOPED_TRACE(c.name);
    const Judgement j = Grade(c.program, c.argument, c.expected);
    EXPECT_EQ(j.status, Result::SCORED) << j.reason << (j.flags.empty() ? "" : j.flags[0]);
    EXPECT_EQ(Result::Verdict_Name(j.verdict), "AC") << j.reason;
  }
}

TEST_P(LargeTests, ManyCasesLeaveNoDebtOfTime) {
  const Judgement j =
      Grade("def f(a): return len(a)", ListOf("{}", 100000), "100000", /*cases=*/12);
  EXPECT_EQ(Result::Verdict_Name(j.verdict), "AC") << j.reason;
}

TEST_P(LargeTests, LimitsStillHold) {
  const std::string large = ListOf("1", 50000);  // more than a little: time gets room
  EXPECT_EQ(
      Grade("def f(a):\n    b = []\n    while True: b.append('x' * 100000)", large, "1").verdict,
      Result::MLE);
  EXPECT_EQ(Grade("def f(a):\n    while True: pass", large, "1").verdict, Result::TLE);
  EXPECT_EQ(Grade("def f(a): return 'a' * (2 << 20)", large, "1").verdict, Result::OLE);
}

TEST_P(LargeTests, WhatNoProgramCanMeetIsUnscorable) {
  const std::string deep = Repeated("[", 49) + Repeated("]", 49);
  const std::string text = "\"" + std::string(300000, 'a') + "\"";
  struct Case {
    const char* name;
    std::string argument, expected;
    int cases;
  };
  for (const Case& c : {
           Case{"deep arguments", deep, "1", 1},
           Case{"a deep result", "1", deep, 1},
           Case{"digits in arguments", "-" + std::string(400, '1'), "1", 1},
           Case{"digits in a result", "1", std::string(400, '1'), 1},
           Case{"more digits in a result", "1", std::string(4301, '1'), 1},
           Case{"long arguments", "\"" + std::string((4 << 20) + 1, 'a') + "\"", "1", 1},
           Case{"many values", ListOf("1", (1 << 20) + 1), "1", 1},
           Case{"long results in sum", "1", text, 4},
       }) {
    SCOPED_TRACE(c.name);
    for (const char* program : {"def f(a): return a", "no program at all"}) {
      const Judgement j = Grade(program, c.argument, c.expected, c.cases);
      EXPECT_EQ(j.status, Result::UNSCORABLE);
      EXPECT_EQ(j.reason, "tests_too_large");
    }
  }
}

}  // namespace
}  // namespace grouper
