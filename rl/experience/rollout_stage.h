// The rollout of a step: the groups of the next prompts are sampled, scored as soon as each is
// complete, and checked for faults that no later code could repair (docs/algorithms.md 13). With
// dynamic sampling, further rounds of prompts follow until enough groups can be trained on. One
// thread; all pointers outlive the stage.
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
  std::vector<Group> groups;  // scored, in order of prompt; groups not to train on are `dropped`
  int64_t rounds = 0;
  int64_t length_cap = 0;    // the most new tokens of a completion of this step
  int64_t missing = 0;       // groups that dynamic_sampling.max_rounds rounds did not bring
  GeneratorStats generator;  // of this step alone
  double generate_seconds = 0;
  double score_seconds = 0;  // the wait that remained after the last token
  int64_t verdicts_reused = 0;
  Stopwatch since_begin;
};

class RolloutStage {
 public:
  // kept: verdicts of an interrupted run that need not be asked for again; may be nullptr.
  RolloutStage(const Config& config, const Tokenizer& tokenizer, const PromptSet* prompts,
               Generator* generator, GroupScorer* scorer, const KeptVerdicts* kept = nullptr);

  // Samples and scores the groups of the step's prompts. Returns nothing when a stop was requested:
  // the step is abandoned, and the same call repeats it bit for bit. kInternal, naming the rollout,
  // when a check fails.
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
