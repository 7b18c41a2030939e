// Judges numeric answers: find the span, compare with each gold, refuse what is ambiguous.
#pragma once

#include "reward/grader.h"

namespace grouper {

class MathGrader final : public Grader {
 public:
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override;
};

}  // namespace grouper
