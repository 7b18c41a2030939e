#include "rl/data/prompt_set.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/data/tasks.h"

namespace grouper {
namespace {

constexpr const char* kTasks = "tasks:";
constexpr const char* kCalcAndFit = "tasks:calc,fit";
constexpr uint64_t kGeneratedToCheck = 64;

void CheckRubric(const Config& config) {
  USER_CHECK(config.reward().rubric_size() > 0,
             "[data] reward.rubric is empty: name the scoring rules");
}

bool IsGenerated(const std::string& path, const char* setting) {
  if (path.rfind(kTasks, 0) != 0) return false;
  USER_CHECK(path == kCalcAndFit,
             std::string("[data] ") + setting + " must be a file or " + kCalcAndFit,
             Named(setting, path));
  return true;
}

}  // namespace

void CheckTaskRubrics(const std::string& data, const Config& config) {
  if (data.rfind(kTasks, 0) != 0) return;
  for (const char* name : {"calc", "fit"}) {
    const auto& rubrics = config.reward().rubric();
    USER_CHECK(std::any_of(rubrics.begin(), rubrics.end(),
                           [&](const Rubric& rubric) { return rubric.name() == name; }),
               "[config] data.train and data.eval name the built-in tasks, which are scored by the "
               "rubrics calc and fit; add the missing one as in examples/quickstart_rl.textproto, "
               "or set both to files (data.eval="
               " for no evaluation)",
               Named("missing_rubric", name), Named("data", data));
  }
}

Prompt PromptOfRow(const DataRow& row, uint64_t ordinal) {
  Prompt prompt;
  prompt.set_ordinal(ordinal);
  // Only the file's name, so that a trace does not depend on the folder of the data.
  const std::string task_id = row.where.substr(row.where.find_last_of('/') + 1);
  prompt.set_task_id(task_id);
  prompt.set_data_source(task_id.substr(0, task_id.rfind(':')));
  prompt.set_text(row.prompt);
  prompt.set_prefill(row.prefill);
  prompt.mutable_ids()->Add(row.prompt_ids.begin(), row.prompt_ids.end());
  for (const std::string& gold : row.golds) prompt.mutable_math()->add_golds(gold);
  prompt.set_rubric(row.rubric);
  return prompt;
}

PromptSet::PromptSet(const Config& config, const Tokenizer& tokenizer)
    : config_(config), tokenizer_(tokenizer) {
  generated_ = IsGenerated(config.data().train(), "data.train");
  if (generated_) return;
  CheckRubric(config);
  train_ = ReadDataRows({.path = config.data().train(),
                         .setting = "data.train",
                         .part = RowPart::kTraining,
                         .room_tokens = LongestCap(config.sampling())},
                        config, tokenizer);
}

Prompt PromptSet::At(uint64_t ordinal) const {
  if (generated_) return TrainTaskPrompt(config_.seed(), ordinal, tokenizer_);
  const uint64_t rows = train_.rows.size(), epoch = ordinal / rows;
  if (epoch != epoch_) {
    order_ = EpochOrder(config_.seed(), epoch, train_.rows.size());
    epoch_ = epoch;
  }
  return PromptOfRow(train_.rows[order_[ordinal % rows]], ordinal);
}

std::vector<Prompt> PromptSet::TasksToCheck(int64_t most) const {
  std::vector<Prompt> tasks;
  if (generated_) {
    for (uint64_t i = 0; i < kGeneratedToCheck; ++i) tasks.push_back(At(i));
    return tasks;
  }
  const int64_t count = std::min(most, rows());
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(i * rows() / count);  // rows * most fits 64 bits
    tasks.push_back(PromptOfRow(train_.rows[row], static_cast<uint64_t>(i)));
  }
  return tasks;
}

std::vector<Prompt> PromptSet::EvalPrompts(int64_t n) const {
  DataRequest request{.path = config_.data().eval(),
                      .setting = "data.eval",
                      .room_tokens = EvalSampling(config_).max_new_tokens()};
  if (request.path.empty()) {
    if (generated_ || config_.data().holdout_every() == 0) return {};
    request.path = config_.data().train();
    request.setting = "data.train";
    request.part = RowPart::kHeldOut;
  } else if (IsGenerated(config_.data().eval(), "data.eval")) {
    return HeldOutPrompts(n > 0 ? n : 200, tokenizer_);
  }
  CheckRubric(config_);
  Config config = config_;
  config.mutable_data()->set_max_rows(n);
  const DataRows rows = ReadDataRows(request, config, tokenizer_);
  std::vector<Prompt> prompts;
  for (const DataRow& row : rows.rows) {
    prompts.push_back(PromptOfRow(row, prompts.size()));
  }
  return prompts;
}

std::vector<std::string> PromptSet::UnusedRubrics(std::span<const Prompt> held_out) const {
  std::set<std::string> used;
  if (generated_) used = {"calc", "fit"};
  for (const DataRow& row : train_.rows) used.insert(row.rubric);
  for (const Prompt& prompt : held_out) used.insert(prompt.rubric());
  std::vector<std::string> unused;
  for (const Rubric& rubric : config_.reward().rubric()) {
    if (used.count(rubric.name()) == 0) unused.push_back(rubric.name());
  }
  return unused;
}

}  // namespace grouper
