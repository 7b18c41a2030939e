#include <cstdio>

#include "base/error.h"
#include "base/json.h"
#include "proto/textproto.h"
#include "rl/command/run_options.h"
#include "rl/sft.h"
#include "rl/trainer.h"

namespace grouper {
namespace {

constexpr int kExitTryAgain = 75;

int Report(const RunOptions& options, const TrainResult& result) {
  if (result.stopped) {
    Say(options.json,
        "stopped by a signal after a checkpoint; the same command goes on: " + options.run);
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
    if (result.last_eval) w.Key("pass_at_1").Value(result.last_eval->pass_at_1);
    w.EndObject();
    std::printf("%s\n", w.text().c_str());
  }
  return result.stopped ? kExitTryAgain : 0;
}

// The resolved config and what the data holds; starts nothing.
int DryRun(const Config& config) {
  std::printf("%s", ToTextproto(config).c_str());
  return 0;
}

TrainHooks HooksOf(const RunOptions& options) {
  TrainHooks hooks;
  hooks.print = [json = options.json](const std::string& line) { Say(json, line); };
  return hooks;
}

}  // namespace

int RunTrainCommand(const RunOptions& options, std::stop_token stop) {
  Config config = LoadConfig(options);
  CheckTrainConfig(config);
  if (options.dry_run) {
    Session session(&config, {.threads = options.threads});
    const PromptSet prompts(config, session.tokenizer());
    Say(true, "data.train: " + std::to_string(prompts.rows()) + " prompts, " +
                  std::to_string(prompts.skipped()) + " skipped; policy: " +
                  std::to_string(ParameterCount(config.policy())) + " parameters, " +
                  std::to_string(ActiveParameterCount(config.policy())) + " active a token");
    return DryRun(config);
  }
  USER_CHECK(!options.run.empty(), "[run] name a run folder with --run DIR");
  Trainer trainer(config, options.run, {.threads = options.threads}, HooksOf(options));
  const TrainResult result = trainer.Run(stop);
  if (result.last_eval) {
    char line[160];
    std::snprintf(line, sizeof(line), "held-out pass@1 %.3f +- %.3f, greedy %.3f, %ld questions",
                  result.last_eval->pass_at_1, result.last_eval->standard_error,
                  result.last_eval->greedy, static_cast<long>(result.last_eval->questions));
    Say(options.json, line);
  }
  return Report(options, result);
}

int RunSftCommand(const RunOptions& options, std::stop_token stop) {
  Config config = LoadConfig(options);
  if (options.dry_run) {
    Session session(&config, {.threads = options.threads});
    const DocumentSet documents(config, session.tokenizer());
    Say(true, "data.train: " + std::to_string(documents.size()) + " documents, " +
                  std::to_string(documents.skipped()) + " skipped");
    return DryRun(config);
  }
  USER_CHECK(!options.run.empty(), "[run] name a run folder with --run DIR");
  return Report(options,
                RunSft(config, options.run, {.threads = options.threads}, HooksOf(options), stop));
}

}  // namespace grouper
