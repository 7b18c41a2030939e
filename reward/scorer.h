// One item, one result: checks the rubric, asks the right grader, computes the components and
// composes the reward = clamp(sum of weight * clamp(value)). What `serve` and `score` both call.
// Pure and thread-safe.
#pragma once

#include <span>
#include <string>

#include "reward/grader.h"

namespace grouper {

// kUser naming rubric and field: what cannot be scored by, or not as it was meant.
void CheckRubric(const Rubric& rubric);

class Scorer {
 public:
  // Graders outlive the scorer; code may be nullptr: code items are UNSCORABLE no_isolation.
  Scorer(const Grader* math, const Grader* code) : math_(math), code_(code) {}

  // A grader that throws makes the item INTERNAL. "length" is 0: see AddLength.
  reward::v1::ScoreResult Score(const reward::v1::ScoreItem& item, const Rubric& rubric,
                                const GradeBudget& budget) const;

 private:
  Judgement Judge(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const;

  const Grader* math_;
  const Grader* code_;
};

// Sets the components and the reward of a SCORED result. A component whose gate is not above 0, or
// gated off itself, is 0. Anything that is not finite, clamped or not, makes the result INTERNAL
// without a reward.
void ComposeReward(const reward::v1::ScoreItem& item, const Rubric& rubric, bool right,
                   double length, reward::v1::ScoreResult* result);

struct GroupMember {
  const reward::v1::ScoreItem* item;
  const Rubric* rubric;
  reward::v1::ScoreResult* result;
};
bool HasLength(const Rubric& rubric);
// Adds "length" to the results of one whole group and composes their rewards anew. What is not
// SCORED has left the group: it is not touched and its length does not count.
void AddLength(std::span<const GroupMember> group);

// SHA-256 of the rubric's deterministic serialization, hexadecimal; results carry its 32 bytes.
std::string RubricHash(const Rubric& rubric);

}  // namespace grouper
