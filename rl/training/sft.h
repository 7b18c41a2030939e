// Supervised training (base stage, cold start, distillation) by the learner's own path: the loss is
// the mean negative log-prob of the target tokens. The documents of a step are a pure function of
// the step, so a resume needs no reading position.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "rl/data/document_set.h"
#include "rl/training/trainer.h"

namespace grouper {

class SftTrainer {
 public:
  // options.generator and .scorer are not used. kUser for what CheckSftConfig refuses.
  SftTrainer(const Config& config, const std::string& run_folder, const SessionOptions& session,
             const TrainOptions& options);

  // Makes the updates up to config.sft.steps that the run folder still lacks. result.stopped: a
  // stop was requested, and the state was saved.
  TrainResult Run(std::stop_token stop);

  // Makes the next update, without a checkpoint.
  void Step();
  Learner& learner() { return learner_; }

 private:
  RunState State() {
    return {config_, run_, disk_wait_, session_, learner_, documents_.content(), inputs_};
  }
  void PrintProgress(const Learner::SupervisedResult& update);
  void Save();
  void SaveWhatIsWhole();  // as Trainer's

  Config config_;
  TrainOptions options_;
  DiskWait disk_wait_;
  RunDir run_;
  RunInputs inputs_;
  Session session_;
  DocumentSet documents_;
  Learner learner_;
  std::unique_ptr<MetricsWriter> metrics_;
  int64_t saved_step_ = -1;
  int64_t next_step_ = 0;
  bool between_steps_ = true;  // as Trainer's
  // Since the last progress line.
  Stopwatch since_line_;
  int64_t tokens_since_line_ = 0;
};

// kUser for settings that `sft` refuses. It writes nothing.
void CheckSftConfig(const Config& config);

}  // namespace grouper
