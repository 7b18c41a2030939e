// The quickstart's two tasks: calc, a chain of sums (`calc
// 14+15-9+2-8`), and fit, a program that maps two shown values (`fit f(2)=17, f(3)=22` -> `x*5+7`).
// Everything is a pure function of (seed, purpose, index). A problem whose key's hash is 0 mod 8 is
// held out of all training data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "policy/tokenizer/tokenizer.h"
#include "proto/trace.pb.h"

namespace grouper {

enum class TaskKind { kCalc, kFit };

struct TaskProblem {
  TaskKind kind = TaskKind::kCalc;
  std::vector<int> terms;  // calc: first value, then signed changes
  int target = 0;          // calc: the answer
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0, slope = 0, offset = 0;  // fit: f(x) = slope x + offset
  std::string statement;

  bool held_out() const;
  // The correct working, with lines joined by ';'.
  std::string Working() const;
  std::string Answer() const;
};

// The largest value in a question or its working.
inline constexpr int kLargestValue = 60;

// What a problem is drawn for. The purpose is part of the random object, so the draws of one
// purpose do not depend on those of another.
enum class TaskPurpose : uint64_t { kTrain = 1, kHeldOut = 2, kBase = 3, kDemonstration = 4 };
PhiloxSequence TaskRandom(uint64_t seed, TaskPurpose purpose, uint64_t index);

// A problem of the kind, held out or not as asked.
TaskProblem DrawProblem(TaskKind kind, bool held_out, PhiloxSequence* random);

// The prompt of a problem, with the facts that are needed to grade it, under the rubric "calc" or
// "fit".
Prompt MakeTaskPrompt(const TaskProblem& problem, const Tokenizer& tokenizer);
// Training prompt `ordinal`: calc or fit with equal chance.
Prompt TrainTaskPrompt(uint64_t seed, uint64_t ordinal, const Tokenizer& tokenizer);
// Distinct held-out prompts, calc and fit in turn, the same for every seed. There are few held-out
// problems of fit: kUser when count needs more than there are.
int64_t HeldOutFitProblems();
std::vector<Prompt> HeldOutPrompts(int64_t count, const Tokenizer& tokenizer);

}  // namespace grouper
