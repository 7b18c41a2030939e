#include "rl/command/plan_table.h"

#include <algorithm>
#include <cstdio>

#include "base/io/json.h"
#include "policy/policy_config.h"
#include "proto/textproto.h"
#include "rl/data/prompt_set.h"

namespace grouper {
namespace {

constexpr int64_t kMostDrawn = 4096;

// 10400 -> 10,400
std::string Number(int64_t value) {
  std::string digits = std::to_string(value);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string Real(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string Mebibytes(int64_t bytes) {
  return Real("%.1f MiB", static_cast<double>(bytes) / 0x1p20);
}

const char* NameOf(MemoryRow::When when) {
  switch (when) {
    case MemoryRow::When::kFromStart:
      return "from the start";
    case MemoryRow::When::kOnceReached:
      return "once a length is reached";
    case MemoryRow::When::kInStep:
      return "within a step";
    case MemoryRow::When::kWhileSaving:
      return "while saving";
  }
  return "";
}

// Builds a text of two columns.
class Table {
 public:
  void Title(const std::string& text) { text_ += (text_.empty() ? "" : "\n") + text + "\n"; }
  void Row(const std::string& name, const std::string& value) {
    char line[96];
    std::snprintf(line, sizeof(line), "  %-32s ", name.c_str());
    text_ += line + value + "\n";
  }
  void Bytes(const std::string& name, int64_t bytes, const std::string& note) {
    char value[96];
    std::snprintf(value, sizeof(value), "%14s%s", Mebibytes(bytes).c_str(),
                  note.empty() ? "" : "  ");
    Row(name, value + note);
  }
  std::string text() const { return text_.substr(0, text_.size() - 1); }

 private:
  std::string text_;
};

double Epochs(const SchedulePlan& plan, const RunFacts& facts) {
  return static_cast<double>(plan.questions) / static_cast<double>(facts.rows);
}

std::string ReferenceWords(const Config& config, const SchedulePlan& plan) {
  if (!plan.reference) return "none: there is no KL term, so it is neither loaded nor computed";
  if (config.reference().refresh_every() == 0) return "never refreshed";
  return Number(plan.reference_refreshes) + " refreshes, one every " +
         Number(config.reference().refresh_every()) + " updates";
}

void AddSchedule(const Config& config, const SchedulePlan& plan, const RunFacts& facts,
                 Table* table) {
  table->Title("schedule");
  table->Row("steps", Number(plan.steps));
  table->Row("updates", Number(plan.updates) + ", " + Number(plan.minibatches) + " per step");
  table->Row("outputs per step", Number(plan.outputs_per_step) + ": " +
                                     Number(config.prompts_per_step()) + " questions x " +
                                     Number(config.group_size()));
  table->Row("outputs per update", Number(plan.outputs_per_update));
  for (const SchedulePlan::Rate& rate : plan.rates) {
    table->Row("lr, " + rate.mark, Real("%.6g", rate.lr) + " at update " + Number(rate.update + 1));
  }
  for (const SchedulePlan::Cap& cap : plan.caps) {
    table->Row("most new tokens", Number(cap.max_new_tokens) + " from step " +
                                      Number(cap.from_step) + ", after " + Number(cap.from_update) +
                                      " updates");
  }
  table->Row("reference", ReferenceWords(config, plan));
  table->Row("evaluations", plan.evaluations == 0
                                ? "none: there are no held-out questions"
                                : Number(plan.evaluations) + ", of " +
                                      Number(facts.eval_questions) + " questions, " +
                                      Number(plan.answers_per_evaluation) + " answers each time");
  table->Row("checkpoints", Number(plan.checkpoints));
  table->Row("most tokens per step", Number(plan.most_new_tokens) + " sampled, " +
                                         Number(plan.most_step_tokens) + " with prompts");
  std::string drawn = Number(plan.questions);
  if (plan.most_questions > plan.questions) {
    drawn += " or more (dynamic sampling: at most " + Number(plan.most_questions) + ")";
  }
  drawn += facts.rows == 0
               ? ", generated"
               : " of " + Number(facts.rows) + ", " + Real("%.2f epochs", Epochs(plan, facts));
  table->Row("questions drawn", drawn);
}

}  // namespace

RunFacts FactsOf(const Config& config, const PromptSet& prompts, int threads) {
  RunFacts facts;
  facts.rows = prompts.rows();
  facts.threads = threads;
  const int64_t draws =
      facts.rows > 0
          ? facts.rows
          : std::clamp<int64_t>(config.steps() * config.prompts_per_step(), 1, kMostDrawn);
  facts.shortest_prompt = config.policy().max_positions();
  for (int64_t i = 0; i < draws; ++i) {
    const int64_t tokens = prompts.At(static_cast<uint64_t>(i)).ids_size();
    facts.shortest_prompt = std::min(facts.shortest_prompt, tokens);
    facts.longest_prompt = std::max(facts.longest_prompt, tokens);
  }
  for (const Prompt& prompt : prompts.EvalPrompts(config.eval().questions())) {
    ++facts.eval_questions;
    facts.longest_eval_prompt = std::max<int64_t>(facts.longest_eval_prompt, prompt.ids_size());
  }
  return facts;
}

std::string PlanText(const Config& config, const RunFacts& facts, int64_t machine_bytes) {
  const SchedulePlan schedule = PlanSchedule(config, facts);
  const MemoryPlan memory = PlanMemory(config, facts);
  Table table;
  AddSchedule(config, schedule, facts, &table);
  table.Title("memory, prompts of " + Number(facts.shortest_prompt) + " to " +
              Number(facts.longest_prompt) + " tokens, " + Number(facts.threads) + " threads, " +
              Number(ParameterCount(config.policy())) + " parameters, " +
              Number(ActiveParameterCount(config.policy())) + " active per token");
  for (const MemoryRow& row : memory.rows) {
    table.Bytes(row.name, row.bytes,
                row.when == MemoryRow::When::kFromStart ? "" : NameOf(row.when));
  }
  table.Bytes("most at any time", memory.total, "");
  if (machine_bytes > 0) table.Bytes("this machine", machine_bytes, "");
  return table.text();
}

std::string PlanJson(const Config& config, const RunFacts& facts, int64_t machine_bytes) {
  const SchedulePlan s = PlanSchedule(config, facts);
  const MemoryPlan m = PlanMemory(config, facts);
  JsonWriter w;
  w.BeginObject().Key("schedule").BeginObject();
  w.Key("steps").Value(s.steps).Key("updates").Value(s.updates);
  w.Key("minibatches").Value(s.minibatches);
  w.Key("outputs_per_step").Value(s.outputs_per_step);
  w.Key("outputs_per_update").Value(s.outputs_per_update);
  w.Key("lr").BeginArray();
  for (const SchedulePlan::Rate& rate : s.rates) {
    w.BeginObject().Key("mark").Value(rate.mark).Key("update").Value(rate.update);
    w.Key("lr").Value(rate.lr).EndObject();
  }
  w.EndArray().Key("max_new_tokens").BeginArray();
  for (const SchedulePlan::Cap& cap : s.caps) {
    w.BeginObject().Key("from_step").Value(cap.from_step).Key("from_update").Value(cap.from_update);
    w.Key("max_new_tokens").Value(cap.max_new_tokens).EndObject();
  }
  w.EndArray().Key("reference").Value(s.reference);
  w.Key("reference_refreshes").Value(s.reference_refreshes);
  w.Key("evaluations").Value(s.evaluations).Key("eval_questions").Value(facts.eval_questions);
  w.Key("answers_per_evaluation").Value(s.answers_per_evaluation);
  w.Key("checkpoints").Value(s.checkpoints);
  w.Key("most_new_tokens_per_step").Value(s.most_new_tokens);
  w.Key("most_tokens_per_step").Value(s.most_step_tokens);
  w.Key("questions").Value(s.questions).Key("most_questions").Value(s.most_questions);
  w.Key("rows").Value(facts.rows).Key("epochs");
  if (facts.rows > 0) {
    w.Value(Epochs(s, facts));
  } else {
    w.Null();
  }
  w.EndObject().Key("memory").BeginObject().Key("parts").BeginArray();
  for (const MemoryRow& row : m.rows) {
    w.BeginObject().Key("name").Value(row.name).Key("bytes").Value(row.bytes);
    w.Key("when").Value(NameOf(row.when)).EndObject();
  }
  w.EndArray().Key("from_start_bytes").Value(m.from_start);
  w.Key("total_bytes").Value(m.total).Key("machine_bytes").Value(machine_bytes);
  w.Key("fits").Value(machine_bytes == 0 || m.total <= machine_bytes).EndObject();
  w.Key("parameters").Value(ParameterCount(config.policy()));
  w.Key("config").Value(ToTextproto(config)).EndObject();
  return w.text();
}

}  // namespace grouper
