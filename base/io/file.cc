#include "base/io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/io/disk_wait.h"
#include "base/kill_point.h"

namespace grouper {
namespace {

constexpr size_t kAppendBufferBytes = size_t{256} << 10;

// The descriptor of one call. Errors of close are ignored, because fsync reports failed writes.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// EFBIG: the process's limit on file sizes, SIGXFSZ being ignored.
bool IsFull(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

[[noreturn]] void ThrowFull(const std::string& words, int error) {
  throw DiskFull(words +
                 (error == EFBIG    ? "; raise the limit on file sizes (ulimit -f)"
                  : error == EDQUOT ? "; raise the quota or free space under it"
                                    : "; free space on this disk") +
                 " and run again");
}

// Faults of a path that a person chose.
bool IsPathFault(int error) {
  return error == ENOENT || error == EACCES || error == EPERM || error == EISDIR ||
         error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG || error == EROFS ||
         error == EEXIST;
}

// `where` is the bracketed word of the message; `doing` reads "cannot open".
[[noreturn]] void ThrowErrno(const std::string& where, const std::string& doing,
                             const std::string& path, int error) {
  const std::string words = "[" + where + "] " + doing + " " + path + ": " + std::strerror(error);
  if (IsFull(error)) ThrowFull(words, error);
  if (IsPathFault(error)) ThrowUser(words + "; check the path and its permissions");
  ThrowInternal(words + "; check the disk");
}

// Like ThrowErrno, for a file that is already open: any error but a full disk is a fault of the
// machine.
[[noreturn]] void ThrowWriteErrno(const std::string& doing, const std::string& path, int error) {
  const std::string words = "[file] " + doing + " " + path + ": " + std::strerror(error);
  if (IsFull(error)) ThrowFull(words, error);
  ThrowInternal(words + "; check the disk");
}

// After a failed sync nobody knows which bytes of a growing file are lost, so it is not tried
// again. A restart cuts the file back to its last durable byte.
[[noreturn]] void ThrowSyncErrno(const std::string& path, int error) {
  const std::string words = "[file] cannot sync " + path + ": " + std::strerror(error);
  if (IsFull(error)) ThrowUnavailable(words + "; free space on this disk and run again");
  ThrowInternal(words + "; check the disk");
}

int OpenOrThrow(const std::string& where, const std::string& path, int flags) {
  for (;;) {
    const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0) return fd;
    if (errno != EINTR) ThrowErrno(where, "cannot open", path, errno);
  }
}

// Writes as much of bytes as the kernel takes; the count written, errno set when it is short.
size_t WriteSome(int fd, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote > 0) {
      done += static_cast<size_t>(wrote);
    } else if (wrote < 0 && errno == EINTR) {
      continue;
    } else {
      if (wrote == 0) errno = EIO;
      break;
    }
  }
  return done;
}

uint64_t SizeOfOpen(int fd, const std::string& where, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) ThrowErrno(where, "cannot read the size of", path, errno);
  USER_CHECK(!S_ISDIR(info.st_mode), "[" + where + "] " + path + " is a folder; name a file");
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

std::string ReadFile(const std::string& path, const std::string& what, uint64_t max_bytes) {
  const Descriptor file(OpenOrThrow(what, path, O_RDONLY));
  const uint64_t expected_bytes = SizeOfOpen(file.get(), what, path);
  const auto refuse_large = [&] {
    ThrowUser("[" + what + "] " + path + " is larger than the limit of " +
              std::to_string(max_bytes) + " bytes; name another file");
  };
  if (expected_bytes > max_bytes) refuse_large();

  std::string bytes;
  size_t used = 0;
  bytes.resize(static_cast<size_t>(expected_bytes) + 1);  // + 1 sees the end in the first round
  for (;;) {
    if (used == bytes.size()) bytes.resize(bytes.size() + bytes.size() / 2 + 4096);
    const ssize_t got = read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowErrno(what, "cannot read", path, errno);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > max_bytes) refuse_large();
  }
  bytes.resize(used);
  return bytes;
}

bool FileExists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool FolderExists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

uint64_t FileSize(const std::string& path) {
  const Descriptor file(OpenOrThrow("file", path, O_RDONLY));
  return SizeOfOpen(file.get(), "file", path);
}

void MakeFolders(const std::string& path) {
  if (path.empty() || FolderExists(path)) return;
  MakeFolders(FolderOf(path));
  if (mkdir(path.c_str(), 0755) == 0) {
    SyncFolder(FolderOf(path));  // else a power cut takes the folder and all that was synced in it
  } else if (errno != EEXIST || !FolderExists(path)) {
    ThrowErrno("file", "cannot make the folder", path, errno);
  }
}

std::vector<std::string> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) {
    if (errno == ENOENT) return names;
    ThrowErrno("file", "cannot list", path, errno);
  }
  errno = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int error = errno;
  closedir(folder);
  if (error != 0) ThrowErrno("file", "cannot list", path, error);
  std::sort(names.begin(), names.end());
  return names;
}

void RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) ThrowErrno("file", "cannot remove", path, error.value());
}

std::string JoinPath(const std::string& folder, const std::string& name) {
  if (folder.empty() || (!name.empty() && name.front() == '/')) return name;
  return folder.back() == '/' ? folder + name : folder + "/" + name;
}

std::string FolderOf(const std::string& path) {
  const size_t last = path.find_last_not_of('/');
  if (last == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.find_last_of('/', last);
  if (slash == std::string::npos) return ".";
  const size_t end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

void PublishFile(const std::string& path, std::string_view bytes) {
  bool done = false;
  PublishPieces(path, [&](std::string_view* piece) {
    *piece = bytes;
    return !std::exchange(done, true);
  });
}

void PublishPieces(const std::string& path, const std::function<bool(std::string_view*)>& next) {
  const std::string temporary = path + ".tmp";
  try {
    {
      const Descriptor file(OpenOrThrow("file", temporary, O_WRONLY | O_CREAT | O_TRUNC));
      for (std::string_view piece; next(&piece);) {
        if (WriteSome(file.get(), piece) != piece.size()) {
          ThrowWriteErrno("cannot write", temporary, errno);
        }
      }
      KILL_POINT("file.written");
      if (fsync(file.get()) != 0) ThrowWriteErrno("cannot sync", temporary, errno);
    }
    KILL_POINT("file.synced");
    RenameDurably(temporary, path);
  } catch (const Error&) {
    unlink(temporary.c_str());
    throw;
  }
}

void SyncFile(const std::string& path) {
  const Descriptor file(OpenOrThrow("file", path, O_RDONLY));
  if (fsync(file.get()) != 0) ThrowWriteErrno("cannot sync", path, errno);
}

void SyncFolder(const std::string& path) {
  const Descriptor folder(OpenOrThrow("file", path, O_RDONLY | O_DIRECTORY));
  if (fsync(folder.get()) != 0) ThrowWriteErrno("cannot sync the folder", path, errno);
}

void RenameDurably(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    ThrowErrno("file", "cannot rename " + from + " to", to, error);
  }
  KILL_POINT("file.renamed");
  SyncFolder(FolderOf(to));
}

void CheckRoom(const std::string& folder, uint64_t bytes) {
  struct statvfs info {};
  // Where the room cannot be asked for, the write itself will tell.
  if (statvfs(folder.c_str(), &info) != 0) return;
  const uint64_t room = uint64_t{info.f_bavail} * info.f_frsize;
  if (room >= bytes) return;
  ThrowFull("[file] " + folder + " needs " + std::to_string(bytes) + " bytes and has room for " +
                std::to_string(room),
            ENOSPC);
}

AppendFile::AppendFile(const std::string& path, int64_t keep_bytes, DiskWait* wait)
    : path_(path), wait_(wait) {
  const bool existed = FileExists(path);
  std::optional<Descriptor> file;
  DoWaiting(wait_, [&] { file.emplace(OpenOrThrow("file", path, O_WRONLY | O_CREAT | O_APPEND)); });
  size_bytes_ = SizeOfOpen(file->get(), "file", path);
  if (keep_bytes >= 0 && size_bytes_ != static_cast<uint64_t>(keep_bytes)) {
    USER_CHECK(size_bytes_ > static_cast<uint64_t>(keep_bytes),
               "[file] the file ends before the offset where writing must continue; put the whole "
               "file back or use an older checkpoint",
               Named("file", path), Named("file_bytes", size_bytes_), Named("offset", keep_bytes));
    if (ftruncate(file->get(), keep_bytes) != 0) ThrowWriteErrno("cannot cut", path, errno);
    KILL_POINT("append.cut");
    if (fsync(file->get()) != 0) ThrowSyncErrno(path, errno);
    KILL_POINT("append.cut_synced");
    size_bytes_ = static_cast<uint64_t>(keep_bytes);
  }
  if (!existed) SyncFolder(FolderOf(path));
  fd_ = file->Release();
}

AppendFile::~AppendFile() {
  if (fd_ < 0) return;
  WriteSome(fd_, buffer_);  // bytes that were not synced are not promised, so an error is ignored
  close(fd_);
}

void AppendFile::Append(std::string_view bytes) {
  CHECK(fd_ >= 0,
        "[file] a sync of this file has failed, so nothing may be appended to it; resume from a "
        "checkpoint",
        Named("file", path_));
  buffer_.append(bytes);
  size_bytes_ += bytes.size();
  if (buffer_.size() >= kAppendBufferBytes) Flush();
}

void AppendFile::Flush() {
  CHECK(fd_ >= 0,
        "[file] a sync of this file has failed, so it cannot be flushed; resume from a checkpoint",
        Named("file", path_));
  DoWaiting(wait_, [this] { FlushOnce(); });
}

void AppendFile::FlushOnce() {
  const size_t wrote = WriteSome(fd_, buffer_);
  const int error = errno;
  const bool whole = wrote == buffer_.size();
  buffer_.erase(0, wrote);  // the next try continues where the disk was full
  if (!whole) ThrowWriteErrno("cannot append to", path_, error);
}

void AppendFile::Sync() {
  Flush();
  KILL_POINT("append.flushed");
  if (fdatasync(fd_) == 0) return;
  const int error = errno;
  close(fd_);
  fd_ = -1;  // the kernel may have dropped the pages, so this file can no longer be trusted
  ThrowSyncErrno(path_, error);
}

void AppendFile::CutBack(uint64_t bytes) {
  if (fd_ < 0) return;
  CHECK(bytes <= size_bytes_, "[file] a file cannot be cut back to more than it holds",
        Named("file", path_), Named("file_bytes", size_bytes_), Named("bytes", bytes));
  const uint64_t written = size_bytes_ - buffer_.size();
  if (bytes < written) {
    if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) ThrowWriteErrno("cannot cut", path_, errno);
    buffer_.clear();
  } else {
    buffer_.resize(bytes - written);
  }
  size_bytes_ = bytes;
}

MappedFile::MappedFile(const std::string& path, const std::string& what) {
  const Descriptor file(OpenOrThrow(what, path, O_RDONLY));
  size_ = static_cast<size_t>(SizeOfOpen(file.get(), what, path));
  if (size_ == 0) return;
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) ThrowErrno(what, "cannot map", path, errno);
  data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

namespace {

std::string LockOwner() {
  char host[256] = "unknown";
  gethostname(host, sizeof(host) - 1);
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char when[32];
  std::strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return std::string("host ") + host + " pid " + std::to_string(getpid()) + " since " + when + "\n";
}

// First line of the lock file, printable characters only.
std::string ReadOwner(int fd) {
  char text[512];
  const ssize_t got = pread(fd, text, sizeof(text), 0);
  std::string owner;
  for (ssize_t i = 0; i < got && text[i] >= ' ' && text[i] < 0x7f; ++i) owner.push_back(text[i]);
  return owner.empty() ? "a process that did not write its name" : owner;
}

}  // namespace

FolderLock::FolderLock(const std::string& folder) {
  const std::string path = JoinPath(folder, "lock");
  Descriptor file(OpenOrThrow("run", path, O_RDWR | O_CREAT));
  // A few tries, because an owner that was just killed may not have ended yet.
  constexpr int kTries = 10;
  constexpr auto kPause = std::chrono::milliseconds(40);
  for (int attempt = 0; flock(file.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK && errno != EINTR) ThrowErrno("run", "cannot lock", path, errno);
    USER_CHECK(attempt < kTries, "[run] " + folder + " is in use by " + ReadOwner(file.get()) +
                                     "; stop that process or choose another folder");
    std::this_thread::sleep_for(kPause);
  }
  const std::string owner = LockOwner();
  if (ftruncate(file.get(), 0) != 0 || WriteSome(file.get(), owner) != owner.size()) {
    ThrowWriteErrno("cannot write", path, errno);
  }
  fd_ = file.Release();
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace grouper
