#include "rl/training/sft.h"

#include <cstdio>

#include "base/clock.h"
#include "base/error.h"
#include "base/kill_point.h"
#include "rl/algorithm/schedule.h"
#include "rl/run/resume.h"

namespace grouper {
namespace {

std::vector<TrainSequence> Pack(std::vector<Document> documents, int64_t step) {
  std::vector<TrainSequence> sequences;
  for (size_t i = 0; i < documents.size(); ++i) {
    TrainSequence s;
    s.rollout_id = static_cast<uint64_t>(step) * documents.size() + i;
    s.ids = std::move(documents[i].ids);
    for (size_t t = 1; t < s.ids.size(); ++t) {
      if (documents[i].loss_mask[t] != 0) s.targets.push_back(static_cast<int32_t>(t));
    }
    sequences.push_back(std::move(s));
  }
  SortCanonically(&sequences);
  return sequences;
}

}  // namespace

TrainResult RunSft(const Config& wanted, const std::string& run_folder,
                   const SessionOptions& options, const TrainHooks& hooks, std::stop_token stop) {
  Config config = wanted;
  const int64_t steps = config.sft().steps();
  USER_CHECK(steps >= 0, "[config] sft.steps must not be negative, got", steps);
  USER_CHECK(config.sft().documents_per_step() >= 1,
             "[config] sft.documents_per_step must be at least 1, got",
             config.sft().documents_per_step());
  DiskWait disk_wait = MakeDiskWait(config);
  disk_wait.set_stop(stop);
  RunDir run(run_folder);
  Session session(&config, options);
  const DocumentSet documents(config, session.tokenizer());
  Learner learner(&session.policy(), config, session.stream());
  const ResumePoint point = GoOn(config, steps, &run, &disk_wait, &session, &learner);
  int64_t step = point.step, saved = point.resumed ? point.step : -1;
  MetricsWriter metrics(run_folder, point.metrics_bytes, point.events_bytes, &disk_wait,
                        hooks.clock);
  KILL_POINT("sft.ready");
  const auto save = [&] {
    metrics.Sync();
    Manifest manifest;
    manifest.set_metrics_bytes(metrics.metrics_bytes());
    manifest.set_events_bytes(metrics.events_bytes());
    manifest.set_stage("sft");
    SaveRun(config, step, std::move(manifest), &run, &disk_wait, &session, &learner);
    saved = step;
  };

  TrainResult result;
  int64_t tokens = 0, begin = SystemClock().MonotonicNanos();
  for (; step < steps; ++step) {
    if (stop.stop_requested()) {
      result.stopped = true;
      break;
    }
    const int64_t step_begin = SystemClock().MonotonicNanos();
    const std::vector<TrainSequence> batch =
        Pack(documents.Batch(step, config.sft().documents_per_step()), step);
    const double lr = LearningRateAt(config.optimizer(), step, steps);
    const Learner::SupervisedResult update = learner.UpdateSupervised(batch, lr);
    KILL_POINT("sft.updated");
    tokens += update.tokens;
    StepMetrics m;
    m.Add("loss.sft", update.loss);
    m.Add("optimizer.lr", lr);
    m.Add("optimizer.grad_norm", update.grad_norm);
    m.AddCount("batch.targets", update.targets);
    m.AddCount("batch.tokens", update.tokens);
    m.Add("router.max_violation", update.max_violation);
    m.Add("time.step_seconds",
          static_cast<double>(SystemClock().MonotonicNanos() - step_begin) * 1e-9);
    metrics.Write(step, m);
    KILL_POINT("sft.step_done");
    const int64_t done = step + 1;
    if (hooks.print && (done % 50 == 0 || done == steps)) {
      const double seconds = static_cast<double>(SystemClock().MonotonicNanos() - begin) * 1e-9;
      char line[160];
      std::snprintf(line, sizeof(line),
                    "[S] step %ld/%ld | loss %.4f | norm %.2f | load +%.2f | train %.1fk tok/s",
                    static_cast<long>(done), static_cast<long>(steps), update.loss,
                    update.grad_norm, update.max_violation,
                    static_cast<double>(tokens) / seconds / 1000);
      hooks.print(line);
      tokens = 0;
      begin = SystemClock().MonotonicNanos();
    }
    if (config.checkpoint_every() > 0 && done % config.checkpoint_every() == 0 && done < steps) {
      ++step;
      save();
      --step;
    }
  }
  if (saved != step) save();
  result.steps = step;
  result.policy_version = learner.version();
  result.weights_sha256 = session.policy().weights().Sha256();
  if (!result.stopped) {
    StoreResult(run, result.steps, result.policy_version, result.weights_sha256, &disk_wait);
  }
  return result;
}

}  // namespace grouper
