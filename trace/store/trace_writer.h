// The one writer of a run's learner trace: RUN/traces/learner/seg-00000.gtr, record frames that
// hold TraceFrame messages (docs/formats.md). Owns the file; not thread-safe.
//   1. The file opens with a header frame, which names the run.
//   2. A step is its groups, each behind its completions, then a StepRecord; steps only grow.
//   3. AppendStep returns when its groups are durable, so weights may move after it.
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
  // keep_bytes < 0: a new file, or behind the last valid frame of the one that is there (a torn
  // tail is cut off). keep_bytes >= 0: the file is cut back to that offset, which a checkpoint's
  // manifest holds; 0 starts it anew. Throws kUser when the file is another run's (seed or group
  // size differ; run ids may be paths, so they may not) or does not reach keep_bytes with whole
  // frames. The header's format_version is set here.
  // `wait`: as AppendFile.
  TraceWriter(const std::string& run_folder, TraceHeader header, int64_t keep_bytes = -1,
              DiskWait* wait = nullptr);

  // Writes a frame per completion, then one for its group (completions reduced to rollout_id and
  // index), group by group, and syncs. The step is stamped into every frame. kInternal when arrays
  // of a completion or of a group differ in length.
  void AppendStep(int64_t step, std::span<const Group> groups);
  // Ends the step. Handed to the kernel, durable with the next Sync or AppendStep.
  void AppendStepRecord(const StepRecord& record);
  void Sync();

  // For the manifest, after Sync.
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
