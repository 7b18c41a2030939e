// Judges Python answers by running them in the jail, one process a submission: a right answer
// returns the expected JSON value for every case. Values are compared here, outside the jail.
#pragma once

#include "reward/code/result_cache.h"
#include "reward/grader.h"
#include "reward/jail/jail.h"

namespace grouper {

class CodeGrader final : public Grader {
 public:
  // jail outlives the grader.
  explicit CodeGrader(const Jail* jail) : jail_(jail), cache_(65536) {}
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override;

 private:
  Judgement Run(const std::string& program, const reward::v1::CodeProblem& problem,
                const Rubric& rubric, const GradeBudget& budget) const;
  const Jail* jail_;
  mutable ResultCache cache_;
};

// The text of the answer as a program: the wrap with {answer} replaced once, or the last fenced
// block, or all.
std::string ProgramOf(const std::string& answer, const reward::v1::CodeProblem& problem);

// Equal JSON values: numbers by value (1 equals 1.0), no number equals a truth value, lists in
// order, objects by key.
bool SameJson(const std::string& a, const std::string& b);

}  // namespace grouper
