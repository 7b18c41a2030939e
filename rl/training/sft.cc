#include "rl/training/sft.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/kill_point.h"
#include "policy/checkpoint/file_tensors.h"
#include "rl/algorithm/schedule.h"
#include "rl/run/settings_check.h"

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

constexpr int64_t kStepsPerLine = 50;

}  // namespace

void CheckSftConfig(const Config& config) { CheckSessionSettings(config, 0); }

SftTrainer::SftTrainer(const Config& config, const std::string& run_folder,
                       const SessionOptions& session, const TrainOptions& options)
    : config_((CheckSftConfig(config), config)),
      options_(options),
      disk_wait_(MakeDiskWait(config_)),
      run_(run_folder),
      session_(&config_, {.threads = session.threads, .first_weights = false}),
      documents_(config_, session_.tokenizer()),
      learner_(&session_.policy(), config_, session_.stream()) {
  const ResumePoint point = ResumeRun(State(), config_.sft().steps());
  next_step_ = point.step;
  if (point.resumed) saved_step_ = point.step;
  metrics_ = std::make_unique<MetricsWriter>(run_folder, point.metrics_bytes, point.events_bytes,
                                             &disk_wait_, options_.clock);
  KILL_POINT("sft.ready");
}

TrainResult SftTrainer::Run(std::stop_token stop) {
  disk_wait_.set_stop(stop);
  TrainResult result;
  while (next_step_ < config_.sft().steps()) {
    if (stop.stop_requested()) {
      result.stopped = true;
      break;
    }
    try {
      Step();
    } catch (const std::exception&) {
      SaveWhatIsWhole();
      throw;
    }
    if (Every(next_step_, config_.checkpoint_every()) && next_step_ < config_.sft().steps()) Save();
  }
  if (saved_step_ != next_step_) Save();
  result.steps = next_step_;
  result.policy_version = learner_.version();
  result.weights_sha256 = WeightsSha256(session_.policy().weights());
  if (!result.stopped) {
    StoreResult(run_, result.steps, result.policy_version, result.weights_sha256, &disk_wait_);
  }
  return result;
}

void SftTrainer::Step() {
  const Stopwatch watch;
  const std::vector<TrainSequence> batch =
      Pack(documents_.Batch(next_step_, config_.sft().documents_per_step()), next_step_);
  const double lr = LearningRateAt(config_.optimizer(), next_step_, config_.sft().steps());
  between_steps_ = false;
  const Learner::SupervisedResult update = learner_.UpdateSupervised(batch, lr);
  KILL_POINT("sft.updated");
  StepMetrics metrics;
  metrics.Add("loss.sft", update.loss);
  metrics.Add("optimizer.lr", lr);
  metrics.Add("optimizer.grad_norm", update.grad_norm);
  metrics.AddCount("batch.targets", update.targets);
  metrics.AddCount("batch.tokens", update.tokens);
  metrics.Add("router.max_violation", update.max_violation);
  metrics.Add("time.step_seconds", watch.Seconds());
  metrics_->Write(next_step_, metrics);
  KILL_POINT("sft.step_done");
  ++next_step_;
  between_steps_ = true;
  PrintProgress(update);
}

void SftTrainer::PrintProgress(const Learner::SupervisedResult& update) {
  tokens_since_line_ += update.tokens;
  const int64_t steps = config_.sft().steps();
  if (!options_.print || (next_step_ % kStepsPerLine != 0 && next_step_ != steps)) return;
  char line[160];
  std::snprintf(line, sizeof(line),
                "[S] step %ld/%ld | loss %.4f | norm %.2f | load +%.2f | train %.1fk tok/s",
                static_cast<long>(next_step_), static_cast<long>(steps), update.loss,
                update.grad_norm, update.max_violation,
                static_cast<double>(tokens_since_line_) / since_line_.Seconds() / 1000);
  disk_wait_.Do([&] { options_.print(line); });
  tokens_since_line_ = 0;
  since_line_ = Stopwatch();
}

void SftTrainer::SaveWhatIsWhole() {
  if (!between_steps_ || next_step_ == 0 || saved_step_ == next_step_) return;
  SaveOnTheWayOut(next_step_, &disk_wait_, [this] { Save(); });
}

void SftTrainer::Save() {
  metrics_->Sync();
  Manifest manifest;
  manifest.set_metrics_bytes(metrics_->metrics_bytes());
  manifest.set_events_bytes(metrics_->events_bytes());
  manifest.set_stage("sft");
  CheckpointRun(State(), next_step_, std::move(manifest));
  saved_step_ = next_step_;
}

}  // namespace grouper
