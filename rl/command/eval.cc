#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "policy/checkpoint/checkpoint.h"
#include "proto/textproto.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/command/run_options.h"
#include "rl/data/prompt_set.h"
#include "rl/evaluation/evaluator.h"
#include "rl/experience/reward_stage.h"
#include "rl/experience/task_check.h"
#include "rl/run/session.h"
#include "rl/run/trace_header.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

// The step of the trace that holds the samples, and the one that holds the greedy answers.
constexpr int64_t kSamplesStep = 0, kGreedyStep = 1;

// The evaluation's own folder: config.textproto, traces/ and eval.json. An older trace in it is
// overwritten.
class SampleFolder {
 public:
  SampleFolder(const std::string& path, const Config& config, const std::string& isolation_tier)
      : path_(path), advantage_(config.advantage()) {
    USER_CHECK(!FolderExists(JoinPath(path, "checkpoints")),
               "[eval] --run names the folder of a training run, whose trace would be lost; name "
               "another folder for the samples",
               Named("run", path));
    MakeFolders(path);
    lock_ = std::make_unique<FolderLock>(path);
    PublishFile(JoinPath(path, "config.textproto"), ToTextproto(config));
    TraceHeader header = MakeTraceHeader(config, path, config.eval().samples());
    header.set_isolation_tier(isolation_tier);
    traces_ = std::make_unique<TraceWriter>(path, std::move(header),
                                            TraceWriterOptions{.keep = TracePosition{}});
  }
  void Add(bool greedy, std::span<Group> groups) {
    for (Group& group : groups) AssignRewardMoments(advantage_, &group);
    traces_->AppendStep(greedy ? kGreedyStep : kSamplesStep, groups);
  }
  void Finish(const std::string& report) {
    traces_->Sync();
    PublishFile(JoinPath(path_, "eval.json"), report + "\n");
  }

 private:
  std::string path_;
  AdvantageConfig advantage_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<TraceWriter> traces_;
};

std::string Joined(const std::set<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

void WriteFigure(const EvalFigure& figure, JsonWriter* w) {
  w->Key("k").Value(figure.k).Key("value").Value(figure.value);
  w->Key("standard_error").Value(figure.standard_error).Key("questions").Value(figure.questions);
}

std::string Report(const Config& config, const Manifest& manifest, const EvalResult& result) {
  const SamplingConfig sampling = EvalSampling(config);
  JsonWriter w;
  w.BeginObject().Key("checkpoint").Value(config.init_from());
  w.Key("policy_version").Value(manifest.policy_version());
  w.Key("weights_sha256").Value(manifest.weights_sha256());
  w.Key("data").Value(config.data().eval());
  w.Key("questions").Value(result.questions).Key("k").Value(config.eval().samples());
  w.Key("seed").Value(config.seed());
  w.Key("scorer_version").Value(Joined(result.grader_versions));
  w.Key("sampling").BeginObject().Key("temperature").Value(sampling.temperature());
  w.Key("top_k").Value(sampling.top_k()).Key("top_p").Value(sampling.top_p());
  w.Key("min_p").Value(sampling.min_p());
  w.Key("max_new_tokens").Value(sampling.max_new_tokens()).EndObject();
  w.Key("pass_at_1").Value(result.pass_at_1);
  w.Key("standard_error").Value(result.standard_error);
  w.Key("pass_at_k").BeginArray();
  for (const EvalFigure& figure : result.pass_at_k) {
    w.BeginObject();
    WriteFigure(figure, &w);
    w.EndObject();
  }
  w.EndArray().Key("maj_at_k").BeginObject();
  WriteFigure(result.maj_at_k, &w);
  w.Key("rule").Value(kMajorityRule).EndObject();
  if (config.eval().greedy()) {
    w.Key("greedy").Value(result.greedy);
    w.Key("greedy_standard_error").Value(result.greedy_standard_error);
  }
  w.Key("length_mean").Value(result.length_mean);
  w.Key("truncated").Value(result.truncated);
  w.Key("unscored").Value(result.unscored);
  w.Key("not_scored").Value(result.not_scored);
  w.EndObject();
  return w.text();
}

void Print(bool json, const Config& config, const EvalResult& result) {
  const SamplingConfig sampling = EvalSampling(config);
  char line[320];
  std::snprintf(
      line, sizeof(line),
      "%s: %ld questions with %d samples each, temperature %g, top_p %g, at most %ld tokens, "
      "seed %lu, scorer %s",
      config.init_from().c_str(), static_cast<long>(result.questions), config.eval().samples(),
      sampling.temperature(), sampling.top_p(), static_cast<long>(sampling.max_new_tokens()),
      static_cast<unsigned long>(config.seed()), Joined(result.grader_versions).c_str());
  Say(json, line);
  const auto figure = [&](const char* name, const EvalFigure& f) {
    std::snprintf(line, sizeof(line), "%s@%-5ld %.4f +- %.4f  (%ld questions)", name,
                  static_cast<long>(f.k), f.value, f.standard_error,
                  static_cast<long>(f.questions));
    Say(json, line);
  };
  for (const EvalFigure& f : result.pass_at_k) figure("pass", f);
  figure("maj ", result.maj_at_k);
  if (config.eval().greedy()) {
    std::snprintf(line, sizeof(line), "greedy     %.4f +- %.4f", result.greedy,
                  result.greedy_standard_error);
    Say(json, line);
  }
  std::snprintf(
      line, sizeof(line),
      "length %.1f tokens | truncated %.1f%% | not scored %.1f%% (%ld, greedy answers included)",
      result.length_mean, 100 * result.truncated, 100 * result.unscored,
      static_cast<long>(result.not_scored));
  Say(json, line);
  Say(json,
      std::string("+- is the standard error over questions. maj@k is the ") + kMajorityRule + ".");
}

}  // namespace

int RunEvalCommand(const EvalOptions& options, std::stop_token stop) {
  Config config = LoadConfigFor(options.run, options.checkpoint);
  const Manifest manifest = ReadCheckpointManifest(config.init_from());
  const bool json = options.run.json;
  CheckEvalConfig(config);
  // Only held-out lines are read from data.train, and only when data.eval names nothing.
  if (!config.data().eval().empty()) config.mutable_data()->set_train("tasks:calc,fit");
  Session session(&config, {.threads = options.run.threads});
  const PromptSet prompts(config, session.tokenizer());
  std::vector<Prompt> questions = prompts.EvalPrompts(config.eval().questions());
  USER_CHECK(!questions.empty(),
             "[eval] there are no questions to evaluate; set data.eval to a file or tasks, or set "
             "data.holdout_every");
  const size_t asked = questions.size();
  std::unique_ptr<SampleFolder> folder;
  CheckTraceFrames(config);
  RewardStage reward(config.reward(), "eval");
  const ProgramJudging programs = AskProgramJudging(config.reward(), reward.addresses(), stop);
  CheckTasks(questions, config.reward(), &reward,
             {.setting = EvalSetting(config),
              .tasks_of_set = static_cast<int64_t>(questions.size()),
              .programs = programs,
              .print = [](const std::string& line) { Say(true, line); },
              .stop = stop});
  if (!options.run.run.empty()) {
    folder = std::make_unique<SampleFolder>(options.run.run, config, programs.TierName());
  }
  Evaluator evaluator(std::move(questions), config, session.tokenizer(), &reward);
  const auto part = [&](bool greedy, int64_t done, std::span<Group> groups) {
    if (folder != nullptr) folder->Add(greedy, groups);
    Say(true, std::string(greedy ? "greedy: " : "samples: ") + std::to_string(done) + " of " +
                  std::to_string(asked) + " questions");
  };
  EvalResult result;
  if (!evaluator.Run(&session.engine(), manifest.policy_version(),
                     session.policy().weights().Digest(), &result, stop, part)) {
    Say(true, "stopped by a signal before anything was measured; run the same command again");
    return 75;
  }
  const std::string report = Report(config, manifest, result);
  if (folder != nullptr) folder->Finish(report);
  Print(json, config, result);
  if (json) std::printf("%s\n", report.c_str());
  return 0;
}

}  // namespace grouper
