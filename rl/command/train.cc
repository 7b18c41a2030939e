#include <cstdio>

#include "base/error.h"
#include "base/io/json.h"
#include "base/io/machine_memory.h"
#include "base/log.h"
#include "kernels/cpu/parallel.h"
#include "policy/policy_config.h"
#include "proto/textproto.h"
#include "rl/algorithm/setting_notes.h"
#include "rl/command/plan_table.h"
#include "rl/command/run_options.h"
#include "rl/experience/task_check.h"
#include "rl/run/run_dir.h"
#include "rl/run/run_plan.h"
#include "rl/training/sft.h"
#include "rl/training/trainer.h"

namespace grouper {
namespace {

constexpr int kExitTryAgain = 75;

int Report(const RunOptions& options, const TrainResult& result) {
  if (result.tasks_not_judged > 0) {
    Say(options.json, std::to_string(result.tasks_not_judged) + " of " +
                          std::to_string(result.tasks) +
                          " tasks are not judged: their completions taught nothing (metric "
                          "reward.tasks_not_judged; reasons in reward.dropped.*)");
  }
  if (result.stopped) {
    Say(options.json,
        "stopped by a signal after a checkpoint; run the same command again to continue. The run "
        "is in " +
            options.run);
  } else {
    Say(options.json, "done: " + std::to_string(result.steps) + " steps, policy version " +
                          std::to_string(result.policy_version) + ", weights_sha256 " +
                          result.weights_sha256);
  }
  if (options.json) {
    JsonWriter w;
    w.BeginObject().Key("steps").Value(result.steps);
    w.Key("policy_version").Value(result.policy_version);
    w.Key("weights_sha256").Value(result.weights_sha256);
    w.Key("stopped").Value(result.stopped);
    w.Key("checked_tokens").Value(result.checked_tokens);
    w.Key("mismatch").Value(result.mismatches);
    w.Key("tasks_not_judged").Value(result.tasks_not_judged);
    if (result.last_eval && result.last_eval->questions > 0)
      w.Key("pass_at_1").Value(result.last_eval->pass_at_1);
    w.EndObject();
    std::printf("%s\n", w.text().c_str());
  }
  return result.stopped ? kExitTryAgain : 0;
}

int PrintConfig(Config config) {
  MakeTokenizer(&config);
  std::printf("%s", ToTextproto(config).c_str());
  return 0;
}

bool Resumes(const RunOptions& options) { return !CheckpointSteps(options.run).empty(); }

// Prints what the run would do and how much memory it would take, without allocating that memory.
int DryRun(const RunOptions& options, Config config) {
  const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer(&config);
  CheckPolicyConfig(config.policy());
  const PromptSet prompts(config, *tokenizer);
  if (prompts.skipped() > 0) {
    Say(true, "data.train: " + std::to_string(prompts.skipped()) + " rows were skipped");
  }
  for (const std::string& name :
       prompts.UnusedRubrics(prompts.EvalPrompts(config.eval().questions()))) {
    Say(true, "reward.rubric \"" + Excerpt(name) +
                  "\" has no effect: no row names it (data.rubric_field)");
  }
  const RunFacts facts =
      FactsOf(config, prompts, options.threads > 0 ? options.threads : cpu::ChooseThreads());
  const int64_t machine = MachineMemoryBytes();
  std::printf("%s\n", (options.json ? PlanJson : PlanText)(config, facts, machine).c_str());
  std::fflush(stdout);
  const MemoryPlan memory = PlanMemory(config, facts);
  if (machine > 0) CheckFits(memory, memory.total, "the run", machine);
  StopIdsOf(config.sampling(), *tokenizer);
  RewardStage reward(config.reward(), "dry-run");
  CheckTasksOfRun(config, prompts, prompts.EvalPrompts(config.eval().questions()), &reward,
                  [&](const std::string& line) { Say(true, line); });
  // This reports a checkpoint of another policy now, not when the run starts. A resumed run does
  // not read it.
  if (!config.init_from().empty() && !Resumes(options)) {
    Session session(&config, {.threads = options.threads});
  }
  return 0;
}

// Refuses a run whose start would not fit, before it begins to allocate.
void CheckStartFits(Config config) {
  MakeTokenizer(&config);
  const MemoryPlan memory = PlanMemory(config, {});
  const int64_t machine = MachineMemoryBytes();
  if (machine > 0) CheckFits(memory, memory.from_start, "the policy with its caches", machine);
}

TrainOptions TrainOptionsOf(const RunOptions& options, std::stop_token stop) {
  return {.print = [json = options.json](const std::string& line) { Say(json, line); },
          .stop = std::move(stop)};
}

}  // namespace

int RunTrainCommand(const RunOptions& options, std::stop_token stop) {
  Config config = LoadConfig(options);
  CheckTrainConfig(config);
  if (options.print_config) return PrintConfig(std::move(config));
  for (const std::string& note : SettingNotes(config)) LogWarn(note);
  if (options.dry_run) return DryRun(options, std::move(config));
  USER_CHECK(!options.run.empty(), "[run] --run is missing; name a run folder with --run DIR");
  CheckStartFits(config);
  Trainer trainer(config, options.run, {.threads = options.threads}, TrainOptionsOf(options, stop));
  const TrainResult result = trainer.Run(stop);
  if (result.last_eval && result.last_eval->questions == 0) {
    Say(options.json, "no held-out answer was judged");
  } else if (result.last_eval) {
    char line[160];
    std::snprintf(line, sizeof(line),
                  "held-out pass@1 %.3f +- %.3f, greedy %.3f, over %ld questions",
                  result.last_eval->pass_at_1, result.last_eval->standard_error,
                  result.last_eval->greedy, static_cast<long>(result.last_eval->questions));
    Say(options.json, line);
  }
  return Report(options, result);
}

int RunSftCommand(const RunOptions& options, std::stop_token stop) {
  Config config = LoadConfig(options);
  CheckSftConfig(config);
  if (options.print_config) return PrintConfig(std::move(config));
  if (options.dry_run) {
    Session session(&config, {.threads = options.threads, .first_weights = !Resumes(options)});
    const DocumentSet documents(config, session.tokenizer());
    Say(true, "data.train: " + std::to_string(documents.size()) + " documents, " +
                  std::to_string(documents.skipped()) + " rows were skipped");
    return PrintConfig(std::move(config));
  }
  USER_CHECK(!options.run.empty(), "[run] --run is missing; name a run folder with --run DIR");
  return Report(options, SftTrainer(config, options.run, {.threads = options.threads},
                                    TrainOptionsOf(options, stop))
                             .Run(stop));
}

}  // namespace grouper
