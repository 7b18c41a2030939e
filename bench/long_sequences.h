// Speeds that long sequences decide: a GRPO step with long prompts, and the tail of a rollout.
#pragma once

#include "bench/policy_speed.h"

namespace grouper::bench {

// A GRPO step whose prompts are long and whose answers are short: groups of 16 completions of 64
// tokens after prompts of 512. It is measured twice in one run, with each prompt computed once per
// group, and with every completion trained as a whole sequence. Medians over the rounds, in
// seconds.
struct PromptStep {
  double generate = 0;
  double train_shared = 0, train_whole = 0;
  int64_t shared_tokens = 0, whole_tokens = 0;  // computed by an update
  double mean_new_tokens = 0;
};
PromptStep MeasurePromptStep(const PolicyCase& policy, int rounds, Stream& stream);

// The tail of a rollout, when one long completion remains: seconds of a decoded token at a position
// of about 8,192, and of an update on one sequence of 4,096. The least of the rounds.
struct TailStep {
  double token = 0;  // decoded
  // Attention of that token in one layer: on the thread that has its row, as long as rows were the
  // only tasks; and shared by all threads. The two forms alternate.
  double attention_one_thread = 0, attention_shared = 0;
  double update = 0;  // forward, backward and AdamW on one sequence
};
TailStep MeasureTail(const PolicyCase& policy, int rounds, Stream& stream);

}  // namespace grouper::bench
