#include "reward/math/math_grader.h"

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "reward/answer/answer_span.h"
#include "reward/math/ladder/equivalence.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

constexpr size_t kMostShownBytes = 1024;
// The most bytes of earlier boxes, all together, that are compared with the answer. Without this
// bound, nested boxes could add up to the square of the text.
constexpr size_t kMostBoxBytes = 2 * kAnswerTailBytes;

Judgement Unscorable(const char* reason) {
  Judgement j;
  j.status = Result::UNSCORABLE;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

const char* ReasonOf(Gold::Kind kind) {
  switch (kind) {
    case Gold::Kind::kEmpty:
      return "gold_empty";
    case Gold::Kind::kOverBudget:
      return "gold_over_budget";
    default:
      return "gold_unparsable";
  }
}

// The gold as a data set writes it: alone, after GSM8K's "####", or in the box of a solution.
Gold ReadGoldText(std::string_view text, const Rubric& rubric) {
  const size_t hashes = text.rfind("####");
  if (hashes != std::string_view::npos) text.remove_prefix(hashes + 4);
  Gold gold = ReadGold(text, rubric);
  if (gold.kind != Gold::Kind::kUnparsable) return gold;
  Rubric boxed = rubric;
  boxed.set_extraction(Rubric::BOXED);
  boxed.set_think_required(false);
  const AnswerSpan span = FindAnswer(text, "", boxed);
  return span.found ? ReadGold(text.substr(span.begin, span.end - span.begin), rubric) : gold;
}

void SetVerdict(Result::Verdict verdict, std::string_view reason, Judgement* j) {
  j->status = Result::SCORED;
  j->verdict = verdict;
  j->reason = reason;
}

bool BoxesAgree(const AnswerSpan& span, std::string_view answer, const Rubric& rubric,
                Judgement* j) {
  size_t bytes = 0;
  for (const std::string_view other : span.other_boxes) {
    bytes += other.size();
    if (bytes > kMostBoxBytes) {
      SetVerdict(Result::OVER_BUDGET, "over_budget", j);
      j->flags.push_back("over_budget");
      return false;
    }
    if (Agree(other, answer, rubric)) continue;
    SetVerdict(Result::AMBIGUOUS, "boxes_differ", j);
    return false;
  }
  return true;
}

void CompareWithGolds(std::string_view answer, const std::vector<Gold>& golds, const Rubric& rubric,
                      Judgement* j) {
  // The mildest failure over all golds is reported; the list is in falling order of severity.
  SetVerdict(Result::OVER_BUDGET, "over_budget", j);
  for (const Gold& gold : golds) {
    const Equivalence e = Compare(answer, gold, rubric);
    switch (e.kind) {
      case Equivalence::Kind::kEqual:
        SetVerdict(Result::CORRECT, e.reason, j);
        return;
      case Equivalence::Kind::kDifferent:
        SetVerdict(Result::WRONG, e.reason, j);
        break;
      case Equivalence::Kind::kUnparsable:
        if (j->verdict != Result::WRONG) SetVerdict(Result::UNPARSABLE, e.reason, j);
        break;
      case Equivalence::Kind::kOverBudget:
        break;
    }
  }
  if (j->verdict == Result::OVER_BUDGET) j->flags.push_back("over_budget");
}

}  // namespace

Judgement MathGrader::Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                            const GradeBudget&) const {
  if (item.math().golds().empty()) return Unscorable("gold_missing");
  std::vector<Gold> golds;
  const char* refused = "gold_unparsable";
  Judgement j;
  for (const std::string& text : item.math().golds()) {
    Gold gold = ReadGoldText(text, rubric);
    if (gold.kind == Gold::Kind::kNumber || gold.kind == Gold::Kind::kWords) {
      golds.push_back(std::move(gold));
    } else {
      refused = ReasonOf(gold.kind);
      if (j.flags.empty()) j.flags.push_back("gold_ignored");
    }
  }
  if (golds.empty()) return Unscorable(refused);

  const AnswerSpan span = FindAnswer(item.completion(), item.prefill(), rubric);
  if (!span.found) {
    SetVerdict(Result::NO_ANSWER, span.reason, &j);
    return j;
  }
  const std::string_view answer =
      std::string_view(item.completion()).substr(span.begin, span.end - span.begin);
  j.extraction.set_rung(span.rung);
  j.extraction.set_begin(static_cast<uint32_t>(span.begin));
  j.extraction.set_end(static_cast<uint32_t>(span.end));
  j.extraction.set_answer(Utf8Excerpt(answer, kMostShownBytes));
  if (BoxesAgree(span, answer, rubric, &j)) CompareWithGolds(answer, golds, rubric, &j);
  return j;
}

}  // namespace grouper
