// Preloaded into a program under test: writes what the program does to the files below POWER_FOLDER
// to the end of POWER_LOG, for power_cut.h to replay. A record is a line, and for a write its bytes
// follow the line:
//   C PATH INODE      made      T INODE SIZE      cut        M PATH     folder made
//   W INODE AT BYTES  written   F INODE           synced     U PATH     removed
//   R FROM TO         renamed   E ONE OTHER       exchanged  D PATH     folder synced
// Paths are relative to POWER_FOLDER and hold no space.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

namespace {

// The path relative to POWER_FOLDER: empty for a path outside it, "." for the folder itself.
std::string Below(const std::string& path) {
  const char* folder = std::getenv("POWER_FOLDER");
  const size_t length = folder != nullptr ? std::strlen(folder) : 0;
  if (length == 0 || path.compare(0, length, folder) != 0) return "";
  if (path.size() == length) return ".";
  return path[length] == '/' ? path.substr(length + 1) : "";
}

std::string PathOf(int fd) {
  char path[PATH_MAX] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return readlink(link.c_str(), path, sizeof(path) - 1) > 0 ? Below(path) : "";
}

std::string At(int folder, const char* name) {
  if (folder == AT_FDCWD || name[0] == '/') return Below(name);
  const std::string below = PathOf(folder);
  return below.empty() ? "" : below + "/" + name;
}

void Record(const std::string& line, const void* data = nullptr, size_t bytes = 0) {
  static std::mutex mutex;
  static const int log =
      open(std::getenv("POWER_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  std::string record = line + "\n";
  record.append(static_cast<const char*>(data), bytes);
  const std::lock_guard lock(mutex);
  if (syscall(SYS_write, log, record.data(), record.size()) != static_cast<long>(record.size())) {
    abort();  // half a record proves nothing
  }
}

struct stat Status(int fd) {
  struct stat status {};
  syscall(SYS_fstat, fd, &status);
  return status;
}

std::string Inode(int fd) { return std::to_string(Status(fd).st_ino); }

int Open(const char* path, int flags, mode_t mode) {
  const std::string below = Below(path);
  struct stat before {};
  const bool made = (flags & O_CREAT) != 0 && !below.empty() &&
                    syscall(SYS_newfstatat, AT_FDCWD, path, &before, 0) != 0;
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (fd < 0 || below.empty()) return fd;
  if (made) Record("C " + below + " " + Inode(fd));
  if (!made && (flags & O_TRUNC) != 0) Record("T " + Inode(fd) + " 0");
  return fd;
}

int Sync(int fd, long call) {
  const int result = static_cast<int>(syscall(call, fd));
  const std::string path = PathOf(fd);
  if (result == 0 && !path.empty()) {
    Record(S_ISDIR(Status(fd).st_mode) ? "D " + path : "F " + Inode(fd));
  }
  return result;
}

int Recorded(long result, const std::string& path, const std::string& line) {
  if (result == 0 && !path.empty()) Record(line);
  return static_cast<int>(result);
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return Open(path, flags, mode);
}

extern "C" ssize_t write(int fd, const void* data, size_t bytes) {
  const std::string path = PathOf(fd);
  const bool at_end = !path.empty() && (fcntl(fd, F_GETFL) & O_APPEND) != 0;
  const off_t at = path.empty() ? 0 : at_end ? Status(fd).st_size : lseek(fd, 0, SEEK_CUR);
  const ssize_t wrote = syscall(SYS_write, fd, data, bytes);
  if (wrote > 0 && !path.empty()) {
    const auto size = static_cast<size_t>(wrote);
    Record("W " + Inode(fd) + " " + std::to_string(at) + " " + std::to_string(size), data, size);
  }
  return wrote;
}

extern "C" int ftruncate(int fd, off_t size) {
  return Recorded(syscall(SYS_ftruncate, fd, size), PathOf(fd),
                  "T " + Inode(fd) + " " + std::to_string(size));
}

extern "C" int fsync(int fd) { return Sync(fd, SYS_fsync); }
extern "C" int fdatasync(int fd) { return Sync(fd, SYS_fdatasync); }

extern "C" int mkdir(const char* path, mode_t mode) {
  const std::string below = Below(path);
  return Recorded(syscall(SYS_mkdir, path, mode), below, "M " + below);
}

extern "C" int rename(const char* from, const char* to) {
  const std::string below = Below(from);
  return Recorded(syscall(SYS_rename, from, to), below, "R " + below + " " + Below(to));
}

extern "C" int renameat2(int one, const char* from, int other, const char* to, unsigned flags) {
  const std::string below = Below(from);
  return Recorded(syscall(SYS_renameat2, one, from, other, to, flags), below,
                  ((flags & RENAME_EXCHANGE) != 0 ? "E " : "R ") + below + " " + Below(to));
}

extern "C" int unlink(const char* path) {
  const std::string below = Below(path);
  return Recorded(syscall(SYS_unlink, path), below, "U " + below);
}

extern "C" int unlinkat(int folder, const char* name, int flags) {
  const std::string below = At(folder, name);
  return Recorded(syscall(SYS_unlinkat, folder, name, flags), below, "U " + below);
}
