#include "rl/data/task_documents.h"

#include <algorithm>

namespace grouper {
namespace {

constexpr double kSkip = 0.5;   // demonstrations that do not think
constexpr double kStop = 0.12;  // chance after each calc line to stop early
constexpr int kFactLines = 6;

std::string Number(int64_t n) { return std::to_string(n); }

// One true line: in half of the cases a sum or difference with a small number, otherwise a
// difference of close numbers or a product.
std::string TrueLine(PhiloxSequence* random) {
  const int64_t kind = random->Uniform(0, 3);
  if (kind < 2) {
    int64_t a = random->Uniform(0, kLargestValue);
    const int64_t b = random->Uniform(1, 15);
    const bool minus = random->Uniform(0, 1) == 1 && a >= b;
    if (!minus && a + b > kLargestValue) a = kLargestValue - b;
    return Number(a) + (minus ? "-" : "+") + Number(b) + "=" + Number(minus ? a - b : a + b);
  }
  if (kind == 2) {
    const int64_t a = random->Uniform(0, kLargestValue);
    const bool near = random->Uniform(0, 1) == 1;
    const int64_t b = random->Uniform(near ? std::max<int64_t>(0, a - 12) : 0, a);
    return Number(a) + "-" + Number(b) + "=" + Number(a - b);
  }
  const int64_t a = random->Uniform(1, 9);
  const int64_t b = random->Uniform(1, std::min<int64_t>(9, kLargestValue / a));
  return Number(a) + "*" + Number(b) + "=" + Number(a * b);
}

TaskProblem DrawTraining(PhiloxSequence* random) {
  const TaskKind kind = random->Uniform(0, 1) == 0 ? TaskKind::kCalc : TaskKind::kFit;
  return DrawProblem(kind, false, random);
}

Document FromText(const std::string& statement, const std::string& rest,
                  const Tokenizer& tokenizer) {
  Document d;
  d.ids.push_back(tokenizer.bos());
  for (int32_t id : tokenizer.Encode(statement, false)) d.ids.push_back(id);
  d.loss_mask.assign(d.ids.size(), 0);
  for (int32_t id : tokenizer.Encode(rest, true)) d.ids.push_back(id);
  d.ids.push_back(tokenizer.eos());
  d.loss_mask.resize(d.ids.size(), 1);
  return d;
}

}  // namespace

Document MakeBaseDocument(uint64_t seed, uint64_t index, const Tokenizer& tokenizer) {
  PhiloxSequence random = TaskRandom(seed, TaskPurpose::kBase, index);
  if (random.Uniform(0, 1) == 1) {
    const TaskProblem problem = DrawTraining(&random);
    std::string rest = ";" + problem.Working();
    // The base text includes the composed program, because the cold start alone does not teach it
    // reliably.
    if (problem.kind == TaskKind::kFit) rest += ";" + problem.Answer();
    return FromText(problem.statement, rest, tokenizer);
  }
  std::string text;
  for (int line = 0; line < kFactLines; ++line) text += (line > 0 ? ";" : "") + TrueLine(&random);
  Document d = FromText("", text, tokenizer);
  // The text after an equals sign is determined by the text before it; the rest is chance.
  const int32_t equals = tokenizer.Encode("=", false)[0];
  for (size_t i = 1; i < d.ids.size(); ++i) d.loss_mask[i] = d.ids[i - 1] == equals ? 1 : 0;
  return d;
}

Demonstration MakeDemonstration(uint64_t seed, uint64_t index, const Tokenizer& tokenizer) {
  PhiloxSequence random = TaskRandom(seed, TaskPurpose::kDemonstration, index);
  const TaskProblem problem = DrawTraining(&random);
  const bool skips = random.Unit() < kSkip;
  std::string thought, answer;
  if (problem.kind == TaskKind::kFit) {
    answer = skips ? "x*" + Number(random.Uniform(1, 9)) + "+" + Number(random.Uniform(0, 20))
                   : problem.Answer();
    if (!skips) thought = problem.Working();
  } else if (skips) {
    answer =
        Number(std::clamp<int64_t>(problem.target + random.Uniform(-12, 12), 0, kLargestValue));
  } else {
    int value = problem.terms[0];
    for (size_t i = 1; i < problem.terms.size(); ++i) {
      const int change = problem.terms[i];
      thought += (i > 1 ? ";" : "") + Number(value) + (change < 0 ? "-" : "+") +
                 Number(std::abs(change)) + "=" + Number(value + change);
      value += change;
      if (i + 1 < problem.terms.size() && random.Unit() < kStop) break;
    }
    answer = Number(value);
  }
  Demonstration demonstration;
  demonstration.right = answer == problem.Answer();
  demonstration.document =
      FromText(problem.statement, "<think>" + thought + "</think><answer>" + answer + "</answer>",
               tokenizer);
  return demonstration;
}

}  // namespace grouper
