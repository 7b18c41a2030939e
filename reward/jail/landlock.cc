#include "reward/jail/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace grouper {
namespace {

// The kernel's numbers, written out because the headers of Debian 12 end at version 2 of Landlock.
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3;
constexpr uint64_t kFilesOfVersion1 = (1 << 13) - 1;  // everything that makes or removes a file
constexpr uint64_t kRefer = 1 << 13, kTruncate = 1 << 14, kDeviceControl = 1 << 15;
constexpr uint64_t kTcpBindAndConnect = 3, kAbstractSocketsAndSignals = 3;
constexpr int kPathBeneath = 1, kAskVersion = 1;

struct RulesetAttr {
  uint64_t files, network, scoped;
};
struct __attribute__((packed)) PathBeneathAttr {
  uint64_t access;
  int32_t folder;
};

std::string Missing(int error) {
  if (error == EOPNOTSUPP)
    return "Landlock is switched off in this kernel; add landlock to the boot parameter lsm=";
  if (error == ENOSYS)
    return "this kernel has no Landlock; it needs Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK"
           " (in a container, one whose seccomp profile knows Landlock)";
  return std::string("Landlock is refused (") + std::strerror(error) +
         "); a container needs a seccomp profile that allows it (Docker 23 or later, or "
         "--security-opt seccomp=unconfined)";
}

}  // namespace

LandlockRules::LandlockRules(int most_abi) {
  abi_ = static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, size_t{0}, kAskVersion));
  if (abi_ < 1) {
    problem_ = Missing(errno);
    return;
  }
  abi_ = std::min(abi_, most_abi);
  RulesetAttr attr{kFilesOfVersion1, 0, 0};
  size_t size = 8;
  if (abi_ >= 2) attr.files |= kRefer;
  if (abi_ >= 3) attr.files |= kTruncate;
  if (abi_ >= 4) attr.network = kTcpBindAndConnect, size = 16;
  if (abi_ >= 5) attr.files |= kDeviceControl;
  if (abi_ >= 6) attr.scoped = kAbstractSocketsAndSignals, size = 24;
  const int made = static_cast<int>(syscall(SYS_landlock_create_ruleset, &attr, size, 0));
  if (made < 0) {
    problem_ = Missing(errno);
    return;
  }
  // Above the numbers to which a starting box moves its own descriptors.
  fd_ = fcntl(made, F_DUPFD_CLOEXEC, 16);
  close(made);
  if (fd_ < 0) {
    problem_ = "there is no file descriptor left; raise ulimit -n";
    return;
  }
  Allow("/usr", kExecute | kReadFile | kReadDir, true);
  // Links into /usr or folders of their own; not every machine has each.
  for (const char* folder : {"/lib", "/lib64"})
    Allow(folder, kExecute | kReadFile | kReadDir, false);
  Allow("/etc/ld.so.cache", kReadFile, false);
  Allow("/dev/null", kReadFile | kWriteFile, true);
  for (const char* device : {"/dev/zero", "/dev/full"})
    Allow(device, kReadFile | kWriteFile, false);
  Allow("/dev/urandom", kReadFile, true);
  Allow("/dev/random", kReadFile, false);
}

LandlockRules::~LandlockRules() {
  if (fd_ >= 0) close(fd_);
}

void LandlockRules::Allow(const char* path, uint64_t access, bool required) {
  const int opened = open(path, O_PATH | O_CLOEXEC);
  if (opened < 0) {
    if (required) problem_ = std::string(path) + " is missing";
    return;
  }
  const PathBeneathAttr attr{access, opened};
  if (syscall(SYS_landlock_add_rule, fd_, kPathBeneath, &attr, 0) != 0) {
    problem_ = std::string("Landlock refuses a rule for ") + path + " (" + std::strerror(errno) +
               "); /dev/null and /dev/urandom must be devices";
  }
  close(opened);
}

}  // namespace grouper
