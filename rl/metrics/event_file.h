// A TensorBoard event file of scalars: record frames (base/io/record_file.h) of Event messages, the
// first of which names the format "brain.Event:2". One writer per file; not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/io/record_file.h"

namespace grouper {

class EventFile {
 public:
  // `path` must end in events.out.tfevents.<10-digit unix time>.<host>.<pid>.<n>, or TensorBoard
  // does not find it. With keep_bytes < 0 the file is new, or is continued after its last valid
  // record; with keep_bytes >= 0 it is cut back to that offset first, and 0 starts it anew. kUser
  // when the file is shorter than keep_bytes. `wait`: as AppendFile.
  explicit EventFile(const std::string& path, int64_t keep_bytes = -1, DiskWait* wait = nullptr);

  // Writes one record with one value per tag, stored as fp32; NaN and infinities are kept.
  void AddScalars(int64_t step, double wall_seconds,
                  std::span<const std::pair<std::string_view, double>> scalars);
  void Flush() { writer_->Flush(); }
  void Sync() { writer_->Sync(); }
  uint64_t offset_bytes() const { return writer_->offset_bytes(); }
  // The time of the last record that was found or written.
  double last_wall_seconds() const { return last_wall_seconds_; }

 private:
  std::unique_ptr<RecordWriter> writer_;
  double last_wall_seconds_ = 0;
};

}  // namespace grouper
