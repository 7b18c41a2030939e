// A run's complete steps as its trace holds them, one at a time in order, for those who make them
// again. Only reads, also beside a learner that writes. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trace/store/trace_reader.h"

namespace grouper {

struct RecordedStep {
  int64_t step = 0;
  std::vector<Group> groups;  // completions with their arrays, in order of the record
  StepRecord end;
  // Of the weights behind the step, as the next step's rollouts carry it.
  std::optional<uint64_t> next_weights_digest;
};

class RecordedSteps {
 public:
  // Reads the trace once for its range. kUser when the folder holds no trace of a training run.
  explicit RecordedSteps(const std::string& run);

  const TraceHeader& header() const { return reader_.header(); }
  // Complete steps: those that end with a record. None: last() < first().
  int64_t first() const { return first_; }
  int64_t last() const { return last_; }

  // Steps must grow from call to call. kUser when the step is no longer there.
  RecordedStep Read(int64_t step);

 private:
  TraceReader reader_;
  std::optional<TraceFrame> ahead_;  // read, but of the next step
  int64_t first_ = 0, last_ = -1;
};

}  // namespace grouper
