// Frames in an append-only file: u64 length | u32 masked crc32c(length) | bytes | u32 masked
// crc32c(bytes), little-endian. One framing for trace segments and TensorBoard event files.
// A reader stops at the last valid frame; what follows it is a torn tail, never an error by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/io/file.h"

namespace grouper {

inline constexpr uint64_t kMaxRecordBytes = uint64_t{64} << 20;

// Not thread-safe: one writer per file.
class RecordWriter {
 public:
  // keep_bytes >= 0 cuts the file back to that offset first (resume at a manifest's offset).
  // `wait`: see AppendFile.
  explicit RecordWriter(const std::string& path, int64_t keep_bytes = -1, DiskWait* wait = nullptr);
  void Append(std::string_view record);
  void Flush();
  void Sync();
  void CutBack(uint64_t bytes) { file_.CutBack(bytes); }  // a frame must end there
  uint64_t offset_bytes() const { return file_.size_bytes(); }

 private:
  AppendFile file_;
};

// The offset at which a writer continues the file at `path`: keep_bytes when it is >= 0 (kUser when
// the file does not reach it with whole frames), else the end of the last valid frame; 0 when there
// is no file. Reads the file.
uint64_t RecordResumeOffset(const std::string& path, int64_t keep_bytes);

class RecordReader {
 public:
  // Reads from byte `from`, where a frame must begin.
  explicit RecordReader(const std::string& path, uint64_t from = 0);
  ~RecordReader();
  // False at the end or at the first invalid frame.
  bool Next(std::string* record);
  // The end of the last valid frame read so far.
  uint64_t valid_bytes() const { return offset_; }
  // True when bytes that are not a valid frame follow valid_bytes(). Only meaningful after Next
  // returned false.
  bool torn() const { return torn_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint64_t offset_ = 0;
  bool torn_ = false;
};

}  // namespace grouper
