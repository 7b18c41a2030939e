// Reads the complete steps of a run from its trace, one at a time and in order, so that they can be
// repeated. It only reads, and may do so while a learner writes. For use by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trace/store/trace_reader.h"

namespace grouper {

struct RecordedStep {
  int64_t step = 0;
  std::vector<Group> groups;  // in the order of the record; completions have their arrays
  StepRecord end;
  // The digest of the weights after the step, which the rollouts of the next step carry.
  std::optional<uint64_t> next_weights_digest;
};

class RecordedSteps {
 public:
  // Reads the trace once to find first() and last(). Throws kUser when the folder holds no trace.
  explicit RecordedSteps(const std::string& run);

  const TraceHeader& header() const { return reader_.header(); }
  // The range of complete steps, which are those that end with a step record. last() < first() when
  // there is none.
  int64_t first() const { return first_; }
  int64_t last() const { return last_; }

  // Each call must ask for a later step than the one before. Throws kUser when the step is no
  // longer there.
  RecordedStep Read(int64_t step);

 private:
  TraceReader reader_;
  std::optional<TraceFrame>
      ahead_;  // the first frame of the next step, which has been read already
  int64_t first_ = 0, last_ = -1;
};

}  // namespace grouper
