// The updates of a step (docs/training_step.md, "Several updates per step"). The outputs of the
// step are divided into minibatches, and each makes one optimizer step: the first under the weights
// that sampled it, the later ones with real ratios. Every token of the step is compared before the
// weights change, unless config.check_audit_every leaves the later minibatches out.
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
  MismatchCounts check;               // of the whole step; a token counts once
  std::vector<UpdateResult> updates;  // one per minibatch, in order
  int64_t refreshes = 0;              // of the reference
  // Tokens of later minibatches in a step without the extra pass that compares them.
  int64_t tokens_not_compared = 0;

  // Sums over the updates.
  TokenCounts Tokens() const;
  RatioStats Ratios() const;
};

class UpdateStage {
 public:
  // All pointers outlive the stage; reference may be nullptr. Errors name run_folder.
  UpdateStage(const Config& config, const std::string& run_folder, const Policy* policy,
              Learner* learner, Reference* reference);

  // Throws what Learner::Update throws, after the failed update was repeated once (second_try.h).
  // The minibatches before the failed one have changed the weights, so nothing of the step may be
  // saved. length_cap: the most new tokens under which the groups were sampled.
  StepUpdate Run(int64_t step, std::span<const Group> groups, int64_t length_cap);

 private:
  Config config_;
  std::string run_folder_;
  const Policy* policy_;
  Learner* learner_;
  Reference* reference_;
};

// The number of updates of a whole run; its schedules end there.
int64_t UpdatesOf(const Config& config);

}  // namespace grouper
