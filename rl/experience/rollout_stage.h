// A step's rollout: the groups of the next prompts, sampled, scored as soon as each is complete,
// and checked for what no later code can repair (grpo.md 11, 2 and 3). Under dynamic sampling more
// rounds of prompts follow until enough groups can be trained on. Collaborators outlive it; one
// thread.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "rl/data/prompt_set.h"
#include "rl/experience/reward_stage.h"
#include "rl/run/session.h"

namespace grouper {

struct StepRollout {
  std::vector<Group> groups;  // in order of prompt, scored; those not to train on are `dropped`
  int64_t rounds = 0;
  int64_t missing = 0;  // groups that dynamic_sampling.max_rounds rounds did not bring
  EngineStats engine;   // of this step alone
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

  // The groups of the prompts from first_prompt on. False when stop was requested: the step is
  // abandoned and can be made again, bit for bit. tamper may be empty; it sees what was sampled
  // before the checks. kInternal naming the rollout when a check fails.
  bool Run(int64_t step, uint64_t first_prompt, uint64_t policy_version, uint64_t weights_digest,
           const Tamper& tamper, StepRollout* out, std::stop_token stop);

 private:
  bool Round(int64_t step, uint64_t first_prompt, const GenerateOptions& options,
             const Tamper& tamper, StepRollout* out, std::stop_token stop);
  void Check(const std::vector<Group>& groups, const GenerateOptions& options) const;

  Config config_;
  Session* session_;
  const PromptSet* prompts_;
  RewardStage* reward_;
  const KeptVerdicts* kept_;
  std::vector<int32_t> stop_ids_;  // beside <eos>
};

}  // namespace grouper
