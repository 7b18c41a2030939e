#include "reward/code/code_grader.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/json.h"
#include "base/utf8.h"
#include "reward/answer/answer_span.h"
#include "reward/code/code_caps.h"
#include "reward/code/json_value.h"
#include "reward/code/program_text.h"

namespace grouper {

// The calls of a problem as JSON lists, and the values they must return.
struct CodeGrader::Cases {
  std::vector<std::string> calls;
  std::vector<Json> expected;
  int64_t largest_result = 0, all_results = 0;  // bytes that a right program may write
};

namespace {

using Result = reward::v1::ScoreResult;
using End = JailResult::End;
constexpr size_t kMostProgramBytes = 64 * 1024;
// The limits of one case's arguments or expected value, and of one result, whose text may be longer
// because it is ASCII. The harness writes results of this depth.
constexpr JsonLimits kCaseLimits{.max_bytes = size_t{4} << 20, .max_depth = 48};
constexpr JsonLimits kResultLimits{.max_bytes = size_t{16} << 20, .max_depth = 48};
// To tell what is too large from what is no JSON.
constexpr JsonLimits kWideLimits{
    .max_bytes = size_t{4} << 20, .max_depth = 1000, .max_values = size_t{1} << 22};

Judgement Failure(Result::Status status, const std::string& reason, const std::string& flag = "") {
  Judgement j;
  j.status = status;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  if (!flag.empty()) j.flags.push_back(flag);
  return j;
}

Judgement Scored(Result::Verdict verdict, const char* reason) {
  Judgement j;
  j.verdict = verdict;
  j.reason = reason;
  return j;
}

// The judgement of a run that did not pass, by the way it ended.
Judgement FromEnd(const JailResult& r) {
  switch (r.end) {
    case End::kFinished:
      return Scored(Result::WA, "wrong_result");
    case End::kCompileError:
      return Scored(Result::CE, "compile_error");
    case End::kException:
      return Scored(Result::RE, "exception");
    case End::kEnded:
      return Scored(Result::WA, "no_result");
    case End::kCpuLimit:
      return Scored(Result::TLE, "cpu_time");
    case End::kWallLimit:
      return Scored(Result::TLE, "wall_time");
    case End::kMemoryLimit:
      return Scored(Result::MLE, "memory");
    case End::kOutputLimit:
      return Scored(Result::OLE, "output");
    case End::kForged: {
      Judgement j = Scored(Result::SV, "forged_result");
      j.flags.push_back("forged_result");
      return j;
    }
    case End::kDeadline:
      return Failure(Result::TIMEOUT, "deadline");
    case End::kBroken:
      break;
  }
  return Failure(Result::INTERNAL, "jail_failed", r.detail);
}

// Thrown for tests that no program can meet.
struct TestsTooLarge {
  std::string what;
};

// The parser's words for whole numbers of more than 308 digits, which it cannot compare. Python's
// own limit is 4300.
constexpr const char kTooManyDigits[] = "too large for a double";

Json ReadValue(const std::string& text, const std::string& where) {
  if (text.size() > kCaseLimits.max_bytes) throw TestsTooLarge{where + " is longer than 4 MiB"};
  try {
    return ParseJson(text, where, kCaseLimits);
  } catch (const Error& error) {
    if (error.message().find(kTooManyDigits) != std::string::npos)
      throw TestsTooLarge{error.message()};
    ParseJson(text, where, kWideLimits);  // throws if it is no JSON
    throw TestsTooLarge{error.message()};
  }
}

}  // namespace

// kUser when a case is not JSON; TestsTooLarge when no program can meet it.
CodeGrader::Cases CodeGrader::ReadCases(const reward::v1::CodeProblem& problem,
                                        int64_t output_bytes) {
  Cases cases;
  for (int i = 0; i < problem.cases_size(); ++i) {
    const std::string where = "case " + std::to_string(i);
    const Json arguments = ReadValue(problem.cases(i).arguments_json(), where + ": arguments_json");
    USER_CHECK(arguments.IsArray(), where + ": arguments_json must be a list");
    cases.calls.emplace_back();
    AppendJson(arguments, &cases.calls.back());
    cases.expected.push_back(
        ReadValue(problem.cases(i).expected_json(), where + ": expected_json"));
    const int64_t bytes = MostResultBytes(cases.expected.back());
    if (bytes > static_cast<int64_t>(kResultLimits.max_bytes))
      throw TestsTooLarge{where + ": a result may take more than 16 MiB"};
    cases.largest_result = std::max(cases.largest_result, bytes);
    cases.all_results += bytes;
  }
  if (cases.all_results > output_bytes) {
    throw TestsTooLarge{
        "the results of a right program may take " + std::to_string(cases.all_results) +
        " bytes; code.output_bytes of the rubric allows " + std::to_string(output_bytes)};
  }
  return cases;
}

Judgement CodeGrader::Run(const std::string& program, const std::string& entry, Cases cases,
                          const CodeRules& rules, const GradeBudget& budget) const {
  JailRequest request;
  request.program = program;
  request.entry = entry;
  request.limits = {.cpu_seconds = rules.cpu_seconds(),
                    .wall_seconds = rules.wall_seconds(),
                    .memory_bytes = rules.memory_bytes(),
                    .output_bytes = rules.output_bytes()};
  request.deadline = budget.deadline;
  request.stop = budget.stop;
  request.calls = std::move(cases.calls);
  request.largest_result_bytes = cases.largest_result;
  request.all_results_bytes = cases.all_results;
  size_t passed = 0;
  const JailResult result = jail_->Run(request, [&](size_t call, const std::string& json) {
    bool same = false;
    try {
      same = !json.empty() &&
             SameValue(ParseJson(json, "result", kResultLimits), cases.expected[call]);
    } catch (const Error&) {
      same = false;  // a value too deep or too large to be the expected one
    }
    passed += same ? 1 : 0;
    return same;  // the first failure ends it
  });
  // A program passes only if every case has returned the right value and the run ended cleanly.
  const bool pass = result.end == End::kFinished && passed == cases.expected.size() && passed > 0;
  Judgement j = pass ? Scored(Result::AC, "all_cases") : FromEnd(result);
  for (size_t i = 0; i < passed; ++i) {
    j.tests.emplace_back();
    j.tests.back().set_verdict("AC");
  }
  if (j.status == Result::SCORED && j.verdict != Result::AC) {
    j.tests.emplace_back();
    j.tests.back().set_verdict(Result::Verdict_Name(j.verdict));
    j.tests.back().set_detail("case " + std::to_string(passed) + ": " +
                              (result.detail.empty() ? j.reason : result.detail));
  }
  return j;
}

Judgement CodeGrader::Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                            const GradeBudget& budget) const {
  const reward::v1::CodeTask& task = item.code();
  if (task.language() != "python" && !task.language().empty())
    return Failure(Result::UNSCORABLE, "unsupported");
  if (task.problem().cases().empty()) return Failure(Result::UNSCORABLE, "no_tests");
  if (task.problem().cases_size() > (caps_.tests() > 0 ? caps_.tests() : kMostTests))
    return Failure(Result::UNSCORABLE, "too_many_tests");
  if (task.problem().entry().empty()) return Failure(Result::UNSCORABLE, "no_entry");
  if (!task.problem().wrap().empty() && task.problem().wrap().find("{answer}") == std::string::npos)
    return Failure(Result::UNSCORABLE, "wrap_without_answer");
  if (!jail_->standing()) return Failure(Result::UNSCORABLE, "no_isolation", jail_->problem());
  Cases cases;
  try {
    // The tests are checked before the answer, because tests that nobody can pass are not this
    // completion's fault.
    cases = ReadCases(task.problem(), rubric.code().output_bytes());
  } catch (const TestsTooLarge& error) {
    return Failure(Result::UNSCORABLE, "tests_too_large", error.what);
  } catch (const Error& error) {
    return Failure(Result::UNSCORABLE, "test_unparsable", error.message());
  }
  const AnswerSpan span = FindAnswer(item.completion(), item.prefill(), rubric);
  Judgement j;
  if (!span.found) {
    j.verdict = Result::NO_ANSWER;
    j.reason = span.reason;
    return j;
  }
  const std::string answer = item.completion().substr(span.begin, span.end - span.begin);
  const std::optional<std::string> program = ProgramOf(answer, task.problem());
  if (!program.has_value()) {
    j = Scored(Result::NO_ANSWER, "no_code_block");
  } else if (program->size() > kMostProgramBytes) {
    j = Scored(Result::CE, "program_too_long");
  } else {
    std::vector<std::string> flags;
    const CodeRules rules = Capped(rubric.code(), caps_, &flags);
    Sha256 key;
    for (const std::string& part :
         {std::string(kGraderVersion), *program, task.problem().SerializeAsString(),
          rules.SerializeAsString()}) {
      key.Update(std::to_string(part.size()) + ":" + part);
    }
    j = cache_.Get(key.FinishHex(), budget, [&] {
      return Run(*program, task.problem().entry(), std::move(cases), rules, budget);
    });
    j.flags.insert(j.flags.end(), flags.begin(), flags.end());
  }
  j.extraction.set_rung(span.rung);
  j.extraction.set_begin(static_cast<uint32_t>(span.begin));
  j.extraction.set_end(static_cast<uint32_t>(span.end));
  j.extraction.set_answer(Utf8Excerpt(answer, 1024));
  return j;
}

}  // namespace grouper
