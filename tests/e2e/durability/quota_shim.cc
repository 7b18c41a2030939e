// Preloaded into a program under test: the file system below QUOTA_FOLDER takes as many bytes as
// the file QUOTA_FILE says, counted over the life of the process; then write() fails with errno
// QUOTA_ERRNO. A test makes room by writing a larger number. With SYNC_FAILS_AT = n, the n-th fsync
// or fdatasync below the folder fails with EIO.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

long Limit() {
  const int fd = open(std::getenv("QUOTA_FILE"), O_RDONLY | O_CLOEXEC);
  char text[32] = {};
  const ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
  if (fd >= 0) close(fd);
  return got > 0 ? std::strtol(text, nullptr, 10) : LONG_MAX;
}

bool Inside(int fd) {
  const char* folder = std::getenv("QUOTA_FOLDER");
  if (folder == nullptr) return false;
  char link[64], path[PATH_MAX] = {};
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  return readlink(link, path, sizeof(path) - 1) > 0 &&
         std::strncmp(path, folder, std::strlen(folder)) == 0;
}

long used = 0, syncs = 0;  // the writers of a run are one thread

bool SyncFails(int fd) {
  const char* at = std::getenv("SYNC_FAILS_AT");
  if (at == nullptr || !Inside(fd) || ++syncs != std::atol(at)) return false;
  errno = EIO;
  return true;
}

}  // namespace

extern "C" int fsync(int fd) {
  return SyncFails(fd) ? -1 : static_cast<int>(syscall(SYS_fsync, fd));
}

extern "C" int fdatasync(int fd) {
  return SyncFails(fd) ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}

extern "C" ssize_t write(int fd, const void* data, size_t bytes) {
  if (Inside(fd)) {
    const long room = Limit() - used;
    if (room <= 0) {
      errno = std::atoi(std::getenv("QUOTA_ERRNO"));
      return -1;
    }
    if (static_cast<long>(bytes) > room) bytes = static_cast<size_t>(room);
    used += static_cast<long>(bytes);
  }
  return syscall(SYS_write, fd, data, bytes);
}
