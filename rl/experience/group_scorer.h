// Where the verdicts of sampled completions come from: reward services (RewardStage), the record of
// an earlier run (grouper replay), or a test.
#pragma once

#include <cstdint>
#include <stop_token>
#include <vector>

#include "base/error.h"
#include "proto/trace.pb.h"
#include "rl/experience/kept_verdicts.h"

namespace grouper {

class GroupScorer {
 public:
  virtual ~GroupScorer() = default;
  // Fills the scores of every group, one per completion in order; a failure to score is a status of
  // its own, never reward 0. Groups whose verdicts `kept` (may be nullptr) holds are not judged
  // again; returns the number of verdicts that were taken from it. kUnavailable when nobody answers
  // in time, or when a stop was requested. One call at a time, from any thread.
  virtual int64_t Score(std::vector<Group>* groups, const KeptVerdicts* kept = nullptr,
                        std::stop_token stop = {}) = 0;
};

// Scores the groups; false when a stop was requested first.
inline bool ScoreUnlessStopped(GroupScorer* scorer, std::vector<Group>* groups,
                               const std::stop_token& stop) {
  try {
    scorer->Score(groups, nullptr, stop);
  } catch (const Error&) {
    if (!stop.stop_requested()) throw;
    return false;
  }
  return true;
}

}  // namespace grouper
