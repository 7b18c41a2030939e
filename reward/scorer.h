// One item, one result: checks the rubric, asks the right grader, computes the components and
// composes the reward = clamp(sum of weight * clamp(value)). What `serve` and `score` both call.
// Pure and thread-safe.
#pragma once

#include <string>

#include "reward/grader.h"

namespace grouper {

// kUser naming rubric and field: unknown component, missing gate, NaN weight, overlong without
// lengths.
void CheckRubric(const Rubric& rubric);

class Scorer {
 public:
  // Graders outlive the scorer; code may be nullptr: code items are UNSCORABLE no_isolation.
  Scorer(const Grader* math, const Grader* code) : math_(math), code_(code) {}

  reward::v1::ScoreResult Score(const reward::v1::ScoreItem& item, const Rubric& rubric,
                                const GradeBudget& budget) const;

 private:
  Judgement Judge(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const;

  const Grader* math_;
  const Grader* code_;
};

// Sets the components and the reward of a result whose verdict stands; `extra` adds values that
// need the whole group ("length"). A value that is not finite makes the result INTERNAL without a
// reward.
void ComposeReward(const reward::v1::ScoreItem& item, const Rubric& rubric, bool right,
                   const google::protobuf::Map<std::string, double>& extra,
                   reward::v1::ScoreResult* result);

// SHA-256 of the rubric's deterministic serialization.
std::string RubricHash(const Rubric& rubric);

}  // namespace grouper
