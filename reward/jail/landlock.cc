#include "reward/jail/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace grouper {
namespace {

// The kernel's interface by number: the header of Debian 12 ends at version 2.
constexpr long kCreateRuleset = 444, kAddRule = 445;
constexpr uint32_t kAskVersion = 1, kPathBeneath = 1;

struct Ruleset {
  uint64_t files = 0;
  uint64_t network = 0;  // from version 4
  uint64_t scopes = 0;   // from version 6
};
struct __attribute__((packed)) PathRule {
  uint64_t allowed = 0;
  int32_t folder = -1;
};

constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadFolder = 1 << 3;
constexpr uint64_t kAllOfVersion1 = (1 << 13) - 1;  // also: remove and make entries of each type
constexpr uint64_t kRefer = 1 << 13, kTruncate = 1 << 14, kDeviceIoctl = 1 << 15;
constexpr uint64_t kBindTcp = 1 << 0, kConnectTcp = 1 << 1;
constexpr uint64_t kAbstractSockets = 1 << 0, kSignals = 1 << 1;

Ruleset RefuseAll(int abi) {
  Ruleset rules;
  rules.files = kAllOfVersion1;
  if (abi >= 2) rules.files |= kRefer;
  if (abi >= 3) rules.files |= kTruncate;
  if (abi >= 4) rules.network = kBindTcp | kConnectTcp;
  if (abi >= 5) rules.files |= kDeviceIoctl;
  if (abi >= 6) rules.scopes = kAbstractSockets | kSignals;
  return rules;
}

// The kernel takes only as many bytes as its version knows, or the rest must be 0.
size_t SizeFor(int abi) {
  if (abi >= 6) return sizeof(Ruleset);
  return abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

struct Allowed {
  const char* path;
  uint64_t rights;
};
constexpr Allowed kAllowed[] = {
    {"/usr", kExecute | kReadFile | kReadFolder},
    {"/lib", kExecute | kReadFile | kReadFolder},  // a link into /usr on most systems
    {"/lib64", kExecute | kReadFile | kReadFolder},
    {"/bin", kExecute | kReadFile | kReadFolder},
    {"/etc/ld.so.cache", kReadFile},
    {"/dev/null", kReadFile | kWriteFile | kTruncate},
    {"/dev/zero", kReadFile},
    {"/dev/random", kReadFile},
    {"/dev/urandom", kReadFile},
};

}  // namespace

LandlockRules::LandlockRules(int most_abi) {
  const long version = syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  if (version < 1) {
    problem_ = std::string("the kernel does not offer Landlock (") + std::strerror(errno) +
               "); it needs Linux 5.13 or newer with \"landlock\" in its list of security modules "
               "(lsm=), and a container runtime that lets the landlock system calls pass";
    return;
  }
  abi_ = std::min(static_cast<int>(version), most_abi);
  const Ruleset rules = RefuseAll(abi_);
  fd_ = static_cast<int>(syscall(kCreateRuleset, &rules, SizeFor(abi_), 0));
  if (fd_ < 0) {
    problem_ = std::string("the kernel refuses a Landlock ruleset: ") + std::strerror(errno);
    return;
  }
  for (const Allowed& allowed : kAllowed) {
    PathRule rule;
    rule.folder = open(allowed.path, O_PATH | O_CLOEXEC);
    if (rule.folder < 0) continue;  // what does not exist needs no rule
    rule.allowed = allowed.rights & rules.files;
    const long added = syscall(kAddRule, fd_, kPathBeneath, &rule, 0);
    const int error = errno;
    close(rule.folder);
    if (added == 0) continue;
    problem_ = std::string("the kernel refuses a Landlock rule for ") + allowed.path + ": " +
               std::strerror(error);
    close(fd_);
    fd_ = -1;
    return;
  }
}

LandlockRules::~LandlockRules() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace grouper
