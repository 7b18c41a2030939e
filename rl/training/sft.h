// Supervised training (base stage, cold start, distillation) by the learner's own path: token
// log-probs with a constant upstream gradient. Batches are a pure function of the step, so a resume
// needs no cursor.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "rl/data/document_set.h"
#include "rl/learner/learner.h"
#include "rl/run/metrics.h"
#include "rl/run/run_dir.h"
#include "rl/run/session.h"
#include "rl/training/trainer.h"

namespace grouper {

// Runs config.sft.steps updates in the run folder, goes on from its newest checkpoint.
// result.stopped: a signal came; the state was saved.
TrainResult RunSft(const Config& config, const std::string& run_folder,
                   const SessionOptions& options, const TrainHooks& hooks, std::stop_token stop);

}  // namespace grouper
