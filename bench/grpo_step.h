// Seconds of the quickstart's GRPO step: 16 prompts, 16 samples each, at most 64 new tokens, one
// update over all of them, rewards over gRPC from the trainer's own service. The policy is random
// and stays random (its learning rate is tiny), so that every step does the same work.
#pragma once

#include <string>
#include <vector>

namespace grouper::bench {

// All times are medians over the steps, in seconds.
struct GrpoStep {
  double step = 0, least = 0;
  double generate = 0, score = 0, train = 0, other = 0;
  double mean_new_tokens = 0;
};
// run: an empty or new folder for the run's files.
// set: more settings of the run, as a.b=c.
GrpoStep MeasureGrpoStep(const std::string& run, int threads, int steps,
                         const std::vector<std::string>& set);

}  // namespace grouper::bench
