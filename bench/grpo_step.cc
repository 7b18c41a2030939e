#include "bench/grpo_step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json_lines.h"
#include "proto/textproto.h"
#include "rl/command/quickstart_config.h"
#include "rl/training/trainer.h"

namespace grouper::bench {
namespace {

double Median(std::vector<double> values) {
  CHECK(!values.empty(), "[bench_policy] no step was measured");
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A random policy never answers in the right format. A reward that falls with the length gives the
// rewards of a group a spread, so that every completion is backpropagated.
Config StepConfig(int steps) {
  Config config = QuickstartConfig(QuickstartStage::kRl, 1, false);
  config.set_steps(steps);
  config.set_checkpoint_every(0);
  config.mutable_data()->set_eval("");
  config.mutable_optimizer()->set_lr(1e-9);
  for (Rubric& rubric : *config.mutable_reward()->mutable_rubric()) {
    MergeTextproto("component { name: \"overlong\" weight: 0.5 max_tokens: 64 ramp_tokens: 64 }",
                   "bench rubric", &rubric);
  }
  return config;
}

}  // namespace

GrpoStep MeasureGrpoStep(const std::string& run, int threads, int steps,
                         const std::vector<std::string>& set) {
  std::vector<double> ends;
  TrainOptions options;
  options.print = [&](const std::string&) {
    ends.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count());
  };
  // One step more, since a step's time is measured between the ends of two steps.
  Config config = StepConfig(steps + 1);
  SetFields(set, &config);
  Trainer trainer(config, run, {.threads = threads}, options);
  trainer.Run({});
  GrpoStep result;
  std::vector<double> step, generate, score, train, other;
  for (size_t i = 1; i < ends.size(); ++i) step.push_back(ends[i] - ends[i - 1]);
  double tokens = 0;
  int64_t rows = 0;
  JsonLinesReader metrics(JoinPath(run, "metrics.jsonl"), "metrics");
  for (Json row; metrics.Next(&row); ++rows) {
    CHECK(row.Number("group.no_signal", metrics.where()) == 0,
          "[bench_policy] a group has no signal, so this step has less work than the others",
          Named("step", rows));
    tokens += row.Number("rollout.sampled_tokens", metrics.where());
    if (rows == 0) continue;
    generate.push_back(row.Number("time.generate_seconds", metrics.where()));
    score.push_back(row.Number("time.score_seconds", metrics.where()));
    train.push_back(row.Number("time.train_seconds", metrics.where()));
    other.push_back(step[generate.size() - 1] - generate.back() - score.back() - train.back());
  }
  result.step = Median(step);
  result.least = *std::min_element(step.begin(), step.end());
  result.generate = Median(generate);
  result.score = Median(score);
  result.train = Median(train);
  result.other = Median(other);
  result.mean_new_tokens = tokens / static_cast<double>(rows * 256);
  return result;
}

}  // namespace grouper::bench
