// The trainer's loop (docs/training_step.md): sample, score, advantages, trace, update, report. One
// thread; what runs at the same time stays inside the parts. A run folder that holds a checkpoint
// is resumed from it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "rl/data/prompt_set.h"
#include "rl/evaluation/evaluator.h"
#include "rl/experience/group_scorer.h"
#include "rl/experience/kept_verdicts.h"
#include "rl/experience/kl_penalty.h"
#include "rl/experience/rollout_stage.h"
#include "rl/learner/learner.h"
#include "rl/learner/reference.h"
#include "rl/learner/update_stage.h"
#include "rl/metrics/metrics.h"
#include "rl/run/resume.h"
#include "rl/run/run_dir.h"
#include "rl/run/session.h"
#include "trace/store/trace_writer.h"

namespace grouper {

class RewardStage;

struct TrainResult {
  int64_t steps = 0;  // of the whole run
  uint64_t policy_version = 0;
  std::string weights_sha256;
  bool stopped = false;        // by a signal, after a checkpoint
  int64_t checked_tokens = 0;  // compared with the learner's, by steps of this process
  int64_t mismatches = 0;
  int64_t tasks = 0;             // sampled by steps of this process
  int64_t tasks_not_judged = 0;  // of these: no completion was scored
  std::optional<EvalResult> last_eval;
};

// What a training loop takes besides its config. Pointers outlive the loop.
struct TrainOptions {
  std::function<void(const std::string&)> print = {};  // a progress line; what it throws ends the
                                                       // run, after a save
  Generator* generator = nullptr;  // what samples; nullptr: the session's engine
  GroupScorer* scorer = nullptr;   // what judges; nullptr: the reward services of the config
  const Clock* clock = nullptr;    // stamps events; nullptr: the system's
  std::stop_token stop = {};       // ends the check below, which may wait for a service
  bool check_tasks = true;  // whether the services are asked first if they can judge the tasks
};

// What a step learns from: its groups, sampled, scored and with advantages.
struct StepExperience {
  StepRollout rollout;
  KlPenaltySum penalties;  // of KL in the reward
};

class Trainer {
 public:
  Trainer(const Config& config, const std::string& run_folder, const SessionOptions& session,
          const TrainOptions& options);
  ~Trainer();

  // Makes the steps that the run still lacks, with checkpoints and evaluations. When a stop is
  // requested, the step in work is abandoned before its update and the state at its start is saved.
  // An error before the first update of a step is thrown after the same save.
  TrainResult Run(std::stop_token stop);

  // Makes the next step, without a checkpoint: Collect, then Learn. Returns false when a stop was
  // requested first: the step is abandoned and can be made again, bit for bit.
  bool Step(std::stop_token stop);
  // The half of a step before its update; empty when a stop was requested. kUser when dynamic
  // sampling finds too few groups.
  std::optional<StepExperience> Collect(std::stop_token stop);
  // The other half, from the trace to the progress line. An update that was begun is finished; a
  // stop only cuts the evaluation. An error of the evaluation or of the progress line is thrown
  // when the step is done.
  void Learn(StepExperience experience, std::stop_token stop);

  int64_t next_step() const { return next_step_; }
  // Tokens compared with the learner's, by steps of this process.
  int64_t checked_tokens() const { return result_.checked_tokens; }

  // Held-out evaluation of the current weights; empty when a stop was requested.
  std::optional<EvalResult> EvaluateNow(std::stop_token stop);

  Session& session() { return session_; }
  Learner& learner() { return learner_; }
  const Reference* reference() const { return reference_.get(); }  // nullptr: none
  Evaluator* evaluator() { return evaluator_.get(); }              // nullptr: nothing held out

 private:
  RunState State();
  void Evaluate(StepMetrics* metrics, std::stop_token stop);
  void Save();
  void SayPenaltyAlone(const KlPenaltySum& penalties);
  // The last act of a run that an error ends.
  void SaveWhatIsWhole();
  [[noreturn]] void StopForWantOfGroups(const StepRollout& rollout);

  Config config_;
  TrainOptions options_;
  DiskWait disk_wait_;
  RunDir run_;
  RunInputs inputs_;
  Session session_;
  PromptSet prompts_;
  Generator* generator_;
  std::unique_ptr<RewardStage> services_;  // nullptr: options_.scorer judges
  GroupScorer* scorer_;
  KeptVerdicts kept_;
  RolloutStage rollouts_;
  Learner learner_;
  std::unique_ptr<Reference> reference_;  // nullptr: no KL term asks for one
  UpdateStage updates_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<TraceWriter> traces_;
  int64_t saved_step_ = -1;
  bool said_penalty_alone_ = false;
  int64_t next_step_ = 0;
  // Weights and files may hold a part of next_step_, so they are no state that may be saved.
  bool between_steps_ = true;
  uint64_t prompts_used_ = 0;  // by the steps before next_step_
  uint64_t weights_digest_ = 0;
  TrainResult result_;
};

// kUser for settings that `train` refuses: a number out of its range, settings that do not go
// together, no rubric. It writes nothing.
void CheckTrainConfig(const Config& config);

}  // namespace grouper
