// Durable files. A file becomes visible by write, fsync, rename, fsync of the folder; after an
// fsync error the file is not used. All functions throw Error: kUser for a missing or unreadable
// path that a person named, kUnavailable for a full disk (DiskFull where the write may be tried
// again), kInternal for other I/O errors.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace grouper {

class DiskWait;

// kUnavailable: a full disk, a used-up quota, or a limit on the size of files. The write may be
// tried again when there is room.
class DiskFull : public Error {
 public:
  explicit DiskFull(std::string message) : Error(ErrorKind::kUnavailable, std::move(message)) {}
};

// Whole file; refuses one larger than max_bytes. `what` names it in errors ("config",
// "data.train").
std::string ReadFile(const std::string& path, const std::string& what,
                     uint64_t max_bytes = uint64_t{1} << 32);

bool FileExists(const std::string& path);
bool FolderExists(const std::string& path);
uint64_t FileSize(const std::string& path);
// mkdir -p, durably; mode 0755.
void MakeFolders(const std::string& path);
// Names (not paths) in a folder, sorted; empty when the folder is missing.
std::vector<std::string> ListFolder(const std::string& path);
void RemoveTree(const std::string& path);
std::string JoinPath(const std::string& folder, const std::string& name);
// Folder part of a path, "." when there is none.
std::string FolderOf(const std::string& path);

// Writes bytes to path so that a reader sees the old file or the whole new one, also after a power
// cut.
void PublishFile(const std::string& path, std::string_view bytes);
// As PublishFile, for bytes that need not all be in memory: next(&piece) gives the next piece,
// which is valid until the following call, and returns false after the last one.
void PublishPieces(const std::string& path, const std::function<bool(std::string_view*)>& next);
void SyncFile(const std::string& path);
void SyncFolder(const std::string& path);
// rename + fsync of the parent folder.
void RenameDurably(const std::string& from, const std::string& to);

// DiskFull when the file system that holds `folder` has less room than `bytes` for us; quotas are
// not seen.
void CheckRoom(const std::string& folder, uint64_t bytes);

// An append-only file with one writer. Not thread-safe.
class AppendFile {
 public:
  // Opens or creates; cuts the file to keep_bytes first when it is >= 0 (it must not be shorter).
  // `wait`, which outlives the file, waits when the disk is full; without it a write throws
  // DiskFull and Flush may be tried again.
  AppendFile(const std::string& path, int64_t keep_bytes = -1, DiskWait* wait = nullptr);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void Append(std::string_view bytes);  // buffered
  void Flush();                         // to the kernel
  void Sync();                          // flush + fdatasync
  // Takes back all that was appended after the first `bytes` bytes, buffered or not. Does nothing
  // after a failed sync.
  void CutBack(uint64_t bytes);
  uint64_t size_bytes() const { return size_bytes_; }
  const std::string& path() const { return path_; }

 private:
  void FlushOnce();

  std::string path_;
  DiskWait* wait_;
  std::string buffer_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
};

// Read-only memory map of a whole file.
class MappedFile {
 public:
  MappedFile(const std::string& path, const std::string& what);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// Exclusive lock of a run folder (flock on FOLDER/lock, which holds host, pid and start time).
// A second owner gets kUser naming the first within a second. Released by the destructor or when
// the process ends.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace grouper
