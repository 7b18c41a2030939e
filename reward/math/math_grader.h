// Judges numeric answers: it finds the answer in the completion, compares it with each gold and
// refuses what is ambiguous.
#pragma once

#include "reward/grader.h"

namespace grouper {

class MathGrader final : public Grader {
 public:
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override;
};

}  // namespace grouper
