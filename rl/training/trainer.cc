#include "rl/training/trainer.h"

#include <exception>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "policy/checkpoint/file_tensors.h"
#include "proto/check/rubric_check.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/algorithm/schedule.h"
#include "rl/algorithm/setting_notes.h"
#include "rl/experience/reward_stage.h"
#include "rl/experience/task_check.h"
#include "rl/learner/minibatch.h"
#include "rl/run/resume.h"
#include "rl/run/settings_check.h"
#include "rl/run/trace_header.h"
#include "rl/training/step_report.h"

namespace grouper {

namespace {

// Sizes of a step are 64-bit numbers of bytes; this many tokens leave room for what each one costs.
constexpr double kMostStepTokens = 1e12;

void CheckStepSize(const Config& config, int64_t cap) {
  const double tokens = static_cast<double>(config.prompts_per_step()) *
                        static_cast<double>(config.group_size()) * static_cast<double>(cap);
  USER_CHECK(tokens <= kMostStepTokens,
             "[config] a step may sample more tokens than any machine can hold: lower "
             "prompts_per_step, group_size or sampling.max_new_tokens",
             Named("tokens", tokens), Named("limit", kMostStepTokens));
}

}  // namespace

void CheckTrainConfig(const Config& config) {
  const int64_t cap = LongestCap(config.sampling());
  CheckSessionSettings(config, cap);
  USER_CHECK(config.sampling().temperature() > 0,
             "[config] sampling.temperature must be above 0 for training; 0 is for evaluations "
             "(eval.temperature)",
             Named("sampling.temperature", config.sampling().temperature()));
  CheckLengthSchedule(config);
  CheckTraceFrames(config);
  CheckLossConfig(config.loss());
  CheckMinibatches(config);
  CheckReferenceConfig(config);
  EvalSampling(config);
  CheckRubrics(config.reward().rubric());
  CheckTaskRubrics(config.data().train(), config);
  CheckTaskRubrics(config.data().eval(), config);
  CheckStepSize(config, cap);
  SettingNotes(config);  // refuses some settings
}

Trainer::Trainer(const Config& config, const std::string& run_folder, const SessionOptions& session,
                 const TrainOptions& options)
    : config_((CheckTrainConfig(config), config)),
      options_(options),
      disk_wait_(MakeDiskWait(config_)),
      run_(run_folder),
      session_(&config_, {.threads = session.threads, .first_weights = false}),
      prompts_(config_, session_.tokenizer()),
      generator_(options.generator != nullptr ? options.generator : &session_.engine()),
      services_(options.scorer != nullptr
                    ? nullptr
                    : std::make_unique<RewardStage>(config_.reward(),
                                                    Sha256Hex(run_folder).substr(0, 16))),
      scorer_(options.scorer != nullptr ? options.scorer : services_.get()),
      rollouts_(config_, session_.tokenizer(), &prompts_, generator_, scorer_, &kept_),
      learner_(&session_.policy(), config_, session_.stream()),
      reference_(MakeReference(config_, session_.policy(), session_.stream())),
      updates_(config_, run_folder, &session_.policy(), &learner_, reference_.get()) {
  std::vector<Prompt> questions = prompts_.EvalPrompts(config_.eval().questions());
  TraceHeader header = MakeTraceHeader(config_, run_folder, config_.group_size());
  if (services_ != nullptr && options.check_tasks) {
    header.set_isolation_tier(
        CheckTasksOfRun(config_, prompts_, questions, services_.get(), options.print, options.stop)
            .TierName());
  }
  const ResumePoint point = ResumeRun(State(), config_.steps());
  next_step_ = point.step;
  prompts_used_ = point.prompts_used;
  if (point.resumed) saved_step_ = point.step;
  // A shuffled reward is no verdict of its rollout.
  if (!config_.reward().shuffle()) {
    kept_ = KeptVerdicts::Keep(run_folder, point.trace, point.step, &disk_wait_);
  }
  metrics_ = std::make_unique<MetricsWriter>(run_folder, point.metrics_bytes, point.events_bytes,
                                             &disk_wait_, options_.clock);
  traces_ = std::make_unique<TraceWriter>(
      run_folder, std::move(header), TraceWriterOptions{.keep = point.trace, .wait = &disk_wait_});
  KILL_POINT("resume.ready");
  for (const std::string& name : prompts_.UnusedRubrics(questions)) {
    LogInfo("[config] reward.rubric \"" + Excerpt(name) +
            "\" has no effect: no row names it (data.rubric_field)");
  }
  if (!questions.empty()) {
    evaluator_ =
        std::make_unique<Evaluator>(std::move(questions), config_, session_.tokenizer(), scorer_);
  }
  weights_digest_ = session_.policy().weights().Digest();
}

Trainer::~Trainer() = default;

RunState Trainer::State() {
  return {config_,         run_, disk_wait_, session_, learner_, prompts_.content(), inputs_,
          reference_.get()};
}

TrainResult Trainer::Run(std::stop_token stop) {
  disk_wait_.set_stop(stop);
  while (next_step_ < config_.steps()) {
    try {
      result_.stopped = stop.stop_requested() || !Step(stop);
    } catch (const std::exception&) {
      SaveWhatIsWhole();
      throw;
    }
    if (result_.stopped) break;
    if (Every(next_step_, config_.checkpoint_every()) && next_step_ < config_.steps()) Save();
  }
  if (saved_step_ != next_step_) Save();
  result_.steps = next_step_;
  result_.policy_version = learner_.version();
  if (!result_.stopped && evaluator_ != nullptr && !result_.last_eval) {
    result_.last_eval = EvaluateNow(stop);
  }
  result_.weights_sha256 = WeightsSha256(session_.policy().weights());
  if (!result_.stopped) {
    StoreResult(run_, result_.steps, result_.policy_version, result_.weights_sha256, &disk_wait_);
  }
  return result_;
}

bool Trainer::Step(std::stop_token stop) {
  std::optional<StepExperience> experience = Collect(stop);
  if (!experience) return false;
  Learn(std::move(*experience), stop);
  return true;
}

std::optional<StepExperience> Trainer::Collect(std::stop_token stop) {
  KILL_POINT("step.begun");
  std::optional<StepRollout> rollout = rollouts_.Run({.step = next_step_,
                                                      .first_prompt = prompts_used_,
                                                      .policy_version = learner_.version(),
                                                      .weights_digest = weights_digest_},
                                                     stop);
  if (!rollout) return std::nullopt;
  if (rollout->missing > 0) StopForWantOfGroups(*rollout);
  StepExperience experience{.rollout = std::move(*rollout), .penalties = {}};
  std::vector<Group>& groups = experience.rollout.groups;
  if (KlInReward(config_.loss())) {
    experience.penalties = AddKlPenalties(config_, &learner_.pass(), reference_.get(), groups);
    SayPenaltyAlone(experience.penalties);
  }
  for (Group& group : groups) {
    group.set_step(next_step_);
    AssignAdvantages(config_.advantage(), &group);
  }
  return experience;
}

// A small penalty makes a large advantage where nothing else tells the members of a group apart.
// This follows from the formula, but few expect it.
void Trainer::SayPenaltyAlone(const KlPenaltySum& penalties) {
  if (said_penalty_alone_ || penalties.groups_of_penalty_alone == 0 ||
      !DividesByDeviation(config_.advantage())) {
    return;
  }
  said_penalty_alone_ = true;
  LogWarn(
      "[kl] in step " + std::to_string(next_step_) + ", " +
      std::to_string(penalties.groups_of_penalty_alone) +
      " groups have equal rewards, so their advantages come from the KL penalties alone: divided "
      "by "
      "their own deviation, penalties that hardly differ give advantages as large as those of any "
      "group. This is the formula of loss.kl_place IN_REWARD; if it is not wanted, take "
      "advantage.kind CENTERED or RLOO, or loss.kl_place IN_LOSS (this is said once per start)");
}

void Trainer::Learn(StepExperience experience, std::stop_token stop) {
  const StepRollout& rollout = experience.rollout;
  traces_->AppendStep(next_step_, rollout.groups);  // durable before the weights move
  KILL_POINT("step.traced");

  between_steps_ = false;
  const Stopwatch training;
  const StepUpdate update = updates_.Run(next_step_, rollout.groups, rollout.length_cap);
  const double train_seconds = training.Seconds();
  KILL_POINT("step.updated");
  weights_digest_ = session_.policy().weights().Digest();
  CHECK(learner_.optimizer().updates() == static_cast<int64_t>(learner_.version()),
        "[trainer] the policy version is not the number of updates",
        Named("policy_version", learner_.version()),
        Named("updates", learner_.optimizer().updates()));
  CheckTokenCounts(config_.check(), rollout, update);

  StepMetrics metrics =
      ReportStep(config_, rollout, experience.penalties, update, learner_.version(), train_seconds);
  traces_->AppendStepRecord(RecordOf(next_step_, update, learner_.version(), reference_.get()));
  result_.checked_tokens += update.check.tokens;
  result_.mismatches += update.check.total();
  result_.tasks += static_cast<int64_t>(rollout.groups.size());
  result_.tasks_not_judged += TasksNotJudged(rollout.groups);
  std::exception_ptr no_evaluation;
  if (evaluator_ != nullptr && Every(next_step_ + 1, config_.eval_every())) {
    try {
      Evaluate(&metrics, stop);
    } catch (const std::exception&) {
      no_evaluation = std::current_exception();  // the updates are made, so the step counts
    }
  }
  metrics_->Write(next_step_, metrics);
  KILL_POINT("step.done");
  prompts_used_ += rollout.groups.size();
  between_steps_ = true;
  const int64_t done = next_step_++;
  if (options_.print) {
    disk_wait_.Do([&] { options_.print(ProgressLine(done, metrics)); });
  }
  if (no_evaluation != nullptr) std::rethrow_exception(no_evaluation);
}

void Trainer::Evaluate(StepMetrics* metrics, std::stop_token stop) {
  if (std::optional<EvalResult> eval = EvaluateNow(stop)) {
    AddEvaluation(*eval, metrics);
    if (next_step_ + 1 == config_.steps()) result_.last_eval = std::move(*eval);
  }
  KILL_POINT("step.evaluated");
}

std::optional<EvalResult> Trainer::EvaluateNow(std::stop_token stop) {
  CHECK(evaluator_ != nullptr, "[trainer] there are no held-out questions to evaluate");
  EvalResult eval;
  if (!evaluator_->Run(generator_, learner_.version(), weights_digest_, &eval, stop)) {
    return std::nullopt;
  }
  return eval;
}

// The step cannot be made under these settings. The same command resumes with a higher max_rounds.
void Trainer::StopForWantOfGroups(const StepRollout& rollout) {
  ThrowUser(
      "[dynamic_sampling] too few groups have both right and wrong members after "
      "dynamic_sampling.max_rounds rounds; raise max_rounds and start the same command again, "
      "which "
      "goes on from this step, or take prompts that the policy sometimes solves",
      Named("step", next_step_), Named("rounds", rollout.rounds),
      Named("groups_needed", config_.prompts_per_step()), Named("groups_missing", rollout.missing));
}

// Before the first step there is nothing to lose, and a checkpoint would only fix the settings that
// the error may ask to change.
void Trainer::SaveWhatIsWhole() {
  if (!between_steps_ || next_step_ == 0 || saved_step_ == next_step_) return;
  SaveOnTheWayOut(next_step_, &disk_wait_, [this] { Save(); });
}

void Trainer::Save() {
  metrics_->Sync();
  traces_->Sync();
  Manifest manifest;
  manifest.set_prompts_used(prompts_used_);
  manifest.set_metrics_bytes(metrics_->metrics_bytes());
  manifest.set_events_bytes(metrics_->events_bytes());
  manifest.set_trace_segment(traces_->position().segment);
  manifest.set_trace_bytes(traces_->position().bytes);
  manifest.set_stage("rl");
  CheckpointRun(State(), next_step_, std::move(manifest));
  saved_step_ = next_step_;
  traces_->EndSegment();
  kept_.Passed(next_step_);
}

}  // namespace grouper
