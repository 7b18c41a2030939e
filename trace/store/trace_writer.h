// Writes a run's learner trace, RUN/traces/learner/seg-00000.gtr. The file consists of record
// frames that hold TraceFrame messages (docs/formats.md). The writer owns the file; a trace has
// only one. Not thread-safe.
//   1. The first frame is a header, which names the run.
//   2. A step has the frames of its groups, each after those of its completions, and a StepRecord
//   at
//      the end. The numbers of steps only grow.
//   3. AppendStep returns when its groups are durable, so the weights may change after it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/io/record_file.h"
#include "proto/trace.pb.h"

namespace grouper {

inline constexpr char kTraceFormatVersion[] = "gtr-1";

// RUN/traces/learner/seg-00000.gtr
std::string LearnerSegmentPath(const std::string& run_folder);

class TraceWriter {
 public:
  // keep_bytes < 0 makes a new file, or continues after the last valid frame of an existing one and
  // cuts off a torn tail. keep_bytes >= 0 cuts the file back to that offset, which comes from a
  // checkpoint's manifest; 0 starts the file anew. Throws kUser when the file belongs to another
  // run, and when it does not reach keep_bytes with whole frames. The seed and the group size
  // decide whether it is another run; the run id may be a path, so it may differ. The constructor
  // sets the header's format_version. `wait` is used as in AppendFile.
  TraceWriter(const std::string& run_folder, TraceHeader header, int64_t keep_bytes = -1,
              DiskWait* wait = nullptr);

  // Writes the groups one after another, each as one frame per completion and then one frame for
  // the group, in which completions have only rollout_id and index. Every frame gets the number of
  // the step. Then syncs. Throws kInternal when the arrays of a completion or a group differ in
  // length.
  void AppendStep(int64_t step, std::span<const Group> groups);
  // Ends the step. The record is durable after the next Sync or AppendStep.
  void AppendStepRecord(const StepRecord& record);
  void Sync();

  // The size of the file, for the manifest. Call Sync first.
  uint64_t offset_bytes() const { return writer_->offset_bytes(); }
  const std::string& path() const { return path_; }

 private:
  void Append(const TraceFrame& frame);

  std::string path_;
  TraceHeader header_;
  std::unique_ptr<RecordWriter> writer_;
  uint64_t synced_bytes_ = 0;
};

}  // namespace grouper
