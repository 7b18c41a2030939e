// A step's rollout: the groups of the next prompts, sampled, scored as soon as each is complete,
// and checked for what no later code can repair (grpo.md 11, 2 and 3). Collaborators outlive it;
// one thread.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "rl/prompt_set.h"
#include "rl/reward_stage.h"
#include "rl/session.h"

namespace grouper {

struct StepRollout {
  std::vector<Group> groups;  // in order of prompt, scored
  EngineStats engine;         // of this step alone
  double generate_seconds = 0;
  double score_seconds = 0;  // waited for after the last token
  int64_t verdicts_reused = 0;
};

class RolloutStage {
 public:
  using Tamper = std::function<void(int64_t step, std::vector<Group>*)>;

  // kept: verdicts that a resume need not ask for again; may be nullptr.
  RolloutStage(const Config& config, Session* session, const PromptSet* prompts,
               RewardStage* reward, const KeptVerdicts* kept = nullptr);

  // False when stop was requested: the step is abandoned and can be made again, bit for bit.
  // tamper may be empty; it sees what was sampled before the checks. kInternal naming the rollout
  // when a check fails.
  bool Run(int64_t step, uint64_t policy_version, uint64_t weights_digest, const Tamper& tamper,
           StepRollout* out, std::stop_token stop);

 private:
  void Check(const std::vector<Group>& groups, const GenerateOptions& options) const;

  Config config_;
  Session* session_;
  const PromptSet* prompts_;
  RewardStage* reward_;
  const KeptVerdicts* kept_;
  std::vector<int32_t> stop_ids_;  // beside <eos>
};

}  // namespace grouper
