// The updates of a step (docs/training_step.md): its outputs dealt to minibatches, one optimizer
// step each, the first under the weights that sampled them, the later ones with real ratios. Every
// token of the step is compared before the weights move (config.check_audit_every).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "rl/learner/learner.h"
#include "rl/learner/reference.h"

namespace grouper {

struct StepUpdate {
  MismatchCounts check;               // over the step; a token counts once
  std::vector<UpdateResult> updates;  // one a minibatch, in order
  int64_t refreshes = 0;              // of the reference
  int64_t tokens_not_compared = 0;  // sampled under an older version than their update's, no audit

  // Sums over the updates.
  TokenCounts Tokens() const;
  RatioStats Ratios() const;
};

class UpdateStage {
 public:
  // All outlive the stage; reference may be nullptr. Errors name run_folder.
  UpdateStage(const Config& config, const std::string& run_folder, const Policy* policy,
              Learner* learner, Reference* reference);

  // kInternal as Learner::Update, after the failed update was tried once more (second_try.h);
  // minibatches before the failed one have moved the weights, so nothing of the step may be saved.
  StepUpdate Run(int64_t step, std::span<const Group> groups);

 private:
  Config config_;
  std::string run_folder_;
  const Policy* policy_;
  Learner* learner_;
  Reference* reference_;
};

// Updates of a whole run, the horizon of its schedules.
int64_t UpdatesOf(const Config& config);

}  // namespace grouper
