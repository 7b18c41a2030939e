#include "reward/scorer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "reward/components/components.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;
constexpr size_t kMostCompletionBytes = size_t{1} << 20;

double Clamped(double value, const Clamp& clamp) {
  if (clamp.has_low()) value = std::max(value, clamp.low());
  if (clamp.has_high()) value = std::min(value, clamp.high());
  return value;
}

// Value of one component before its gate; NaN for one that needs the group and was not given.
double ComponentValue(const Component& c, const reward::v1::ScoreItem& item, const Rubric& rubric,
                      bool right, const google::protobuf::Map<std::string, double>& extra) {
  if (const auto given = extra.find(c.name()); given != extra.end()) return given->second;
  if (c.name() == "accuracy") return right ? c.right() : c.wrong();
  if (c.name() == "format")
    return FormatValue(item.completion(), item.prefill(), item.truncated(), rubric);
  if (c.name() == "overlong")
    return OverlongValue(item.completion_tokens(), c.max_tokens(), c.ramp_tokens());
  if (c.name() == "repetition") return RepetitionValue(item.completion(), c.ngram());
  return 0;  // length: added by the caller that sees the whole group
}

// Accuracy that no gate would let through need not be judged: programs cost a process each.
bool AccuracyIsGatedOff(const reward::v1::ScoreItem& item, const Rubric& rubric) {
  bool any = false;
  for (const Component& c : rubric.component()) {
    if (c.name() != "accuracy") continue;
    if (c.gate() != "format") return false;
    any = true;
  }
  return any && FormatValue(item.completion(), item.prefill(), item.truncated(), rubric) <= 0;
}

Judgement Failure(Result::Status status, const char* reason) {
  Judgement j;
  j.status = status;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

}  // namespace

void CheckRubric(const Rubric& rubric) {
  static constexpr std::array<const char*, 5> kKnown = {"accuracy", "format", "overlong",
                                                        "repetition", "length"};
  const std::string where = "[rubric] \"" + rubric.name() + "\": ";
  USER_CHECK(rubric.component_size() > 0,
             where + "no component; add component { name: \"accuracy\" }");
  std::set<std::string> names;
  for (const Component& c : rubric.component()) {
    USER_CHECK(
        std::find(kKnown.begin(), kKnown.end(), c.name()) != kKnown.end(),
        where + "unknown component; use accuracy, format, overlong, repetition or length, got",
        c.name());
    USER_CHECK(names.insert(c.name()).second, where + "a component stands twice", c.name());
    USER_CHECK(std::isfinite(c.weight()), where + "weight is not finite", c.name());
    USER_CHECK(std::isfinite(c.right()) && std::isfinite(c.wrong()),
               where + "right or wrong is not finite", c.name());
    USER_CHECK(c.name() != "overlong" ||
                   (c.max_tokens() > 0 && c.ramp_tokens() > 0 && c.ramp_tokens() <= c.max_tokens()),
               where + "overlong needs 0 < ramp_tokens <= max_tokens");
    USER_CHECK(c.gate() != c.name(), where + "a component gates itself", c.name());
  }
  for (const Component& c : rubric.component()) {
    USER_CHECK(c.gate().empty() || names.count(c.gate()) == 1,
               where + "gate names no component of the rubric", c.gate());
  }
  USER_CHECK(rubric.extraction() != Rubric::LINE || !rubric.marker().empty(),
             where + "extraction LINE needs a marker");
}

std::string RubricHash(const Rubric& rubric) { return Sha256Hex(rubric.SerializeAsString()); }

void ComposeReward(const reward::v1::ScoreItem& item, const Rubric& rubric, bool right,
                   const google::protobuf::Map<std::string, double>& extra, Result* result) {
  google::protobuf::Map<std::string, double> raw;
  for (const Component& c : rubric.component())
    raw[c.name()] = ComponentValue(c, item, rubric, right, extra);
  double sum = 0;
  result->clear_components();
  for (const Component& c : rubric.component()) {
    const bool open = c.gate().empty() || raw[c.gate()] > 0;
    const double value = open ? Clamped(raw[c.name()], c.clamp()) : 0;
    (*result->mutable_components())[c.name()] = value;
    sum += c.weight() * value;
  }
  sum = Clamped(sum, rubric.clamp());
  if (!std::isfinite(sum)) {
    result->set_status(Result::INTERNAL);
    result->set_reason("reward_not_finite");
    result->clear_reward();
    result->clear_components();
    return;
  }
  result->set_reward(sum);
}

Judgement Scorer::Judge(const reward::v1::ScoreItem& item, const Rubric& rubric,
                        const GradeBudget& budget) const {
  if (item.completion().size() > kMostCompletionBytes) {
    Judgement j;
    j.verdict = Result::OVER_BUDGET;
    j.reason = "completion_too_long";
    return j;
  }
  switch (item.task_case()) {
    case reward::v1::ScoreItem::kMath:
      return math_->Grade(item, rubric, budget);
    case reward::v1::ScoreItem::kCode: {
      if (item.code().problem().cases().empty()) return Failure(Result::UNSCORABLE, "no_tests");
      if (AccuracyIsGatedOff(item, rubric)) {
        Judgement j;
        j.reason = "gated_by_format";
        return j;
      }
      if (code_ == nullptr) return Failure(Result::UNSCORABLE, "no_isolation");
      return code_->Grade(item, rubric, budget);
    }
    case reward::v1::ScoreItem::TASK_NOT_SET:
      break;
  }
  for (const Component& c : rubric.component()) {
    if (c.name() == "accuracy") return Failure(Result::UNSCORABLE, "no_task");
  }
  Judgement j;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  return j;
}

Result Scorer::Score(const reward::v1::ScoreItem& item, const Rubric& rubric,
                     const GradeBudget& budget) const {
  const auto begin = std::chrono::steady_clock::now();
  Result result;
  result.set_item_id(item.item_id());
  result.set_grader_version(kGraderVersion);
  Judgement j;
  if (begin >= budget.deadline) {
    j = Failure(Result::TIMEOUT, "deadline");
  } else if (budget.stop.stop_requested()) {
    j = Failure(Result::TIMEOUT, "cancelled");
  } else {
    try {
      j = Judge(item, rubric, budget);
    } catch (const std::exception& error) {
      j = Failure(Result::INTERNAL, "grader_failed");
      j.flags.push_back(error.what());
    }
  }
  result.set_status(j.status);
  result.set_verdict(j.verdict);
  result.set_reason(j.reason);
  *result.mutable_extraction() = j.extraction;
  for (reward::v1::TestVerdict& test : j.tests) *result.add_tests() = std::move(test);
  for (std::string& flag : j.flags) result.add_flags(std::move(flag));
  result.set_cached(j.cached);
  if (j.status == Result::SCORED) ComposeReward(item, rubric, j.right(), {}, &result);
  result.mutable_timings()->set_score_seconds(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return result;
}

}  // namespace grouper
