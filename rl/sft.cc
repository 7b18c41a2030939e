#include "rl/sft.h"

#include <cstdio>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/textproto.h"
#include "rl/schedule.h"

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
  RunDir run(run_folder);
  Session session(&config, options);
  const DocumentSet documents(config, session.tokenizer());
  Learner learner(&session.policy(), config, session.stream());
  int64_t step = 0, saved = -1, metrics_bytes = -1, events_bytes = -1;
  const std::optional<RunDir::Found> found = run.NewestCheckpoint();
  run.StoreConfig(ToTextproto(config), found.has_value());
  run.Tidy(3);
  if (found) {
    LoadCheckpoint(found->folder, &session.policy(), &learner.optimizer());
    session.WeightsChanged();
    learner.optimizer().set_updates(static_cast<int64_t>(found->manifest.policy_version()));
    learner.set_version(found->manifest.policy_version());
    step = saved = found->manifest.step();
    metrics_bytes = static_cast<int64_t>(found->manifest.metrics_bytes());
    events_bytes = static_cast<int64_t>(found->manifest.events_bytes());
    if (step < steps) LogInfo("[run] goes on from " + found->folder);
  }
  MetricsWriter metrics(run_folder, metrics_bytes, events_bytes);
  const auto save = [&] {
    metrics.Sync();
    Manifest manifest;
    manifest.set_step(step);
    manifest.set_policy_version(learner.version());
    manifest.set_seed(config.seed());
    manifest.set_metrics_bytes(metrics.metrics_bytes());
    manifest.set_events_bytes(metrics.events_bytes());
    manifest.set_config_sha256(Sha256Hex(ToTextproto(config)));
    manifest.set_stage("sft");
    manifest.set_tokenizer(config.data().tokenizer());
    SaveCheckpoint(run.CheckpointFolder(step), session.policy(), &learner.optimizer(),
                   std::move(manifest));
    saved = step;
    run.Tidy(3);
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
    JsonWriter w;
    w.BeginObject().Key("steps").Value(result.steps);
    w.Key("policy_version").Value(result.policy_version);
    w.Key("weights_sha256").Value(result.weights_sha256);
    w.EndObject();
    PublishFile(run.File("result.json"), w.text() + "\n");
  }
  return result;
}

}  // namespace grouper
