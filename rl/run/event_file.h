// A TensorBoard event file of scalars: record frames (base/io/record_file.h) of Event messages, the
// first of which names the format "brain.Event:2". One writer a file; not thread-safe.
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
  // `path` ends in events.out.tfevents.<10-digit unix>.<host>.<pid>.<n>, or TensorBoard does not
  // find it. keep_bytes < 0: a new file, or behind the last valid record of the one that is there;
  // keep_bytes >= 0: cut back to that offset first, 0 starts anew. kUser when the file does not
  // reach keep_bytes.
  // `wait`: as AppendFile.
  explicit EventFile(const std::string& path, int64_t keep_bytes = -1, DiskWait* wait = nullptr);

  // One record with a value a tag; values are stored as fp32, NaN and infinities included.
  void AddScalars(int64_t step, double wall_seconds,
                  std::span<const std::pair<std::string_view, double>> scalars);
  void Flush() { writer_->Flush(); }
  void Sync() { writer_->Sync(); }
  uint64_t offset_bytes() const { return writer_->offset_bytes(); }
  // Time of the last record that was there or was written.
  double last_wall_seconds() const { return last_wall_seconds_; }

 private:
  std::unique_ptr<RecordWriter> writer_;
  double last_wall_seconds_ = 0;
};

}  // namespace grouper
