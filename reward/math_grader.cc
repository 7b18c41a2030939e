#include "reward/math_grader.h"

#include "reward/math/answer_span.h"
#include "reward/math/equivalence.h"
#include "reward/math/number.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

Judgement Unscorable(const char* reason) {
  Judgement j;
  j.status = Result::UNSCORABLE;
  j.verdict = Result::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

}  // namespace

Judgement MathGrader::Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                            const GradeBudget&) const {
  const auto& golds = item.math().golds();
  if (golds.empty()) return Unscorable("gold_missing");
  // A gold that cannot equal itself cannot judge anybody.
  for (const std::string& gold : golds) {
    if (Compare(gold, gold, rubric).kind != Equivalence::Kind::kEqual) {
      return Unscorable("gold_unparsable");
    }
  }
  Judgement j;
  const AnswerSpan span = FindAnswer(item.completion(), item.prefill(), rubric);
  if (!span.found) {
    j.verdict = Result::NO_ANSWER;
    j.reason = span.reason;
    return j;
  }
  const std::string answer = item.completion().substr(span.begin, span.end - span.begin);
  j.extraction.set_rung(span.rung);
  j.extraction.set_begin(static_cast<uint32_t>(span.begin));
  j.extraction.set_end(static_cast<uint32_t>(span.end));
  j.extraction.set_answer(answer.substr(0, 1024));
  for (const std::string& other : span.other_boxes) {
    if (FoldText(other) == FoldText(answer)) continue;
    if (Compare(other, answer, rubric).kind == Equivalence::Kind::kEqual) continue;
    j.verdict = Result::AMBIGUOUS;
    j.reason = "boxes_differ";
    return j;
  }
  Equivalence::Kind kind = Equivalence::Kind::kDifferent;
  bool unparsable = false, over_budget = false, undecided = false;
  std::string proof;
  for (const std::string& gold : golds) {
    const Equivalence e = Compare(answer, gold, rubric);
    unparsable = unparsable || e.kind == Equivalence::Kind::kAnswerUnparsable;
    over_budget = over_budget || e.kind == Equivalence::Kind::kAnswerOverBudget;
    undecided = undecided || e.kind == Equivalence::Kind::kGoldUnparsable;
    proof = e.proof;
    kind = e.kind;
    if (kind == Equivalence::Kind::kEqual) break;
  }
  if (kind == Equivalence::Kind::kEqual) {
    j.verdict = Result::CORRECT;
    j.reason = proof;
  } else if (undecided) {
    return Unscorable("gold_unparsable");
  } else if (over_budget) {
    j.verdict = Result::OVER_BUDGET;
    j.reason = "over_budget";
    j.flags.push_back("over_budget");
  } else if (unparsable) {
    j.verdict = Result::UNPARSABLE;
    j.reason = "unparsable";
  } else {
    j.verdict = Result::WRONG;
    j.reason = proof.empty() ? "different" : proof;
  }
  return j;
}

}  // namespace grouper
