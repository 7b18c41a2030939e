// Reads a run's trace, its segments in order. It can read a trace that is still being written, and
// a copy without the rest of the run. It holds one group in memory, and the completions whose group
// has not come yet. A torn tail ends its segment and is reported. Not thread-safe; any number of
// readers may read while one writer writes, and do not disturb it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/io/record_file.h"
#include "proto/trace.pb.h"

namespace grouper {

struct GroupFilter {
  int64_t first_step = std::numeric_limits<int64_t>::min();
  int64_t last_step = std::numeric_limits<int64_t>::max();
  std::optional<uint64_t> rollout_id = {};  // selects the group that holds this rollout
  std::optional<uint64_t> prompt_ordinal = {};
};

struct GroupEntry {
  int64_t index_in_step = 0;
  Group group;  // its completions have their arrays
};

// The groups in the segments that the last ReadGroups read, also those that its filter left out.
// Ranges include both ends, and are empty when groups is 0.
struct TraceExtent {
  int64_t groups = 0;
  int64_t first_step = 0, last_step = 0;
  uint64_t first_rollout = 0, last_rollout = 0;
  uint64_t first_prompt = 0, last_prompt = 0;
  int64_t missing_completions = 0;  // members of the visited groups whose own frame was not found
};

// Bytes after the last valid frame of a segment, which are being written or were cut by a crash.
struct TornTail {
  std::string path;
  uint64_t valid_bytes = 0;
  uint64_t file_bytes = 0;
};

class TraceReader {
 public:
  // `path` is a run folder (RUN/traces/WRITER/seg-N.gtr), its traces folder, a writer's folder, or
  // one segment. Throws kUser when it does not exist, when it holds no segment, and when a segment
  // has another format.
  explicit TraceReader(const std::string& path);
  ~TraceReader();

  // The header of the first segment. It is empty when none has been written yet.
  const TraceHeader& header() const { return header_; }
  const std::vector<std::string>& segments() const { return segments_; }

  // Reads the next frame; the frames of all segments come in order, headers included. Returns false
  // at the end. Throws kUser, with the file and the byte, for a whole frame that does not parse.
  bool Next(TraceFrame* frame);
  void Rewind();

  // The step of the last group; nothing when there is no group. Reads only the last segment that
  // holds one.
  std::optional<int64_t> LastStep() const;

  // Passes over the trace from its start; with a range of steps only over the segments that may
  // hold them. Visits the groups that pass the filter, with their completions joined in, and the
  // step records, all in the order of their frames. A visitor of groups that returns false ends the
  // pass.
  void ReadGroups(const GroupFilter& filter, const std::function<bool(GroupEntry&)>& visit_group,
                  const std::function<void(const StepRecord&)>& visit_step = {});

  const TraceExtent& extent() const { return extent_; }
  // The torn tails that were met since the last Rewind, or in the last ReadGroups.
  const std::vector<TornTail>& torn() const { return torn_; }

 private:
  void Rewind(std::vector<std::string> segments);

  std::vector<std::vector<std::string>> writers_;  // the segments of each writer
  std::vector<std::string> segments_;              // of all writers
  std::vector<std::string> pass_;                  // those that the current pass reads
  TraceHeader header_;
  size_t next_segment_ = 0;
  std::unique_ptr<RecordReader> reader_;  // reads pass_[next_segment_ - 1]
  std::string record_;
  TraceExtent extent_;
  std::vector<TornTail> torn_;
};

}  // namespace grouper
