// Repeats a step of a run and compares every bit with the run's record: prompts, tokens, log-probs,
// entropies, experts, advantages, and the weights after the step if a checkpoint or the next step
// recorded them. The trainer itself makes the steps, in a folder of its own, so RUN is only read,
// even while a learner still writes it. The replay starts from the newest valid checkpoint at or
// before the step, or else from the run's first weights; the steps in between are made and compared
// too. The verdicts are those of the record, so no reward service is needed and nothing is judged
// again. Settings that may change on a resume have the values of the run's last start: a COSINE
// schedule depends on `steps`, so steps that were made towards another goal need that goal again
// (--set steps=N).
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "rl/replay/step_difference.h"
#include "rl/run/session.h"

namespace grouper {

struct ReplayOptions {
  std::string run;
  int64_t step = 0;
  // Assignments a.b=c over the run's config, for example for a data file that was moved.
  std::vector<std::string> set;
  SessionOptions session;
  std::function<void(const std::string&)> print;  // progress
};

struct ReplayResult {
  std::string start;                      // the checkpoint's folder; empty: the run's first weights
  int64_t first_step = 0, last_step = 0;  // that were repeated, inclusive
  int64_t rollouts = 0, tokens = 0;       // that were compared in these steps
  // What the weights after the last step were compared with: "checkpoint" (every tensor), "next
  // step" (the digest that its rollouts carry) or "" (nothing recorded them).
  std::string weights_from;
  std::string weights_sha256;
  std::optional<StepDifference> difference;  // the first; later steps were not made
  bool stopped = false;                      // by a signal
};

// kUser when the folder, the step or the numeric profile does not allow it, saying what would.
ReplayResult Replay(const ReplayOptions& options, std::stop_token stop);

}  // namespace grouper
