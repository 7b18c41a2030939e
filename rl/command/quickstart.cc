#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "proto/textproto.h"
#include "rl/algorithm/profile.h"
#include "rl/algorithm/setting_notes.h"
#include "rl/algorithm/verdict.h"
#include "rl/command/quickstart_config.h"
#include "rl/command/run_options.h"
#include "rl/experience/task_check.h"
#include "rl/run/resume.h"
#include "rl/training/sft.h"
#include "rl/training/trainer.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

// What the report needs of an evaluation. It is stored in the run folder, so that a resume need not
// repeat the evaluation.
struct EvalSummary {
  double pass_at_1 = 0;
  double greedy = 0;
  std::vector<std::string> greedy_texts;
  std::vector<bool> greedy_right;
};

EvalSummary Summarize(const EvalResult& result) {
  EvalSummary summary{result.pass_at_1, result.greedy, {}, {}};
  for (const EvalResult::GreedyAnswer& answer : result.greedy_answers) {
    summary.greedy_texts.push_back(answer.text);
    summary.greedy_right.push_back(answer.right);
  }
  return summary;
}

void StoreSummary(const std::string& file, const EvalSummary& summary) {
  JsonWriter w;
  w.BeginObject().Key("pass_at_1").Value(summary.pass_at_1).Key("greedy").Value(summary.greedy);
  w.Key("greedy_texts").BeginArray();
  for (const std::string& text : summary.greedy_texts) w.Value(text);
  w.EndArray().Key("greedy_right").BeginArray();
  for (bool right : summary.greedy_right) w.Value(right);
  w.EndArray().EndObject();
  PublishFile(file, w.text() + "\n");
}

EvalSummary ReadSummary(const std::string& file) {
  const Json json = ParseJson(ReadFile(file, "evaluation", 1 << 24), file);
  EvalSummary summary;
  summary.pass_at_1 = json.Number("pass_at_1", file);
  summary.greedy = json.Number("greedy", file);
  for (const Json& text : json.At("greedy_texts", file).items) {
    summary.greedy_texts.push_back(text.text);
  }
  for (const Json& right : json.At("greedy_right", file).items) {
    summary.greedy_right.push_back(right.boolean);
  }
  return summary;
}

struct RunTotals {
  std::vector<double> rewards;
  int64_t checked_tokens = 0;
  int64_t mismatch = 0;
  int64_t tasks = 0, tasks_not_judged = 0;
  double seconds = 0;
};

void AddMetrics(const std::string& folder, RunTotals* totals) {
  JsonLinesReader rows(JoinPath(folder, "metrics.jsonl"), "metrics");
  for (Json row; rows.Next(&row);) {
    if (const Json* seconds = row.Find("time.step_seconds")) totals->seconds += seconds->number;
    if (row.Find("reward.scored") == nullptr) continue;  // a stage of supervised training
    if (const Json* mean = row.Find("reward.mean")) totals->rewards.push_back(mean->number);
    totals->tasks += row.Integer("group.count", rows.where());
    totals->tasks_not_judged += row.Integer("reward.tasks_not_judged", rows.where());
    totals->checked_tokens += row.Integer("check.tokens", rows.where());
    for (const char* key : {"check.logprob_mismatch", "check.expert_mismatch",
                            "check.kept_set_mismatch", "check.ratio_not_one", "check.nonfinite"}) {
      totals->mismatch += row.Integer(key, rows.where());
    }
  }
}

// Draws the mean reward with block characters, in at most 50 columns and 8 rows.
void PrintChart(bool json, const std::vector<double>& rewards) {
  if (rewards.empty()) return;
  const size_t columns = std::min<size_t>(50, rewards.size());
  std::vector<double> means;
  for (size_t c = 0; c < columns; ++c) {
    const size_t begin = rewards.size() * c / columns;
    const size_t end = std::max(begin + 1, rewards.size() * (c + 1) / columns);
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += rewards[i];
    means.push_back(sum / static_cast<double>(end - begin));
  }
  const double low = *std::min_element(means.begin(), means.end());
  const double high = std::max(*std::max_element(means.begin(), means.end()), low + 1e-9);
  Say(json, "\nmean reward, steps 1 to " + std::to_string(rewards.size()));
  for (int row = 7; row >= 0; --row) {
    char label[16];
    std::snprintf(label, sizeof(label), "%6.2f ", low + (high - low) * (row + 0.5) / 8);
    std::string line = label;
    for (double mean : means) line += (mean - low) / (high - low) * 8 > row ? "\u2588" : " ";
    Say(json, line);
  }
}

// Shows, for each kind of task, the first question that was answered wrong before and right after.
void PrintExamples(bool json, const std::vector<Prompt>& questions, const EvalSummary& before,
                   const EvalSummary& after) {
  Say(json, "\nheld-out questions, greedy answers before and after RL");
  for (const bool code : {false, true}) {
    size_t chosen = questions.size();
    for (size_t i = 0; i < questions.size() && i < after.greedy_texts.size(); ++i) {
      if (questions[i].has_code() != code) continue;
      if (chosen == questions.size()) chosen = i;
      if (before.greedy_right[i] || !after.greedy_right[i]) continue;
      chosen = i;
      break;
    }
    if (chosen == questions.size()) continue;
    const auto mark = [](bool right) { return right ? "right" : "wrong"; };
    Say(json, "  " + EscapeForTerminal(questions[chosen].text()));
    Say(json, std::string("    before (") + mark(before.greedy_right[chosen]) +
                  "): " + EscapeForTerminal(before.greedy_texts[chosen]));
    Say(json, std::string("    after  (") + mark(after.greedy_right[chosen]) +
                  "): " + EscapeForTerminal(after.greedy_texts[chosen]));
  }
}

void PrintReport(const QuickstartOptions& options, const std::string& rl,
                 const std::vector<Prompt>& questions, const RunTotals& totals,
                 const EvalSummary& before, const EvalSummary& after, const std::string& sha256) {
  PrintChart(options.json, totals.rewards);
  PrintExamples(options.json, questions, before, after);
  char line[320];
  std::snprintf(line, sizeof(line),
                "\nheld-out pass@1 at temperature 1: %.3f before RL, %.3f after; greedy: %.3f "
                "before, %.3f after\n"
                "sampler and learner: %ld tokens compared, %ld mismatches; %.0f s of training",
                before.pass_at_1, after.pass_at_1, before.greedy, after.greedy,
                static_cast<long>(totals.checked_tokens), static_cast<long>(totals.mismatch),
                totals.seconds);
  Say(options.json, line);
  if (totals.tasks_not_judged > 0) {
    Say(options.json, std::to_string(totals.tasks_not_judged) + " of " +
                          std::to_string(totals.tasks) +
                          " training tasks were not judged and taught nothing; the figures above "
                          "leave out what was not judged");
  }
  Say(options.json, "weights_sha256 " + sha256);
  Say(options.json,
      "\nto look further, run:\n  grouper-trace stats " + rl + "\n  grouper-trace show " + rl +
          " --step 0 --group 0 --color log_prob\n  tensorboard --logdir " + options.run);
}

void PrintJson(uint64_t seed, const RunTotals& totals, const EvalSummary& before,
               const EvalSummary& after, const std::string& sha256) {
  JsonWriter w;
  w.BeginObject().Key("seed").Value(seed);
  w.Key("pass_at_1_before").Value(before.pass_at_1);
  w.Key("pass_at_1_after").Value(after.pass_at_1);
  w.Key("greedy_before").Value(before.greedy);
  w.Key("greedy_after").Value(after.greedy);
  w.Key("mismatch").Value(totals.mismatch);
  w.Key("checked_tokens").Value(totals.checked_tokens);
  w.Key("tasks_not_judged").Value(totals.tasks_not_judged);
  w.Key("train_seconds").Value(totals.seconds);
  w.Key("weights_sha256").Value(sha256);
  w.EndObject();
  std::printf("%s\n", w.text().c_str());
}

// Refuses tasks that this machine cannot judge before the stages that come first are trained.
void CheckTasksOfStage(Config rl, bool json, std::stop_token stop) {
  const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer(&rl);
  const PromptSet prompts(rl, *tokenizer);
  RewardStage reward(rl.reward(), "quickstart");
  CheckTasksOfRun(
      rl, prompts, prompts.EvalPrompts(rl.eval().questions()), &reward,
      [json](const std::string& text) { Say(json, text); }, stop);
}

// The evaluation before RL. It is made once and stored, so that a resume reads it from the file.
// Empty when stop was requested.
std::optional<EvalSummary> EvaluateBefore(const std::string& file, const Config& config,
                                          Trainer* trainer, std::stop_token stop) {
  if (!FileExists(file)) {
    std::optional<EvalResult> eval = trainer->EvaluateNow(stop);
    if (!eval) return std::nullopt;
    KILL_POINT("quickstart.evaluated");
    DiskWait wait = MakeDiskWait(config);
    wait.set_stop(stop);
    wait.Do([&] { StoreSummary(file, Summarize(*eval)); });
  }
  KILL_POINT("quickstart.before_stored");
  return ReadSummary(file);
}

}  // namespace

int RunQuickstart(const QuickstartOptions& options, std::stop_token stop) {
  const SessionOptions session{.threads = options.threads};
  TrainOptions train;
  train.print = [json = options.json](const std::string& text) { Say(json, text); };
  train.stop = stop;
  const auto folder = [&](const char* name) { return JoinPath(options.run, name); };

  Config base = QuickstartConfig(QuickstartStage::kBase, options.seed, options.smoke);
  Config sft = QuickstartConfig(QuickstartStage::kSft, options.seed, options.smoke);
  Config rl = QuickstartConfig(QuickstartStage::kRl, options.seed, options.smoke);
  sft.set_init_from(folder("base"));
  rl.set_init_from(folder("sft"));
  SetFields(options.set, &rl);
  ApplyProfile(&rl);
  CheckSftConfig(base);
  CheckSftConfig(sft);
  CheckTrainConfig(rl);
  if (!options.set.empty()) {
    for (const std::string& note : SettingNotes(rl)) LogWarn(note);
  }

  const auto stopped = [&] {
    Say(options.json,
        "stopped by a signal after a checkpoint; run the same command again to continue");
    return 75;
  };
  MakeFolders(options.run);
  const FolderLock lock(options.run);
  CheckTasksOfStage(rl, options.json, stop);
  Say(options.json, "1/3 base: arithmetic facts and worked problems -> " + folder("base"));
  if (SftTrainer(base, folder("base"), session, train).Run(stop).stopped) return stopped();
  KILL_POINT("quickstart.base_done");
  Say(options.json,
      "2/3 cold start: lazy demonstrations with <think> and <answer> -> " + folder("sft"));
  if (SftTrainer(sft, folder("sft"), session, train).Run(stop).stopped) return stopped();
  KILL_POINT("quickstart.sft_done");
  Say(options.json, "3/3 GRPO: rewards over gRPC, programs judged in the jail -> " + folder("rl"));
  Trainer trainer(rl, folder("rl"), session, train);
  const std::optional<EvalSummary> before =
      EvaluateBefore(JoinPath(options.run, "before.json"), rl, &trainer, stop);
  if (!before) return stopped();
  char line[120];
  std::snprintf(line, sizeof(line), "[T] eval before RL | pass@1 %.3f | greedy %.3f",
                before->pass_at_1, before->greedy);
  Say(options.json, line);
  const TrainResult result = trainer.Run(stop);
  if (result.stopped || !result.last_eval) return stopped();
  KILL_POINT("quickstart.trained");
  const EvalSummary after = Summarize(*result.last_eval);
  RunTotals totals;
  for (const char* stage : {"base", "sft", "rl"}) AddMetrics(folder(stage), &totals);
  PrintReport(options, folder("rl"), trainer.evaluator()->questions(), totals, *before, after,
              result.weights_sha256);
  if (options.json) PrintJson(options.seed, totals, *before, after, result.weights_sha256);
  return 0;
}

}  // namespace grouper
