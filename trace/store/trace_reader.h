// Reads a run's trace: all segments in order, also while they are written, also a copy without the
// run. Keeps one group and the completions waiting for theirs in memory. Not thread-safe; any
// number of readers may stand beside the writer, which never notices them. A torn tail ends its
// segment and is reported.
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
  std::optional<uint64_t> rollout_id = {};  // the group that holds it
  std::optional<uint64_t> prompt_ordinal = {};
};

struct GroupEntry {
  int64_t index_in_step = 0;
  Group group;  // completions with their arrays
};

// What the last ReadGroups saw, whatever its filter; ranges are inclusive and empty when groups ==
// 0.
struct TraceExtent {
  int64_t groups = 0;
  int64_t first_step = 0, last_step = 0;
  uint64_t first_rollout = 0, last_rollout = 0;
  uint64_t first_prompt = 0, last_prompt = 0;
  int64_t missing_completions = 0;  // members whose own frame was not found, in the visited groups
};

// Bytes behind the last valid frame of a segment: being written, or cut by a crash.
struct TornTail {
  std::string path;
  uint64_t valid_bytes = 0;
  uint64_t file_bytes = 0;
};

class TraceReader {
 public:
  // A run folder (RUN/traces/WRITER/seg-N.gtr), its traces folder, a writer's folder, or one
  // segment. Throws kUser when it does not exist, holds no segment, or a segment is of another
  // format.
  explicit TraceReader(const std::string& path);
  ~TraceReader();

  // Of the first segment; default when no header has been written yet.
  const TraceHeader& header() const { return header_; }
  const std::vector<std::string>& segments() const { return segments_; }

  // Frames of all segments in order, headers included; false at the end. A frame that is whole but
  // does not parse is kUser naming file and byte.
  bool Next(TraceFrame* frame);
  void Rewind();

  // A pass over the whole trace: groups that pass the filter, completions joined in, in order of
  // their frames; step records as they come. A visitor that returns false ends the pass.
  void ReadGroups(const GroupFilter& filter, const std::function<bool(GroupEntry&)>& visit_group,
                  const std::function<void(const StepRecord&)>& visit_step = {});

  const TraceExtent& extent() const { return extent_; }
  // Of the frames read since the last Rewind or ReadGroups.
  const std::vector<TornTail>& torn() const { return torn_; }

 private:
  std::vector<std::string> segments_;
  TraceHeader header_;
  size_t next_segment_ = 0;
  std::unique_ptr<RecordReader> reader_;  // of segments_[next_segment_ - 1]
  std::string record_;
  TraceExtent extent_;
  std::vector<TornTail> torn_;
};

}  // namespace grouper
