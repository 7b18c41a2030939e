#include "reward/code/code_grader.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "reward/math/answer_span.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;
using End = JailResult::End;
constexpr size_t kMostProgramBytes = 64 * 1024;

Judgement Failure(Result::Status status, const std::string& reason, const std::string& flag = "") {
  Judgement j;
  j.status = status;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  if (!flag.empty()) j.flags.push_back(flag);
  return j;
}

bool Same(const Json& a, const Json& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Json::Kind::kNull:
      return true;
    case Json::Kind::kBool:
      return a.boolean == b.boolean;
    case Json::Kind::kNumber:
      if (a.is_integer && b.is_integer) return a.integer == b.integer;
      if (a.text == b.text) return true;  // integers beyond 64 bits
      return a.number == b.number &&
             (a.is_integer || b.is_integer || a.text.find_first_of(".eE") != std::string::npos);
    case Json::Kind::kString:
      return a.text == b.text;
    case Json::Kind::kArray:
      return a.items.size() == b.items.size() &&
             std::equal(a.items.begin(), a.items.end(), b.items.begin(), Same);
    case Json::Kind::kObject:
      return a.members.size() == b.members.size() &&
             std::all_of(a.members.begin(), a.members.end(), [&](const Json::Member& m) {
               const Json* other = b.Find(m.first);
               return other != nullptr && Same(m.second, *other);
             });
  }
  return false;
}

// JSON as a Python literal on one line, ASCII only.
void PrintPython(const Json& json, std::string* out) {
  switch (json.kind) {
    case Json::Kind::kNull:
      *out += "None";
      break;
    case Json::Kind::kBool:
      *out += json.boolean ? "True" : "False";
      break;
    case Json::Kind::kNumber:
      *out += json.text;
      break;
    case Json::Kind::kString: {
      static constexpr char kHex[] = "0123456789abcdef";
      *out += "b'";
      for (char c : json.text) {
        const unsigned char byte = static_cast<unsigned char>(c);
        *out += "\\x";
        *out += kHex[byte >> 4];
        *out += kHex[byte & 15];
      }
      *out += "'.decode()";
      break;
    }
    case Json::Kind::kArray:
      *out += "[";
      for (const Json& item : json.items) {
        PrintPython(item, out);
        *out += ",";
      }
      *out += "]";
      break;
    case Json::Kind::kObject:
      *out += "{";
      for (const Json::Member& member : json.members) {
        Json key;
        key.kind = Json::Kind::kString;
        key.text = member.first;
        PrintPython(key, out);
        *out += ":";
        PrintPython(member.second, out);
        *out += ",";
      }
      *out += "}";
      break;
  }
}

Judgement FromEnd(const JailResult& r) {
  Judgement j;
  j.reason = r.detail;
  switch (r.end) {
    case End::kFinished:
      j.verdict = Result::WA;
      j.reason = "wrong_result";
      break;
    case End::kCompileError:
      j.verdict = Result::CE;
      break;
    case End::kException:
      j.verdict = Result::RE;
      break;
    case End::kEnded:
      j.verdict = Result::WA;
      break;
    case End::kCpuLimit:
      j.verdict = Result::TLE;
      j.reason = "cpu_time";
      break;
    case End::kWallLimit:
      j.verdict = Result::TLE;
      j.reason = "wall_time";
      break;
    case End::kMemoryLimit:
      j.verdict = Result::MLE;
      break;
    case End::kOutputLimit:
      j.verdict = Result::OLE;
      break;
    case End::kForged:
      j.verdict = Result::SV;
      j.flags.push_back("forged_result");
      break;
    case End::kDeadline:
      return Failure(Result::TIMEOUT, "deadline");
    case End::kBroken:
      return Failure(Result::INTERNAL, "jail_failed", r.detail);
  }
  return j;
}

}  // namespace

bool SameJson(const std::string& a, const std::string& b) {
  const JsonLimits limits{.max_bytes = size_t{4} << 20, .max_depth = 48};
  return Same(ParseJson(a, "result", limits), ParseJson(b, "expected", limits));
}

std::string ProgramOf(const std::string& answer, const reward::v1::CodeProblem& problem) {
  const size_t at = problem.wrap().find("{answer}");
  if (at != std::string::npos)
    return problem.wrap().substr(0, at) + answer + problem.wrap().substr(at + 8) + "\n";
  // The last fenced block, python's or without a language.
  const size_t close = answer.rfind("```");
  const size_t open =
      close == std::string::npos || close == 0 ? std::string::npos : answer.rfind("```", close - 1);
  if (open == std::string::npos) return answer;
  const size_t line = answer.find('\n', open);
  return line < close ? answer.substr(line + 1, close - line - 1) : answer;
}

Judgement CodeGrader::Run(const std::string& program, const reward::v1::CodeProblem& problem,
                          const Rubric& rubric, const GradeBudget& budget) const {
  JailRequest request;
  request.program = program;
  request.entry = problem.entry();
  request.limits = {.cpu_seconds = rubric.code().cpu_seconds(),
                    .wall_seconds = rubric.code().wall_seconds(),
                    .memory_bytes = rubric.code().memory_bytes(),
                    .output_bytes = rubric.code().output_bytes()};
  request.deadline = budget.deadline;
  request.stop = budget.stop;
  try {
    for (const reward::v1::CodeCase& test : problem.cases()) {
      const Json arguments = ParseJson(test.arguments_json(), "arguments_json");
      ParseJson(test.expected_json(), "expected_json");
      USER_CHECK(arguments.IsArray(), "arguments_json must be a list");
      std::string call;
      PrintPython(arguments, &call);
      request.calls.push_back(std::move(call));
    }
  } catch (const Error& error) {
    return Failure(Result::UNSCORABLE, "test_unparsable", error.message());
  }
  size_t passed = 0;
  const JailResult result = jail_->Run(request, [&](size_t call, const std::string& json) {
    const std::string& expected = problem.cases(static_cast<int>(call)).expected_json();
    bool same = false;
    try {
      same = !json.empty() && SameJson(json, expected);
    } catch (const Error&) {
      same = false;  // a value too deep or too large to be the expected one
    }
    passed += same ? 1 : 0;
    return same;  // the first failure ends it
  });
  // A pass needs positive evidence for every case and a clean end.
  const size_t cases = static_cast<size_t>(problem.cases_size());
  Judgement j;
  if (result.end == End::kFinished && passed == cases && cases > 0) {
    j.verdict = Result::AC;
    j.reason = "all_cases";
  } else {
    j = FromEnd(result);
  }
  for (size_t i = 0; i < passed; ++i) {
    j.tests.emplace_back();
    j.tests.back().set_verdict("AC");
  }
  if (j.status == Result::SCORED && j.verdict != Result::AC) {
    j.tests.emplace_back();
    j.tests.back().set_verdict(Result::Verdict_Name(j.verdict));
    j.tests.back().set_detail("case " + std::to_string(passed) + ": " + j.reason);
  }
  return j;
}

Judgement CodeGrader::Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                            const GradeBudget& budget) const {
  const reward::v1::CodeTask& task = item.code();
  if (task.language() != "python" && !task.language().empty())
    return Failure(Result::UNSCORABLE, "unsupported");
  if (task.problem().cases().empty()) return Failure(Result::UNSCORABLE, "no_tests");
  if (task.problem().entry().empty()) return Failure(Result::UNSCORABLE, "no_entry");
  if (!jail_->standing()) return Failure(Result::UNSCORABLE, "no_isolation", jail_->problem());
  const AnswerSpan span = FindAnswer(item.completion(), item.prefill(), rubric);
  Judgement j;
  if (!span.found) {
    j.verdict = Result::NO_ANSWER;
    j.reason = span.reason;
    return j;
  }
  const std::string answer = item.completion().substr(span.begin, span.end - span.begin);
  const std::string program = ProgramOf(answer, task.problem());
  if (program.size() > kMostProgramBytes) {
    j.verdict = Result::CE;
    j.reason = "program_too_long";
  } else {
    Sha256 key;
    for (const std::string& part :
         {std::string(kGraderVersion), program, task.problem().SerializeAsString(),
          rubric.code().SerializeAsString()}) {
      key.Update(std::to_string(part.size()) + ":" + part);
    }
    j = cache_.Get(key.FinishHex(), [&] { return Run(program, task.problem(), rubric, budget); });
  }
  j.extraction.set_rung(span.rung);
  j.extraction.set_begin(static_cast<uint32_t>(span.begin));
  j.extraction.set_end(static_cast<uint32_t>(span.end));
  j.extraction.set_answer(answer.substr(0, 1024));
  return j;
}

}  // namespace grouper
