// What a step leaves in metrics.jsonl, in the trace and on the console (docs/training_step.md,
// "Metrics"). Pure functions of the step's groups and updates.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/evaluation/evaluator.h"
#include "rl/experience/kl_penalty.h"
#include "rl/experience/rollout_stage.h"
#include "rl/learner/update_stage.h"
#include "rl/metrics/metrics.h"

namespace grouper {

// kInternal unless the tokens that were compared and those that were trained on account for every
// token that was sampled.
void CheckTokenCounts(Config::CheckMode check, const StepRollout& rollout,
                      const StepUpdate& update);

// All metrics of a step but those of its evaluation, in the order in which they are written.
// policy_version is that after the step's updates.
StepMetrics ReportStep(const Config& config, const StepRollout& rollout,
                       const KlPenaltySum& penalties, const StepUpdate& update,
                       uint64_t policy_version, double train_seconds);
void AddEvaluation(const EvalResult& eval, StepMetrics* metrics);

// What the trace says of a finished step; reference may be nullptr.
StepRecord RecordOf(int64_t step, const StepUpdate& update, uint64_t policy_version,
                    const Reference* reference);

// Groups without any scored completion.
int64_t TasksNotJudged(std::span<const Group> groups);

std::string ProgressLine(int64_t step, const StepMetrics& metrics);

}  // namespace grouper
