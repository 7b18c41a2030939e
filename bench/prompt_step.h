// Seconds of a GRPO step whose prompts are long and whose answers are short: groups of 16
// completions of 64 tokens after prompts of 512. It is measured twice in one run, with each prompt
// computed once per group, and with every completion trained as a whole sequence.
#pragma once

#include "bench/policy_speed.h"

namespace grouper::bench {

// All times are medians over the rounds, in seconds.
struct PromptStep {
  double generate = 0;
  double train_shared = 0, train_whole = 0;
  int64_t shared_tokens = 0, whole_tokens = 0;  // computed by an update
  double mean_new_tokens = 0;
};
PromptStep MeasurePromptStep(const PolicyCase& policy, int rounds, Stream& stream);

}  // namespace grouper::bench
