#include "base/io/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

#include "base/io/file.h"

namespace grouper {
namespace {

[[noreturn]] void ThrowLost(int descriptor, int error) {
  const std::string words =
      std::string("[output] ") + (descriptor == 1 ? "standard output" : "standard error") +
      " cannot be written: " + (error == 0 ? "an earlier write failed" : std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    throw DiskFull(words + "; free space there and start the same command again");
  }
  ThrowUnavailable(words + "; start the same command again with an output that is read");
}

}  // namespace

void WriteOutput(int descriptor, std::string_view text) {
  if (descriptor == 1) FlushStdout();  // keeps the order of what streams hold
  while (!text.empty()) {
    const ssize_t wrote = write(descriptor, text.data(), text.size());
    if (wrote >= 0) {
      text.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      pollfd ready{descriptor, POLLOUT, 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      ThrowLost(descriptor, errno);
    }
  }
}

void FlushStdout() {
  std::cout.flush();
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return;
  ThrowLost(1, errno);
}

}  // namespace grouper
