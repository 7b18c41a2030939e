// Scores one item: it checks the rubric, asks the right grader, computes the components and
// composes the reward = clamp(sum of weight * clamp(value)) (docs/algorithms.md 2). The commands
// `serve` and `score` both use it. Pure and thread-safe.
#pragma once

#include <span>
#include <string>

#include "reward/grader.h"

namespace grouper {

class Scorer {
 public:
  // Graders outlive the scorer. code may be nullptr; then programs are UNSCORABLE no_isolation.
  Scorer(const Grader* math, const Grader* code) : math_(math), code_(code) {}

  // An item whose grader throws is INTERNAL. With budget.resume the status may be
  // STATUS_UNSPECIFIED (see GradeBudget). The component "length" is 0 here; AddLength sets it.
  reward::v1::ScoreResult Score(const reward::v1::ScoreItem& item, const Rubric& rubric,
                                const GradeBudget& budget) const;

 private:
  Judgement Judge(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const;

  const Grader* math_;
  const Grader* code_;
};

// Sets the components and the reward of a SCORED result. A component is 0 if its gate is not above
// 0 or is closed itself. If anything is not finite, even before a clamp, the result becomes
// INTERNAL and has no reward.
void ComposeReward(const reward::v1::ScoreItem& item, const Rubric& rubric, bool right,
                   double length, reward::v1::ScoreResult* result);

struct GroupMember {
  const reward::v1::ScoreItem* item;
  const Rubric* rubric;
  reward::v1::ScoreResult* result;
};
bool HasLength(const Rubric& rubric);
// Adds "length" to the results of one whole group and composes their rewards again. Results that
// are not SCORED have left the group: they are not changed, and their lengths do not count.
void AddLength(std::span<const GroupMember> group);

// The SHA-256 of the rubric's deterministic serialization in hexadecimal; results carry its 32
// bytes.
std::string RubricHash(const Rubric& rubric);

}  // namespace grouper
