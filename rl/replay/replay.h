// Makes a step of a run again and compares every bit with the run's record: prompts, tokens,
// log-probs, entropies, experts, advantages, and the weights behind the step where a checkpoint or
// the next step tells them. The trainer itself makes the steps, in a folder of its own: RUN is only
// read, also beside its learner. It starts from the newest valid checkpoint at or before the step,
// else from the run's first weights; steps in between are made and compared too. Verdicts are the
// record's, for all of these steps: no reward service is needed, and no judgement is repeated.
// Settings that a resume may change are those of the last start: a COSINE schedule follows `steps`,
// so steps made towards another goal need that goal again (--set steps=N).
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
  std::vector<std::string> set;  // a.b=c over the run's config: a moved data file, another cut
  SessionOptions session;
  std::function<void(const std::string&)> print;  // progress
};

struct ReplayResult {
  std::string start;                      // the checkpoint's folder; empty: the run's first weights
  int64_t first_step = 0, last_step = 0;  // made again, inclusive
  int64_t rollouts = 0, tokens = 0;       // compared, over these steps
  // What vouched for the weights behind the last step: "checkpoint" (every tensor), "next step"
  // (its rollouts' digest) or "" (nothing recorded them).
  std::string weights_from;
  std::string weights_sha256;
  std::optional<StepDifference> difference;  // the first; steps behind it were not made
  bool stopped = false;                      // by a signal
};

// kUser when the folder, the step or the numeric profile does not allow it, saying what would.
ReplayResult Replay(const ReplayOptions& options, std::stop_token stop);

}  // namespace grouper
