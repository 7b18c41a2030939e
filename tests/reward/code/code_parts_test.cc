// The pure parts of judging code: values, program text, the result cache, broken tasks.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "reward/code/code_caps.h"
#include "reward/code/code_grader.h"
#include "reward/code/json_value.h"
#include "reward/code/program_text.h"
#include "reward/code/result_cache.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

bool Same(const std::string& a, const std::string& b) {
  const bool same = SameValue(ParseJson(a, "a"), ParseJson(b, "b"));
  EXPECT_EQ(same, SameValue(ParseJson(b, "b"), ParseJson(a, "a"))) << a << " " << b;
  return same;
}

TEST(JsonValue, ComparesByValueAndKind) {
  for (const auto& [a, b] : std::vector<std::pair<const char*, const char*>>{
           {"1", "1"},
           {"1", "1.0"},
           {"0", "-0.0"},
           {"-0", "0"},
           {"100", "1e2"},
           {"0.1", "1e-1"},
           {"123456789012345678901234567890", "123456789012345678901234567890"},
           {"100000000000000000000", "1e20"},
           {"9007199254740992", "9007199254740992.0"},
           {"[1,[2]]", "[1.0,[2]]"},
           {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"},
           {"null", "null"},
           {"\"\\u0061\"", "\"a\""},
           {"true", "true"},
           {"[]", "[]"}}) {
    EXPECT_TRUE(Same(a, b)) << a << " " << b;
  }
  for (const auto& [a, b] : std::vector<std::pair<const char*, const char*>>{
           {"1", "2"},
           {"1", "true"},
           {"0", "false"},
           {"0", "null"},
           {"1", "\"1\""},
           {"1", "[1]"},
           {"9007199254740993", "9007199254740992.0"},
           {"100000000000000000001", "1e20"},
           {"123456789012345678901234567890", "123456789012345678901234567891"},
           {"0.1", "0.10000000000000002"},
           {"[1,2]", "[2,1]"},
           {"[1]", "[1,1]"},
           {"[]", "{}"},
           {"{\"a\":1}", "{\"a\":1,\"b\":1}"},
           {"{\"a\":1}", "{\"b\":1}"},
           {"\"a\"", "\"A\""}}) {
    EXPECT_FALSE(Same(a, b)) << a << " " << b;
  }
}

TEST(JsonValue, IsWrittenOnOneLine) {
  std::string out;
  AppendJson(ParseJson("[null, true,\n-1.5e3, \"a'\\n\\\\\\u00e9\", {\"k\": [], \"l\": {}}]", "a"),
             &out);
  EXPECT_EQ(out, "[null,true,-1.5e3,\"a'\\n\\\\\xc3\xa9\",{\"k\":[],\"l\":{}}]");
}

TEST(JsonValue, ARightResultIsNoLongerThanSaid) {
  for (const auto& [expected, result] : std::vector<std::pair<const char*, const char*>>{
           {"1", "1.0"},
           {"[1,-2,3]", "[1.0,-2.0,3.0]"},
           {"1e20", "100000000000000000000"},
           {"1e22", "10000000000000000000000"},
           {"0.1", "0.1"},
           {"-1e-7", "-1.2345678901234567e-107"},
           {"false", "false"},
           {"null", "null"},
           {"\"\xc3\xa9\\n\\\"\"", "\"\\u00e9\\n\\\"\""},
           {"\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\""},
           {"{\"a\":[],\"b\":{}}", "{\"a\":[],\"b\":{}}"}}) {
    const int64_t most = MostResultBytes(ParseJson(expected, "expected"));
    EXPECT_GE(most, static_cast<int64_t>(std::string(result).size())) << expected;
    EXPECT_LE(most, static_cast<int64_t>(std::string(result).size()) + 26) << expected;
  }
}

std::string Program(const std::string& answer, const std::string& wrap = "") {
  reward::v1::CodeProblem problem;
  problem.set_wrap(wrap);
  return ProgramOf(answer, problem).value_or("(none)");
}

TEST(ProgramText, IsTheLastClosedPythonBlock) {
  EXPECT_EQ(Program("x = 1"), "x = 1");
  EXPECT_EQ(Program("so:\n```python\nx = 1\n```\nand\n```py\nx = 2\n```\n"), "x = 2\n");
  EXPECT_EQ(Program("```\nx = 1\n```"), "x = 1\n");
  EXPECT_EQ(Program("```python\r\nx = 1\n```"), "x = 1\n");
  EXPECT_EQ(Program("```python\nx = 1\n```\nin C:\n```c\nint x;\n```"), "x = 1\n");
  EXPECT_EQ(Program("```python\nx = '''\n  a ``` b\n'''\n```\n"), "x = '''\n  a ``` b\n'''\n");
  EXPECT_EQ(Program("```python\nx = 1\n"), "(none)") << "a block that was cut is no answer";
  EXPECT_EQ(Program("```python\nx = 1\n```\n```python\nx = 2"), "x = 1\n");
  EXPECT_EQ(Program("``` ``` no fence"), "``` ``` no fence");
  EXPECT_EQ(Program("```python\n```"), "");
}

TEST(ProgramText, FillsTheWrapOnce) {
  EXPECT_EQ(Program("x + {answer}", "def f(x):\n    return {answer}\n"),
            "def f(x):\n    return x + {answer}\n\n");
  EXPECT_EQ(Program("x", "no place"), "(none)");
}

Judgement Made(Result::Verdict verdict, Result::Status status = Result::SCORED) {
  Judgement j;
  j.verdict = verdict;
  j.status = status;
  return j;
}

TEST(ResultCache, KeepsWhatWasScoredAndDropsTheOldest) {
  ResultCache one(1 << 20);
  one.Get("a", {}, [] { return Made(Result::WA); });
  ResultCache cache(2 * one.bytes());
  int made = 0;
  const auto get = [&](const std::string& key) {
    return cache.Get(key, {}, [&] {
      ++made;
      return Made(Result::WA);
    });
  };
  EXPECT_FALSE(get("a").cached);
  EXPECT_TRUE(get("a").cached);
  get("b");
  get("a");  // b is the oldest now
  get("c");
  EXPECT_TRUE(get("a").cached);
  EXPECT_EQ(made, 3);
  EXPECT_FALSE(get("b").cached);
  EXPECT_EQ(made, 4);
}

// A few judgements with thousands of tests each must not take all memory.
TEST(ResultCache, IsBoundedByBytes) {
  constexpr size_t kMost = 1 << 20;
  ResultCache cache(kMost);
  const auto large = [&](int tests) {
    Judgement j = Made(Result::AC);
    for (int t = 0; t < tests; ++t) j.tests.emplace_back().set_detail(std::string(100, 'x'));
    return j;
  };
  for (int i = 0; i < 50; ++i) {
    cache.Get(std::to_string(i), {}, [&] { return large(1000); });
    EXPECT_LE(cache.bytes(), kMost);
  }
  EXPECT_GE(cache.bytes(), kMost / 2);
  EXPECT_TRUE(cache.Get("49", {}, [&] { return large(1); }).cached);
  EXPECT_FALSE(cache.Get("0", {}, [&] { return large(1); }).cached);
  // One that is too large alone is not kept, and drops nothing.
  const size_t before = cache.bytes();
  EXPECT_FALSE(cache.Get("huge", {}, [&] { return large(20000); }).cached);
  EXPECT_FALSE(cache.Get("huge", {}, [&] { return large(20000); }).cached);
  EXPECT_EQ(cache.bytes(), before);
}

TEST(ResultCache, TellsThoseWhoHaveOtherWorkToDo) {
  ResultCache cache(1 << 20);
  int told = 0;
  const GradeBudget busy{.resume = [&] { ++told; }};
  const auto never = []() -> Judgement { ThrowInternal("was made twice"); };
  const auto make = [&](Result::Status status) {
    return [&, status] {
      EXPECT_EQ(cache.Get("a", busy, never).status, Result::STATUS_UNSPECIFIED);
      EXPECT_EQ(cache.Get("a", busy, never).status, Result::STATUS_UNSPECIFIED);
      EXPECT_EQ(cache.Get("b", busy, [] { return Made(Result::AC); }).status, Result::SCORED);
      return Made(Result::WA, status);
    };
  };
  EXPECT_EQ(cache.Get("a", busy, make(Result::TIMEOUT)).status, Result::TIMEOUT);
  EXPECT_EQ(told, 2);
  EXPECT_EQ(cache.Get("a", busy, make(Result::SCORED)).status, Result::SCORED);
  EXPECT_EQ(told, 4);
  EXPECT_TRUE(cache.Get("a", busy, never).cached);
  EXPECT_THROW(cache.Get("c", busy,
                         [&]() -> Judgement {
                           cache.Get("c", busy, never);
                           ThrowInternal("broken");
                         }),
               Error);
  EXPECT_EQ(told, 5);
}

TEST(ResultCache, NeverKeepsAFailure) {
  ResultCache cache(1 << 20);
  const auto fail = [] { return Made(Result::VERDICT_UNSPECIFIED, Result::INTERNAL); };
  EXPECT_EQ(cache.Get("a", {}, fail).status, Result::INTERNAL);
  EXPECT_THROW(cache.Get("a", {}, []() -> Judgement { ThrowInternal("broken"); }), Error);
  const Judgement j = cache.Get("a", {}, [] { return Made(Result::AC); });
  EXPECT_EQ(j.verdict, Result::AC);
  EXPECT_FALSE(j.cached);
}

TEST(ResultCache, RunsTheSameThingOnce) {
  ResultCache cache(1 << 20);
  std::atomic<int> made{0}, cached{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        const Judgement j = cache.Get("a", {}, [&] {
          ++made;
          std::this_thread::sleep_for(std::chrono::milliseconds(30));
          return Made(Result::AC);
        });
        EXPECT_EQ(j.verdict, Result::AC);
        cached += j.cached ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(cached, 7);
}

TEST(ResultCache, WaitsNoLongerThanItsBudget) {
  ResultCache cache(1 << 20);
  std::atomic<bool> running{false}, go{false};
  std::jthread slow([&] {
    cache.Get("a", {}, [&] {
      running = true;
      while (!go) std::this_thread::yield();
      return Made(Result::AC);
    });
  });
  while (!running) std::this_thread::yield();
  const auto never = [] { return Made(Result::WA); };
  const GradeBudget late{
      .deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(5), .stop = {}};
  EXPECT_EQ(cache.Get("a", late, never).status, Result::TIMEOUT);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache.Get("a", {.stop = stop.get_token()}, never).status, Result::TIMEOUT);
  go = true;
}

// What is wrong with the task is never the candidate's 0.
TEST(CodeGrader, RefusesBrokenTasks) {
  const Jail jail;
  if (!jail.standing()) GTEST_SKIP() << "this machine lacks a jail: " << jail.problem();
  const CodeGrader grader(&jail);
  Rubric rubric;
  rubric.set_extraction(Rubric::WHOLE);
  reward::v1::ScoreItem good;
  good.set_completion("def f(x): return x");
  good.mutable_code()->mutable_problem()->set_entry("f");
  good.mutable_code()->mutable_problem()->add_cases()->set_arguments_json("[1]");
  good.mutable_code()->mutable_problem()->mutable_cases(0)->set_expected_json("1");
  EXPECT_EQ(grader.Grade(good, rubric, {}).verdict, Result::AC);

  const auto reason = [&](const std::function<void(reward::v1::CodeTask*)>& change) {
    reward::v1::ScoreItem item = good;
    change(item.mutable_code());
    const Judgement j = grader.Grade(item, rubric, {});
    EXPECT_EQ(j.status, Result::UNSCORABLE) << j.reason;
    return j.reason;
  };
  using Task = reward::v1::CodeTask*;
  const auto arguments = [](const char* text) {
    return [=](Task t) { t->mutable_problem()->mutable_cases(0)->set_arguments_json(text); };
  };
  EXPECT_EQ(reason([](Task t) { t->mutable_problem()->clear_cases(); }), "no_tests");
  EXPECT_EQ(reason([](Task t) { t->mutable_problem()->clear_entry(); }), "no_entry");
  EXPECT_EQ(reason([](Task t) { t->set_language("cobol"); }), "unsupported");
  EXPECT_EQ(reason([](Task t) { t->mutable_problem()->set_wrap("x"); }), "wrap_without_answer");
  EXPECT_EQ(reason(arguments("{}")), "test_unparsable");
  EXPECT_EQ(reason(arguments("[1")), "test_unparsable");
  EXPECT_EQ(reason(arguments(("[" + std::string(4301, '1') + "]").c_str())), "tests_too_large");
  EXPECT_EQ(reason([](Task t) { t->mutable_problem()->mutable_cases(0)->clear_expected_json(); }),
            "test_unparsable");
  // Whoever answers: also where there is no program to run.
  good.set_completion("```python\nno end");
  EXPECT_EQ(reason(arguments("[1")), "test_unparsable");
  EXPECT_EQ(grader.Grade(good, rubric, {}).verdict, Result::NO_ANSWER);
}

TEST(CodeCaps, TheSmallerLimitCounts) {
  CodeRules asked;
  asked.set_cpu_seconds(3600);
  asked.set_wall_seconds(5);
  asked.set_memory_bytes(int64_t{1} << 40);
  asked.set_output_bytes(int64_t{1} << 30);
  reward::v1::CodeCaps caps;
  std::vector<std::string> flags;
  EXPECT_EQ(Capped(asked, caps, &flags).SerializeAsString(), asked.SerializeAsString());
  EXPECT_TRUE(flags.empty());
  caps.set_cpu_seconds(60);
  caps.set_wall_seconds(120);
  caps.set_memory_bytes(1 << 30);
  caps.set_output_bytes(1 << 20);
  const CodeRules rules = Capped(asked, caps, &flags);
  EXPECT_EQ(rules.cpu_seconds(), 60);
  EXPECT_EQ(rules.wall_seconds(), 5);
  EXPECT_EQ(rules.memory_bytes(), 1 << 30);
  EXPECT_EQ(rules.output_bytes(), 1 << 20);
  EXPECT_EQ(flags,
            (std::vector<std::string>{"limit_capped: cpu_seconds", "limit_capped: memory_bytes",
                                      "limit_capped: output_bytes"}));
}

// A caller may ask for an hour and a terabyte; the service decides what it gives.
TEST(CodeGrader, GivesNoMoreThanItsCaps) {
  const Jail jail;
  ASSERT_TRUE(jail.standing()) << jail.problem();
  reward::v1::CodeCaps caps;
  caps.set_cpu_seconds(1);
  caps.set_output_bytes(1000);
  caps.set_tests(2);
  const CodeGrader grader(&jail, caps);
  Rubric rubric;
  rubric.set_extraction(Rubric::WHOLE);
  rubric.mutable_code()->set_cpu_seconds(3600);
  rubric.mutable_code()->set_wall_seconds(3600);
  rubric.mutable_code()->set_output_bytes(int64_t{1} << 30);
  reward::v1::ScoreItem item;
  reward::v1::CodeProblem* problem = item.mutable_code()->mutable_problem();
  problem->set_entry("f");
  problem->add_cases()->set_arguments_json("[1]");
  problem->mutable_cases(0)->set_expected_json("1");
  const auto judged = [&](const std::string& program) {
    item.set_completion(program);
    return grader.Grade(item, rubric, {});
  };
  for (int round = 0; round < 2; ++round) {
    for (const auto& [program, verdict] : std::vector<std::pair<std::string, Result::Verdict>>{
             {"while True: pass", Result::TLE},
             {"def f(x): return 'x' * 1000000", Result::OLE},
             {"def f(x): return x", Result::AC}}) {
      const Judgement j = judged(program);
      EXPECT_EQ(j.verdict, verdict) << program;
      EXPECT_EQ(j.cached, round == 1);
      EXPECT_EQ(j.flags, (std::vector<std::string>{"limit_capped: cpu_seconds",
                                                   "limit_capped: output_bytes"}));
    }
  }
  while (problem->cases_size() < 3) *problem->add_cases() = problem->cases(0);
  EXPECT_EQ(judged("def f(x): return x").status, Result::UNSCORABLE);
  EXPECT_EQ(judged("def f(x): return x").reason, "too_many_tests");
}

TEST(CodeGrader, JudgesTheSameProgramOnce) {
  const Jail jail;
  if (!jail.standing()) GTEST_SKIP() << "this machine lacks a jail: " << jail.problem();
  const CodeGrader grader(&jail);
  Rubric rubric;
  rubric.set_extraction(Rubric::WHOLE);
  reward::v1::ScoreItem item;
  item.set_completion("<think>a</think>def f(x): return x");
  item.mutable_code()->mutable_problem()->set_entry("f");
  item.mutable_code()->mutable_problem()->add_cases()->set_arguments_json("[1]");
  item.mutable_code()->mutable_problem()->mutable_cases(0)->set_expected_json("1");
  EXPECT_FALSE(grader.Grade(item, rubric, {}).cached);
  item.set_completion("<think>other thoughts</think> def f(x): return x");
  EXPECT_TRUE(grader.Grade(item, rubric, {}).cached);
  item.mutable_code()->mutable_problem()->mutable_cases(0)->set_expected_json("2");
  const Judgement other = grader.Grade(item, rubric, {});
  EXPECT_FALSE(other.cached);
  EXPECT_EQ(other.verdict, Result::WA);
}

}  // namespace
}  // namespace grouper
