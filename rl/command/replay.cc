#include "rl/replay/replay.h"

#include <cstdio>

#include "base/io/json.h"
#include "base/log.h"
#include "rl/command/run_options.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

constexpr int kExitDifferent = 1, kExitTryAgain = 75;

// Says what the weights after the step were compared with.
std::string WeightsText(const ReplayResult& result) {
  if (result.weights_from == "checkpoint") return "every tensor of the checkpoint after it";
  if (result.weights_from == "next step") return "the weights that the next step was sampled with";
  return "no record of the weights after it";
}

std::string StepsText(const ReplayResult& result) {
  if (result.first_step == result.last_step) return "step " + std::to_string(result.last_step);
  return "steps " + std::to_string(result.first_step) + " to " + std::to_string(result.last_step);
}

void Print(const ReplayCommandOptions& options, const ReplayResult& result) {
  if (!result.difference) {
    Say(options.json, "equal: " + StepsText(result) + " with " + std::to_string(result.rollouts) +
                          " rollouts, " + std::to_string(result.tokens) + " tokens and " +
                          WeightsText(result) + "; weights_sha256 " + result.weights_sha256);
    return;
  }
  const StepDifference& d = *result.difference;
  Say(options.json, EscapeForTerminal("different: step " + std::to_string(d.step) + " " + d.place +
                                      " " + d.field + " is " + d.recorded + " in the record, " +
                                      d.made + " in the replay"));
}

void PrintJson(const ReplayCommandOptions& options, const ReplayResult& result) {
  JsonWriter w;
  w.BeginObject().Key("run").Value(options.run).Key("step").Value(options.step);
  w.Key("equal").Value(!result.difference.has_value());
  w.Key("start").Value(result.start);
  w.Key("first_step").Value(result.first_step).Key("last_step").Value(result.last_step);
  w.Key("rollouts").Value(result.rollouts).Key("tokens").Value(result.tokens);
  w.Key("verdicts").Value("recorded");
  w.Key("weights_from").Value(result.weights_from);
  w.Key("weights_sha256").Value(result.weights_sha256);
  w.Key("difference");
  if (result.difference) {
    const StepDifference& d = *result.difference;
    w.BeginObject().Key("step").Value(d.step).Key("place").Value(d.place);
    if (d.rollout_id) w.Key("rollout_id").Value(*d.rollout_id);
    if (d.position) w.Key("position").Value(*d.position);
    if (d.tensor) w.Key("tensor").Value(*d.tensor);
    w.Key("field").Value(d.field);
    w.Key("recorded").Value(d.recorded).Key("made").Value(d.made).EndObject();
  } else {
    w.Null();
  }
  w.EndObject();
  std::printf("%s\n", w.text().c_str());
}

}  // namespace

int RunReplayCommand(const ReplayCommandOptions& options, std::stop_token stop) {
  SetLogLevel(LogLevel::kWarn);  // the trainer's lines would speak of the temporary copy
  ReplayOptions replay;
  replay.run = options.run;
  replay.step = options.step;
  replay.set = options.set;
  replay.session.threads = options.threads;
  replay.print = [](const std::string& line) { Say(true, line); };
  const ReplayResult result = Replay(replay, stop);
  if (result.stopped) {
    Say(options.json,
        "stopped by a signal before the comparison was finished; run the same command again");
    return kExitTryAgain;
  }
  Print(options, result);
  if (options.json) PrintJson(options, result);
  return result.difference ? kExitDifferent : 0;
}

}  // namespace grouper
