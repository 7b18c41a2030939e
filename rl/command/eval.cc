#include <cstdio>

#include "base/error.h"
#include "base/json.h"
#include "rl/command/run_options.h"
#include "rl/evaluator.h"
#include "rl/prompt_set.h"
#include "rl/run_dir.h"
#include "rl/session.h"

namespace grouper {

int RunEvalCommand(const EvalOptions& options, std::stop_token stop) {
  Config config = LoadConfig(options.run);
  USER_CHECK(!options.checkpoint.empty() || !config.init_from().empty(),
             "[eval] name a run or checkpoint folder with --checkpoint DIR");
  if (!options.checkpoint.empty()) config.set_init_from(options.checkpoint);
  const std::string folder = ResolveCheckpoint(config.init_from());
  const Manifest manifest = VerifyCheckpoint(folder);
  Session session(&config, {.threads = options.run.threads});
  const PromptSet prompts(config, session.tokenizer());
  std::vector<Prompt> questions = prompts.EvalPrompts(config.eval().questions());
  USER_CHECK(!questions.empty(),
             "[eval] nothing to evaluate: set data.eval to a file or tasks, or data.holdout_every");
  RewardStage reward(config.reward(), "eval");
  Evaluator evaluator(std::move(questions), config, &reward);
  EvalResult result;
  if (!evaluator.Run(&session.engine(), manifest.policy_version(),
                     session.policy().weights().Digest(), &result, stop)) {
    return 75;
  }
  char line[240];
  std::snprintf(
      line, sizeof(line),
      "%s: pass@1 %.4f +- %.4f (%ld questions x %d), greedy %.4f, len %.1f, truncated %.1f%%, "
      "not scored %ld",
      folder.c_str(), result.pass_at_1, result.standard_error, static_cast<long>(result.questions),
      config.eval().samples(), result.greedy, result.length_mean, 100 * result.truncated,
      static_cast<long>(result.not_scored));
  Say(options.run.json, line);
  if (options.run.json) {
    JsonWriter w;
    w.BeginObject().Key("checkpoint").Value(folder);
    w.Key("policy_version").Value(manifest.policy_version());
    w.Key("questions").Value(result.questions);
    w.Key("pass_at_1").Value(result.pass_at_1);
    w.Key("standard_error").Value(result.standard_error);
    w.Key("greedy").Value(result.greedy);
    w.Key("length_mean").Value(result.length_mean);
    w.Key("truncated").Value(result.truncated);
    w.Key("not_scored").Value(result.not_scored);
    w.EndObject();
    std::printf("%s\n", w.text().c_str());
  }
  return 0;
}

}  // namespace grouper
