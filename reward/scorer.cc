#include "reward/scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/digest.h"
#include "base/utf8.h"
#include "reward/components/components.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;
using reward::v1::ScoreItem;
constexpr size_t kMostCompletionBytes = size_t{1} << 20;
constexpr size_t kMostWordsBytes = 512;  // of one flag, of one test's detail

double Clamped(double value, const Clamp& clamp) {
  if (clamp.has_low()) value = std::max(value, clamp.low());
  if (clamp.has_high()) value = std::min(value, clamp.high());
  return value;
}

const Component* Find(const Rubric& rubric, const std::string& name) {
  for (const Component& c : rubric.component()) {
    if (c.name() == name) return &c;
  }
  return nullptr;
}

// The components' values of one completion.
class Values {
 public:
  Values(const ScoreItem& item, const Rubric& rubric, bool right, double length) : rubric_(rubric) {
    for (const Component& c : rubric.component()) raw_.push_back(Raw(c, item, right, length));
  }

  bool AllFinite() const {
    return std::all_of(raw_.begin(), raw_.end(), [](double v) { return std::isfinite(v); });
  }

  // The value after gate and clamp; NaN if gates form a circle or name nothing. Rubrics are short
  // lists.
  double Of(const std::string& name, int steps = 0) const {
    int i = 0;
    while (i < rubric_.component_size() && rubric_.component(i).name() != name) ++i;
    if (i == rubric_.component_size() || steps > rubric_.component_size())
      return std::numeric_limits<double>::quiet_NaN();
    const Component& c = rubric_.component(i);
    if (!c.gate().empty()) {
      const double gate = Of(c.gate(), steps + 1);
      if (std::isnan(gate)) return gate;
      if (gate <= 0) return 0;
    }
    return Clamped(raw_[static_cast<size_t>(i)], c.clamp());
  }

 private:
  double Raw(const Component& c, const ScoreItem& item, bool right, double length) const {
    if (c.name() == "accuracy") return right ? c.right() : c.wrong();
    if (c.name() == "format")
      return FormatValue(item.completion(), item.prefill(), item.truncated(), rubric_);
    if (c.name() == "overlong")
      return OverlongValue(item.completion_tokens(), c.max_tokens(), c.ramp_tokens());
    if (c.name() == "repetition") {
      return RepetitionValue(std::string_view(item.completion()).substr(0, kMostCompletionBytes),
                             c.ngram());
    }
    return length;
  }

  const Rubric& rubric_;
  std::vector<double> raw_;
};

// Accuracy that no gate will let through is not judged, because each program costs a process.
bool AccuracyIsGatedOff(const ScoreItem& item, const Rubric& rubric) {
  const Component* accuracy = Find(rubric, "accuracy");
  if (accuracy == nullptr || accuracy->gate().empty()) return false;
  const Component* gate = Find(rubric, accuracy->gate());
  for (int i = 0; i < rubric.component_size() && gate != nullptr; ++i) {
    if (gate->name() == "length") return false;  // known when the group is whole
    gate = Find(rubric, gate->gate());
  }
  return Values(item, rubric, false, 0).Of(accuracy->gate()) <= 0;
}

Judgement Failure(Result::Status status, const char* reason) {
  Judgement j;
  j.status = status;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

// The completion is not looked at, but the task is: a task that cannot be judged is UNSCORABLE for
// every completion. Otherwise a group would keep its bad answers and lose its good ones.
Judgement Unread(const Grader& grader, const ScoreItem& item, const Rubric& rubric,
                 const GradeBudget& budget, Result::Verdict verdict, const std::string& reason) {
  ScoreItem silent;
  silent.set_prefill("<think>");  // never closed: no answer under any extraction
  if (item.has_math()) *silent.mutable_math() = item.math();
  if (item.has_code()) *silent.mutable_code() = item.code();
  Judgement j = grader.Grade(silent, rubric, budget);
  if (j.status != Result::SCORED) return j;
  j = {};
  j.verdict = verdict;
  j.reason = reason;
  return j;
}

}  // namespace

std::string RubricHash(const Rubric& rubric) { return Sha256Hex(rubric.SerializeAsString()); }

void ComposeReward(const ScoreItem& item, const Rubric& rubric, bool right, double length,
                   Result* result) {
  const Values values(item, rubric, right, length);
  result->clear_components();
  double sum = 0;
  for (const Component& c : rubric.component()) {
    const double value = values.Of(c.name());
    (*result->mutable_components())[c.name()] = value;
    sum += c.weight() * value;
  }
  if (!values.AllFinite() || !std::isfinite(sum)) {  // before the clamp, which would hide it
    result->set_status(Result::INTERNAL);
    result->set_reason("reward_not_finite");
    result->clear_reward();
    result->clear_components();
    return;
  }
  result->set_reward(Clamped(sum, rubric.clamp()));
}

bool HasLength(const Rubric& rubric) { return Find(rubric, "length") != nullptr; }

void AddLength(std::span<const GroupMember> group) {
  std::vector<GroupMember> members;
  std::vector<int64_t> tokens;
  std::vector<char> right;
  for (const GroupMember& member : group) {
    if (member.result->status() != Result::SCORED) continue;
    const Result::Verdict verdict = member.result->verdict();
    members.push_back(member);
    tokens.push_back(member.item->completion_tokens());
    right.push_back(verdict == Result::CORRECT || verdict == Result::AC);
  }
  const std::vector<double> values = LengthValues(tokens, right);
  for (size_t i = 0; i < members.size(); ++i) {
    if (!HasLength(*members[i].rubric)) continue;
    ComposeReward(*members[i].item, *members[i].rubric, right[i] != 0, values[i],
                  members[i].result);
  }
}

Judgement Scorer::Judge(const ScoreItem& item, const Rubric& rubric,
                        const GradeBudget& budget) const {
  const bool too_long = item.completion().size() > kMostCompletionBytes;
  const Grader* grader = item.has_code() ? code_ : math_;
  if (item.task_case() == ScoreItem::TASK_NOT_SET) {
    if (Find(rubric, "accuracy") != nullptr) return Failure(Result::UNSCORABLE, "no_task");
    Judgement j;  // format and its like need no task
    j.verdict = Result::VERDICT_UNSPECIFIED;
    return j;
  }
  if (item.has_code() && item.code().problem().cases().empty())
    return Failure(Result::UNSCORABLE, "no_tests");
  if (grader == nullptr) return Failure(Result::UNSCORABLE, "no_isolation");
  if (too_long)
    return Unread(*grader, item, rubric, budget, Result::OVER_BUDGET, "completion_too_long");
  if (item.has_code() && AccuracyIsGatedOff(item, rubric)) {
    return Unread(*grader, item, rubric, budget, Result::WRONG,
                  "gated_by_" + Find(rubric, "accuracy")->gate());
  }
  return grader->Grade(item, rubric, budget);
}

Result Scorer::Score(const ScoreItem& item, const Rubric& rubric, const GradeBudget& budget) const {
  const auto begin = std::chrono::steady_clock::now();
  Result result;
  result.set_item_id(item.item_id());
  result.set_grader_version(kGraderVersion);
  Sha256 hash;
  hash.Update(rubric.SerializeAsString());
  const auto bytes = hash.Finish();
  result.set_rubric_hash(bytes.data(), bytes.size());
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
  // One string that is not UTF-8 would lose the whole reply, and a long one could exceed its size.
  for (reward::v1::TestVerdict& test : j.tests) {
    test.set_detail(Utf8Excerpt(test.detail(), kMostWordsBytes));
    *result.add_tests() = std::move(test);
  }
  for (const std::string& flag : j.flags) result.add_flags(Utf8Excerpt(flag, kMostWordsBytes));
  result.set_cached(j.cached);
  if (j.status == Result::SCORED) ComposeReward(item, rubric, j.right(), 0, &result);
  result.mutable_timings()->set_score_seconds(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return result;
}

}  // namespace grouper
