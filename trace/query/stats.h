// The figures of each step of a trace, computed from its groups and its step record alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "proto/trace.pb.h"
#include "trace/store/trace_reader.h"

namespace grouper {

struct StepStats {
  int64_t step = 0;
  int64_t groups = 0;
  int64_t no_signal_groups = 0;  // fewer than two SCORED members, or all rewards equal
  int64_t completions = 0;
  int64_t tokens = 0;      // sampled tokens, stop tokens included
  int64_t max_tokens = 0;  // the most tokens of one completion
  int64_t truncated = 0;   // completions with finish reason LENGTH
  int64_t correct = 0;     // SCORED, with verdict CORRECT or AC
  int64_t rewarded = 0;    // SCORED, with a reward
  std::array<int64_t, reward::v1::ScoreResult::Status_ARRAYSIZE>
      statuses{};  // counts, indexed by Status
  double reward_sum = 0;
  double entropy_sum = 0;
  int64_t entropy_tokens = 0;
  std::optional<StepRecord> record;  // empty while the step is not finished

  void Add(const Group& group);

  int64_t scored() const { return statuses[reward::v1::ScoreResult::SCORED]; }
  // A mean over nothing is NaN.
  double reward_mean() const;
  double accuracy() const;  // over SCORED members, because a failure is not a wrong answer
  double length_mean() const;
  double truncated_share() const;
  double entropy_mean() const;  // over tokens, in nats
};

// Returns one entry per step, in ascending order. It takes one pass over the trace.
std::vector<StepStats> CollectStats(TraceReader* reader);

}  // namespace grouper
