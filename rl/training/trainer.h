// The trainer's loop (docs/training_step.md): sample, score, advantage, compare, update, record.
// One thread; asynchrony stays inside the parts. A run folder that holds a checkpoint goes on from
// it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "rl/data/prompt_set.h"
#include "rl/evaluation/evaluator.h"
#include "rl/experience/kept_verdicts.h"
#include "rl/experience/rollout_stage.h"
#include "rl/learner/learner.h"
#include "rl/learner/reference.h"
#include "rl/learner/update_stage.h"
#include "rl/run/metrics.h"
#include "rl/run/run_dir.h"
#include "rl/run/session.h"
#include "trace/store/trace_writer.h"

namespace grouper {

struct TrainResult {
  int64_t steps = 0;  // done in all
  uint64_t policy_version = 0;
  std::string weights_sha256;
  bool stopped = false;        // by a signal, after a checkpoint
  int64_t checked_tokens = 0;  // over the whole run, from metrics of this process
  int64_t mismatches = 0;
  std::optional<EvalResult> last_eval;
};

struct TrainHooks {
  std::function<void(const std::string&)> print;  // a progress line
  // grouper replay: where scores come from instead of a reward service.
  RewardStage::Known scores;
  // Tests: may change what was sampled before the learner sees it.
  std::function<void(int64_t step, std::vector<Group>*)> tamper;
  // Replay and tests: runs before the update, when the step stands in the trace; may spoil groups
  // or weights.
  std::function<void(int64_t step, std::vector<Group>*)> before_update;
  // Tests: stamps events instead of the system's clock; outlives the trainer.
  const Clock* clock = nullptr;
};

class Trainer {
 public:
  Trainer(const Config& config, const std::string& run_folder, const SessionOptions& options,
          TrainHooks hooks);
  ~Trainer();

  TrainResult Run(std::stop_token stop);

  // Makes the next step and no checkpoint. False when stop was requested first: the step is
  // abandoned.
  bool MakeStep(std::stop_token stop);
  int64_t next_step() const { return next_step_; }
  // Tokens compared with the learner's by steps of this process.
  int64_t checked_tokens() const { return result_.checked_tokens; }

  // Held-out evaluation of the current weights; empty when a signal came.
  std::optional<EvalResult> EvaluateNow(std::stop_token stop);

  Session& session() { return session_; }
  Learner& learner() { return learner_; }
  const Reference* reference() const { return reference_.get(); }  // nullptr: none
  Evaluator* evaluator() { return evaluator_.get(); }

 private:
  bool Step(int64_t step, std::stop_token stop);
  void Save(int64_t step);
  [[noreturn]] void StopForWantOfGroups(int64_t step, const StepRollout& rollout);

  Config config_;
  TrainHooks hooks_;
  DiskWait disk_wait_;
  RunDir run_;
  Session session_;
  PromptSet prompts_;
  RewardStage reward_;
  KeptVerdicts kept_;
  RolloutStage rollouts_;
  Learner learner_;
  std::unique_ptr<Reference> reference_;  // nullptr: no KL term asks for one
  UpdateStage updates_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<TraceWriter> traces_;
  int64_t saved_step_ = -1;
  int64_t next_step_ = 0;
  uint64_t prompts_used_ = 0;  // by the steps before next_step_
  uint64_t weights_digest_ = 0;
  TrainResult result_;
};

// kUser for settings that `train` refuses: group_size below 2, temperature 0, no rubric, steps
// below 0.
void CheckTrainConfig(const Config& config);

}  // namespace grouper
