#include "rl/data/tasks.h"

#include <set>

#include "base/error.h"

namespace grouper {
namespace {

constexpr uint64_t kHeldOutSeed = 42;

std::string Number(int n) { return std::to_string(n); }

// FNV-1a with a finisher, so that every bit of a short key reaches the low bits of the hash.
uint64_t HashOf(const std::string& text) {
  uint64_t h = 1469598103934665603ull;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9ull;
  return h ^ (h >> 32);
}

bool DrawCalc(PhiloxSequence* random, TaskProblem* p) {
  const int terms = static_cast<int>(random->Uniform(4, 6));
  int value = static_cast<int>(random->Uniform(1, 15));
  p->terms = {value};
  p->statement = "calc " + Number(value);
  bool fits = true;
  for (int i = 1; i < terms; ++i) {
    const int change = static_cast<int>(random->Uniform(1, 15));
    const bool minus = random->Uniform(0, 1) == 1 && value >= change;
    value += minus ? -change : change;
    p->terms.push_back(minus ? -change : change);
    p->statement += (minus ? "-" : "+") + Number(change);
    fits = fits && value <= kLargestValue;
  }
  p->target = value;
  return fits;
}

constexpr int kLargestX = 6, kLargestSlope = 9, kLargestOffset = 20;

// False when a value is too large to be shown.
bool SetFit(int x1, int slope, int offset, TaskProblem* p) {
  p->kind = TaskKind::kFit;
  p->x1 = x1;
  p->x2 = x1 + 1;
  p->slope = slope;
  p->offset = offset;
  p->y1 = p->slope * p->x1 + p->offset;
  p->y2 = p->slope * p->x2 + p->offset;
  p->statement = "fit f(" + Number(p->x1) + ")=" + Number(p->y1) + ", f(" + Number(p->x2) +
                 ")=" + Number(p->y2);
  return p->y2 <= kLargestValue;
}

bool DrawFit(PhiloxSequence* random, TaskProblem* p) {
  const int x1 = static_cast<int>(random->Uniform(1, kLargestX));
  const int slope = static_cast<int>(random->Uniform(1, kLargestSlope));
  const int offset = static_cast<int>(random->Uniform(0, kLargestOffset));
  return SetFit(x1, slope, offset, p);
}

}  // namespace

PhiloxSequence TaskRandom(uint64_t seed, TaskPurpose purpose, uint64_t index) {
  return PhiloxSequence(seed, RandomStream::kTaskGeneration,
                        static_cast<uint64_t>(purpose) << 56 | index);
}

bool TaskProblem::held_out() const {
  const std::string key = kind == TaskKind::kCalc
                              ? statement
                              : "f" + Number(slope) + "_" + Number(offset) + "_" + Number(x1);
  return HashOf(key) % 8 == 0;
}

std::string TaskProblem::Working() const {
  if (kind == TaskKind::kFit) {
    const int product = slope * x1;
    return Number(y2) + "-" + Number(y1) + "=" + Number(slope) + ";" + Number(slope) + "*" +
           Number(x1) + "=" + Number(product) + ";" + Number(y1) + "-" + Number(product) + "=" +
           Number(offset);
  }
  std::string lines;
  int value = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    lines += (i > 1 ? ";" : "") + Number(value) + (terms[i] < 0 ? "-" : "+") +
             Number(std::abs(terms[i])) + "=";
    value += terms[i];
    lines += Number(value);
  }
  return lines;
}

std::string TaskProblem::Answer() const {
  return kind == TaskKind::kCalc ? Number(target) : "x*" + Number(slope) + "+" + Number(offset);
}

TaskProblem DrawProblem(TaskKind kind, bool held_out, PhiloxSequence* random) {
  for (int tries = 0; tries < 100000; ++tries) {
    TaskProblem p;
    p.kind = kind;
    const bool fits = kind == TaskKind::kCalc ? DrawCalc(random, &p) : DrawFit(random, &p);
    if (fits && p.held_out() == held_out) return p;
  }
  ThrowInternal("[tasks] no problem was found in 100,000 draws");
}

Prompt MakeTaskPrompt(const TaskProblem& problem, const Tokenizer& tokenizer) {
  Prompt prompt;
  prompt.set_text(problem.statement);
  prompt.add_ids(static_cast<uint32_t>(tokenizer.bos()));
  for (int32_t id : tokenizer.Encode(problem.statement, false)) {
    prompt.add_ids(static_cast<uint32_t>(id));
  }
  if (problem.kind == TaskKind::kCalc) {
    prompt.set_data_source("tasks:calc");
    prompt.set_rubric("calc");
    prompt.mutable_math()->add_golds(problem.Answer());
    return prompt;
  }
  prompt.set_data_source("tasks:fit");
  prompt.set_rubric("fit");
  prompt.mutable_code()->set_language("python");
  reward::v1::CodeProblem* code = prompt.mutable_code()->mutable_problem();
  code->set_wrap("def f(x):\n    return {answer}");
  code->set_entry("f");
  // The two values that the question shows, then five that it does not.
  for (int x : {problem.x1, problem.x2, 0, 3, 7, 11, 20}) {
    reward::v1::CodeCase* test = code->add_cases();
    test->set_arguments_json("[" + Number(x) + "]");
    test->set_expected_json(Number(problem.slope * x + problem.offset));
  }
  return prompt;
}

Prompt TrainTaskPrompt(uint64_t seed, uint64_t ordinal, const Tokenizer& tokenizer) {
  PhiloxSequence random = TaskRandom(seed, TaskPurpose::kTrain, ordinal);
  const TaskKind kind = random.Uniform(0, 1) == 0 ? TaskKind::kCalc : TaskKind::kFit;
  Prompt prompt = MakeTaskPrompt(DrawProblem(kind, false, &random), tokenizer);
  prompt.set_ordinal(ordinal);
  prompt.set_task_id(prompt.data_source() + ":" + std::to_string(ordinal));
  return prompt;
}

int64_t HeldOutFitProblems() {
  int64_t count = 0;
  for (int x1 = 1; x1 <= kLargestX; ++x1) {
    for (int slope = 1; slope <= kLargestSlope; ++slope) {
      for (int offset = 0; offset <= kLargestOffset; ++offset) {
        TaskProblem p;
        if (SetFit(x1, slope, offset, &p) && p.held_out()) ++count;
      }
    }
  }
  return count;
}

std::vector<Prompt> HeldOutPrompts(int64_t count, const Tokenizer& tokenizer) {
  const int64_t most = 2 * HeldOutFitProblems() + 1;
  USER_CHECK(count >= 0 && count <= most,
             "[tasks] eval.questions must be from 0 to the number of held-out problems",
             Named("eval.questions", count), Named("held_out_problems", most));
  std::vector<Prompt> prompts;
  std::set<std::string> seen;
  PhiloxSequence random = TaskRandom(kHeldOutSeed, TaskPurpose::kHeldOut, 0);
  while (static_cast<int64_t>(prompts.size()) < count) {
    const TaskKind kind = prompts.size() % 2 == 0 ? TaskKind::kCalc : TaskKind::kFit;
    const TaskProblem problem = DrawProblem(kind, true, &random);
    if (!seen.insert(problem.statement).second) continue;
    Prompt prompt = MakeTaskPrompt(problem, tokenizer);
    prompt.set_ordinal(prompts.size());
    prompt.set_task_id(prompt.data_source() + ":held-out:" + std::to_string(prompts.size()));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace grouper
