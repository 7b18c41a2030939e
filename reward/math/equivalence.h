// Is an answer equal to a gold? Exact rationals under the rubric's tolerance and unit rules; text
// by folded equality. Symmetric but for the tolerance, which belongs to the gold (rewards.md 4.5).
#pragma once

#include <string>
#include <string_view>

#include "proto/rubric.pb.h"

namespace grouper {

struct Equivalence {
  enum class Kind {
    kEqual,
    kDifferent,
    kAnswerUnparsable,
    kAnswerOverBudget,
    kGoldUnparsable,  // the task's fault: UNSCORABLE
  };
  Kind kind = Kind::kDifferent;
  std::string proof;  // identical, exact, tolerance, text
};

Equivalence Compare(std::string_view answer, std::string_view gold, const Rubric& rubric);

}  // namespace grouper
