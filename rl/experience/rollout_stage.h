// A step's rollout: the groups of the next prompts, sampled, scored as soon as each is complete,
// and checked for what no later code can repair (grpo.md 11, 2 and 3). Under dynamic sampling more
// rounds of prompts follow until enough groups can be trained on. Collaborators outlive it; one
// thread.
#pragma once

#include <optional>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "rl/data/prompt_set.h"
#include "rl/experience/group_scorer.h"
#include "rollout/generator.h"

namespace grouper {

// Where a step begins.
struct StepStart {
  int64_t step = 0;
  uint64_t first_prompt = 0;    // ordinal of its first prompt
  uint64_t policy_version = 0;  // of the weights that sample
  uint64_t weights_digest = 0;
};

struct StepRollout {
  std::vector<Group> groups;  // in order of prompt, scored; those not to train on are `dropped`
  int64_t rounds = 0;
  int64_t missing = 0;       // groups that dynamic_sampling.max_rounds rounds did not bring
  GeneratorStats generator;  // of this step alone
  double generate_seconds = 0;
  double score_seconds = 0;  // waited for after the last token
  int64_t verdicts_reused = 0;
  Stopwatch since_begin;
};

class RolloutStage {
 public:
  // kept: verdicts that a resume need not ask for again; may be nullptr.
  RolloutStage(const Config& config, const Tokenizer& tokenizer, const PromptSet* prompts,
               Generator* generator, GroupScorer* scorer, const KeptVerdicts* kept = nullptr);

  // The groups of the step's prompts. Empty when a stop was requested: the step is abandoned, and
  // the same call makes it again, bit for bit. kInternal naming the rollout when a check fails.
  std::optional<StepRollout> Run(const StepStart& start, std::stop_token stop);

 private:
  // Samples and scores the groups of the next prompts_per_step prompts and appends them to those of
  // earlier rounds. False when a stop was requested.
  bool Round(const StepStart& start, const GenerateOptions& options, StepRollout* out,
             std::stop_token stop);
  void Check(const std::vector<Group>& groups, const GenerateOptions& options) const;

  Config config_;
  const Tokenizer& tokenizer_;
  const PromptSet* prompts_;
  Generator* generator_;
  GroupScorer* scorer_;
  const KeptVerdicts* kept_;
  std::vector<int32_t> stop_ids_;  // in addition to <eos>
};

}  // namespace grouper
