#include "rl/training/trainer.h"

#include <algorithm>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "kernels/numerics.h"
#include "proto/textproto.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/dynamic_sampling.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/schedule.h"
#include "rl/experience/kl_penalty.h"
#include "rl/learner/minibatch.h"
#include "rl/run/resume.h"
#include "rl/training/step_report.h"

namespace grouper {
namespace {

double SecondsSince(int64_t nanos) {
  return static_cast<double>(SystemClock().MonotonicNanos() - nanos) * 1e-9;
}

bool Every(int64_t steps_done, int64_t interval) {
  return interval > 0 && steps_done % interval == 0;
}

TraceHeader HeaderOf(const Config& config, const std::string& run) {
  TraceHeader header;
  header.set_run_id(run);
  header.set_format_version("1");
  header.set_numeric_profile(numerics::kCpuProfile);
  header.set_group_size(static_cast<uint32_t>(config.group_size()));
  header.set_seed(config.seed());
  header.set_resolved_config(ToTextproto(config));
  return header;
}

}  // namespace

void CheckTrainConfig(const Config& config) {
  USER_CHECK(config.steps() >= 0, "[config] steps must not be negative, got", config.steps());
  USER_CHECK(config.prompts_per_step() >= 1, "[config] prompts_per_step must be at least 1, got",
             config.prompts_per_step());
  USER_CHECK(config.group_size() >= 2 && config.group_size() <= 65536,
             "[config] group_size must be from 2 to 65536: a group needs a spread of rewards, got",
             config.group_size());
  USER_CHECK(config.sampling().temperature() > 0,
             "[config] sampling.temperature must be above 0 for training; 0 is for eval, got",
             config.sampling().temperature());
  USER_CHECK(config.sampling().max_new_tokens() >= 1,
             "[config] sampling.max_new_tokens must be at least 1, got",
             config.sampling().max_new_tokens());
  CheckLengthSchedule(config);
  CheckLossConfig(config.loss());
  CheckMinibatches(config);
  CheckReferenceConfig(config);
  CheckDynamicSampling(config.dynamic_sampling());
  USER_CHECK(config.reward().rubric_size() > 0,
             "[config] reward.rubric is empty: name at least one set of scoring rules "
             "(examples/quickstart_rl.textproto)");
}

Trainer::Trainer(const Config& config, const std::string& run_folder, const SessionOptions& options,
                 TrainHooks hooks)
    : config_((CheckTrainConfig(config), config)),
      hooks_(std::move(hooks)),
      disk_wait_(MakeDiskWait(config_)),
      run_(run_folder),
      session_(&config_, options),
      prompts_(config_, session_.tokenizer()),
      reward_(config_.reward(), Sha256Hex(run_folder).substr(0, 16), hooks_.scores),
      rollouts_(config_, &session_, &prompts_, &reward_, &kept_),
      learner_(&session_.policy(), config_, session_.stream()),
      reference_(MakeReference(config_, session_.policy(), session_.stream())),
      updates_(config_, run_folder, &session_.policy(), &learner_, reference_.get()) {
  const ResumePoint point =
      GoOn(config_, config_.steps(), &run_, &disk_wait_, &session_, &learner_, reference_.get());
  next_step_ = point.step;
  prompts_used_ = point.prompts_used;
  if (point.resumed) saved_step_ = point.step;
  // A shuffled reward is no verdict of its rollout.
  if (!config_.reward().shuffle()) {
    kept_ = KeptVerdicts::Keep(run_folder, point.trace_bytes, point.step, &disk_wait_);
  }
  metrics_ = std::make_unique<MetricsWriter>(run_folder, point.metrics_bytes, point.events_bytes,
                                             &disk_wait_, hooks_.clock);
  traces_ = std::make_unique<TraceWriter>(run_folder, HeaderOf(config_, run_folder),
                                          point.trace_bytes, &disk_wait_);
  KILL_POINT("resume.ready");
  std::vector<Prompt> questions = prompts_.EvalPrompts(config_.eval().questions());
  if (!questions.empty()) {
    evaluator_ = std::make_unique<Evaluator>(std::move(questions), config_, &reward_);
  }
  weights_digest_ = session_.policy().weights().Digest();
}

Trainer::~Trainer() = default;

TrainResult Trainer::Run(std::stop_token stop) {
  disk_wait_.set_stop(stop);
  while (next_step_ < config_.steps()) {
    if (stop.stop_requested() || !MakeStep(stop)) {
      // The step in work can be made again, bit for bit: the state at its start is what is saved.
      if (saved_step_ != next_step_) Save(next_step_);
      result_.stopped = true;
      break;
    }
    if (Every(next_step_, config_.checkpoint_every()) && next_step_ < config_.steps()) {
      Save(next_step_);
    }
  }
  result_.steps = next_step_;
  result_.policy_version = learner_.version();
  if (!result_.stopped) {
    if (saved_step_ != next_step_ || next_step_ == 0) Save(next_step_);
    if (evaluator_ != nullptr && !result_.last_eval) result_.last_eval = EvaluateNow(stop);
  }
  result_.weights_sha256 = session_.policy().weights().Sha256();
  if (!result_.stopped) {
    StoreResult(run_, result_.steps, result_.policy_version, result_.weights_sha256, &disk_wait_);
  }
  return result_;
}

bool Trainer::MakeStep(std::stop_token stop) {
  if (!Step(next_step_, stop)) return false;
  ++next_step_;
  return true;
}

// The step cannot be made under these settings; the state at its start is saved first.
void Trainer::StopForWantOfGroups(int64_t step, const StepRollout& rollout) {
  if (!hooks_.scores && saved_step_ != step) Save(step);  // a replay saves nothing
  ThrowUser(
      "[dynamic_sampling] too few groups have both right and wrong members after "
      "dynamic_sampling.max_rounds rounds; the state is saved: raise max_rounds and start the same "
      "command again, or take prompts that the policy sometimes solves (step, rounds, groups "
      "needed, missing)",
      step, rollout.rounds, config_.prompts_per_step(), rollout.missing);
}

bool Trainer::Step(int64_t step, std::stop_token stop) {
  KILL_POINT("step.begun");
  const int64_t begin = SystemClock().MonotonicNanos();
  StepMetrics metrics;
  StepRollout rollout;
  if (!rollouts_.Run(step, prompts_used_, learner_.version(), weights_digest_, hooks_.tamper,
                     &rollout, stop)) {
    return false;
  }
  if (rollout.missing > 0) StopForWantOfGroups(step, rollout);
  std::vector<Group>& groups = rollout.groups;
  KlPenaltySum penalties;
  if (KlInReward(config_.loss())) penalties = AddKlPenalties(config_, reference_.get(), groups);
  for (Group& group : groups) {
    group.set_step(step);
    AssignAdvantages(config_.advantage(), &group);
  }
  traces_->AppendStep(step, groups);  // durable before the weights move
  KILL_POINT("step.traced");
  if (hooks_.before_update) hooks_.before_update(step, &groups);

  const int64_t training = SystemClock().MonotonicNanos();
  const StepUpdate update = updates_.Run(step, groups);
  const double train_seconds = SecondsSince(training);
  KILL_POINT("step.updated");
  weights_digest_ = session_.policy().weights().Digest();
  const int64_t sampled = rollout.engine.sampled_tokens, dropped = DroppedTokens(groups);
  CHECK(config_.check() == Config::OFF ||
            update.check.tokens + update.tokens_not_compared + dropped == sampled,
        "[trainer] not every sampled token was compared (compared, off policy without an audit, of "
        "dropped groups, sampled)",
        update.check.tokens, update.tokens_not_compared, dropped, sampled);
  const TokenCounts tokens = update.Tokens();
  CHECK(tokens.in_loss + tokens.unscored + tokens.truncated + dropped == sampled,
        "[trainer] tokens in the loss and tokens left out are not the tokens sampled (in, "
        "unscored, truncated, dropped, sampled)",
        tokens.in_loss, tokens.unscored, tokens.truncated, dropped, sampled);
  CHECK(learner_.optimizer().updates() == static_cast<int64_t>(learner_.version()),
        "[trainer] the policy version is not the number of updates (version, updates)",
        learner_.version(), learner_.optimizer().updates());

  CollectRewards(groups, &metrics);
  metrics.AddCount("reward.reused", rollout.verdicts_reused);
  CollectUpdates(update, learner_.version(), &metrics);
  if (config_.dynamic_sampling().enabled()) CollectDropped(groups, rollout.rounds, &metrics);
  if (KlInReward(config_.loss())) {
    metrics.Add("kl.in_reward",
                penalties.estimator / static_cast<double>(std::max<int64_t>(1, penalties.tokens)));
  }
  metrics.AddCount("rollout.sampled_tokens", sampled);
  metrics.AddCount("rollout.preemptions", rollout.engine.preemptions);
  metrics.Add("time.generate_seconds", rollout.generate_seconds);
  metrics.Add("time.score_seconds", rollout.score_seconds);
  metrics.Add("time.train_seconds", train_seconds);
  metrics.Add("rate.generate_tokens_per_second",
              static_cast<double>(rollout.engine.forwarded_tokens) / rollout.generate_seconds);
  metrics.Add("rate.train_tokens_per_second",
              static_cast<double>(tokens.forwarded) / train_seconds);
  metrics.Add("time.step_seconds", SecondsSince(begin));
  result_.checked_tokens += update.check.tokens;
  result_.mismatches += update.check.total();

  StepRecord record;
  record.set_step(step);
  record.set_policy_version(learner_.version());
  record.set_checked_tokens(static_cast<uint64_t>(update.check.tokens));
  record.set_mismatches(static_cast<uint64_t>(update.check.total()));
  if (reference_ != nullptr) record.set_reference_digest(reference_->digest());
  traces_->AppendStepRecord(record);
  if (evaluator_ != nullptr && Every(step + 1, config_.eval_every())) {
    EvalResult eval;
    // An update that was begun is finished; a signal during the evaluation only cuts the
    // evaluation.
    if (evaluator_->Run(&session_.engine(), learner_.version(), weights_digest_, &eval, stop)) {
      metrics.Add("eval.pass_at_1", eval.pass_at_1);
      metrics.Add("eval.standard_error", eval.standard_error);
      metrics.Add("eval.greedy", eval.greedy);
      metrics.Add("eval.length_mean", eval.length_mean);
      metrics.Add("eval.truncated", eval.truncated);
      metrics.AddCount("eval.not_scored", eval.not_scored);
      if (step + 1 == config_.steps()) result_.last_eval = std::move(eval);
    }
    KILL_POINT("step.evaluated");
  }
  metrics_->Write(step, metrics);
  prompts_used_ += groups.size();
  KILL_POINT("step.done");
  if (hooks_.print) hooks_.print(ProgressLine(step, metrics));
  return true;
}

std::optional<EvalResult> Trainer::EvaluateNow(std::stop_token stop) {
  CHECK(evaluator_ != nullptr, "[trainer] no held-out questions, there is nothing to evaluate");
  EvalResult eval;
  if (!evaluator_->Run(&session_.engine(), learner_.version(), weights_digest_, &eval, stop)) {
    return std::nullopt;
  }
  return eval;
}

void Trainer::Save(int64_t step) {
  metrics_->Sync();
  traces_->Sync();
  Manifest manifest;
  manifest.set_prompts_used(prompts_used_);
  manifest.set_metrics_bytes(metrics_->metrics_bytes());
  manifest.set_events_bytes(metrics_->events_bytes());
  manifest.set_trace_bytes(traces_->offset_bytes());
  manifest.set_stage("rl");
  SaveRun(config_, step, std::move(manifest), &run_, &disk_wait_, &session_, &learner_,
          reference_.get());
  saved_step_ = step;
  kept_.Passed(step);
}

}  // namespace grouper
