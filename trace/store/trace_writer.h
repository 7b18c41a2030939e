// Writes a run's learner trace, RUN/traces/learner/seg-NNNNN.gtr. Each file consists of record
// frames that hold TraceFrame messages (docs/formats.md). The writer owns the files; a trace has
// only one. Not thread-safe.
//   1. The first frame of a segment is a header, which names the run.
//   2. A step has the frames of its groups, each after those of its completions, and a StepRecord
//      at the end. The numbers of steps only grow.
//   3. AppendStep returns when its groups are durable, so the weights may change after it.
//   4. A segment is durable before the next one is made, so only the last one can be torn.
//   5. What one AppendStep writes, and the StepRecord after it, lie in one segment.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/io/record_file.h"
#include "proto/trace.pb.h"
#include "trace/store/segment.h"

namespace grouper {

inline constexpr char kTraceFormatVersion[] = "gtr-1";

// A segment that has this many bytes is ended before the next step.
inline constexpr uint64_t kTraceSegmentBytes = uint64_t{256} << 20;

struct TraceWriterOptions {
  // Cuts the trace back to this place, which comes from a checkpoint's manifest: later segments are
  // removed, and the next step begins a new one. {0, 0} starts the trace anew. Without it the
  // writer continues after the last valid frame of the last segment and cuts off a torn tail.
  std::optional<TracePosition> keep = {};
  uint64_t segment_bytes = kTraceSegmentBytes;
  DiskWait* wait = nullptr;  // as in AppendFile
};

class TraceWriter {
 public:
  // Throws kUser when the trace belongs to another run, and when its segment does not reach `keep`
  // with whole frames; nothing was changed then. The seed and the group size decide whether it is
  // another run; the run id may be a path, so it may differ. The constructor sets the header's
  // format_version. Of the existing segments it reads only the one that it continues.
  TraceWriter(const std::string& run_folder, TraceHeader header, TraceWriterOptions options = {});

  // Writes the groups one after another, each as one frame per completion and then one frame for
  // the group, in which completions have only rollout_id and index. Every frame gets the number of
  // the step. Then syncs. Throws kInternal when the arrays of a completion or a group differ in
  // length. After an error the trace ends where it did before the call.
  void AppendStep(int64_t step, std::span<const Group> groups);
  // Ends the step. The record is durable after the next Sync or AppendStep.
  void AppendStepRecord(const StepRecord& record);
  void Sync();
  // The next step begins a new segment. To be called after a checkpoint, so that a resume from it
  // finds little to read and to cut back.
  void EndSegment() { end_segment_ = true; }

  // The end of the trace, for the manifest. Call Sync first.
  TracePosition position() const { return {segment_, writer_->offset_bytes()}; }
  // The segment that is being written.
  const std::string& path() const { return path_; }

 private:
  void RemoveSegmentsAfter(uint32_t segment);
  // keep_bytes 0 starts the file anew, with a header.
  void OpenSegment(uint32_t segment, uint64_t keep_bytes);
  void AppendGroups(int64_t step, std::span<const Group> groups);
  void Append(const TraceFrame& frame);

  std::string run_folder_, path_;
  TraceHeader header_;
  uint64_t segment_bytes_;
  DiskWait* wait_;
  uint32_t segment_ = 0;
  std::unique_ptr<RecordWriter> writer_;
  uint64_t synced_bytes_ = 0;
  bool end_segment_ = false;
};

}  // namespace grouper
