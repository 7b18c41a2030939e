#include "reward/jail/walled_start.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <random>

namespace grouper {
namespace {

constexpr int kOutputFd = 3;

// User ids that no user, service or container has, so that a random one is nobody else's. A
// container that maps only 65,536 ids has the second range; both are reserved for purposes like
// this one.
constexpr uid_t kManyIds = 0x70000000, kManyCount = 1 << 27;
constexpr uid_t kFewIds = 65000, kFewCount = 534;

// Which process a call may name: the calling process, as its number or (where 0 means itself) 0.
constexpr std::array<uint32_t, 2> kOnlyItself = {SYS_kill, SYS_tgkill};
constexpr std::array<uint32_t, 8> kItselfOrZero = {
    SYS_prlimit64,          SYS_sched_setaffinity, SYS_sched_getaffinity, SYS_sched_getparam,
    SYS_sched_getscheduler, SYS_get_robust_list,   SYS_getpgid,           SYS_getsid};

// A second filter, because the number of the process is known only inside it. The first argument of
// these calls is a process of which the kernel reads the lower 32 bits. Other architectures and
// all other calls are the business of the first filter.
constexpr size_t kTail = 6, kFilterSize = 1 + kOnlyItself.size() + kItselfOrZero.size() + 1 + kTail;
using SelfFilter = std::array<sock_filter, kFilterSize>;

SelfFilter FilterFor(uint32_t self) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
                "arguments are read by their lower half");
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kIfEqual = BPF_JMP | BPF_JEQ | BPF_K,
                     kReturn = BPF_RET | BPF_K;
  constexpr uint32_t kCall = offsetof(seccomp_data, nr), kFirst = offsetof(seccomp_data, args);
  constexpr size_t kZeroToo = kFilterSize - kTail, kItself = kZeroToo + 2;
  SelfFilter filter{};
  size_t at = 0;
  const auto put = [&](uint16_t code, uint32_t value, size_t yes = 0, size_t no = 0) {
    filter[at++] = {code, static_cast<uint8_t>(yes), static_cast<uint8_t>(no), value};
  };
  put(kLoad, kCall);
  for (const uint32_t call : kOnlyItself) put(kIfEqual, call, kItself - at - 1);
  for (const uint32_t call : kItselfOrZero) put(kIfEqual, call, kZeroToo - at - 1);
  put(kReturn, SECCOMP_RET_ALLOW);
  put(kLoad, kFirst);   // kZeroToo
  put(kIfEqual, 0, 2);  // to the last but one
  put(kLoad, kFirst);   // kItself
  put(kIfEqual, self, 0, 1);
  put(kReturn, SECCOMP_RET_ALLOW);
  put(kReturn, SECCOMP_RET_ERRNO | EPERM);
  return filter;
}

struct Ids {
  uid_t first, second;
};

Ids RandomIds() {
  std::random_device device;
  return {kManyIds + device() % kManyCount, kFewIds + device() % kFewCount};
}

// What follows runs in the new process, in which only system calls are safe: no memory is taken,
// no lock, and the calls for user ids go past the C library, which would speak to other threads.

[[noreturn]] void Fail(int complaint, const char* what) {
  const char* why = strerrordesc_np(errno);
  for (const char* words : {what, ": ", why == nullptr ? "unknown error" : why}) {
    if (write(complaint, words, strlen(words)) < 0) break;
  }
  _exit(1);
}

void BecomeNobody(const Ids& ids, int complaint) {
  if (geteuid() == 0) {
    if (syscall(SYS_setgroups, 0, nullptr) != 0) Fail(complaint, "setgroups");
    uid_t id = ids.first;
    if (syscall(SYS_setresgid, id, id, id) != 0) {
      id = ids.second;  // a container that maps few user ids
      if (syscall(SYS_setresgid, id, id, id) != 0) Fail(complaint, "setresgid");
    }
    if (syscall(SYS_setresuid, id, id, id) != 0) Fail(complaint, "setresuid");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) Fail(complaint, "capset");
}

void ResetSignals() {
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int s = 1; s <= SIGRTMAX; ++s) sigaction(s, &by_default, nullptr);
}

[[noreturn]] void RunChild(const WalledProgram& program, const Ids& ids, pid_t parent) {
  const int complaint = program.complaint;
  ResetSignals();
  if (setsid() < 0) Fail(complaint, "setsid");
  if (chdir("/") != 0) Fail(complaint, "chdir");
  BecomeNobody(ids, complaint);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail(complaint, "no_new_privs");
  // A change of user clears this, so it comes after it. The parent may have died before.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) Fail(complaint, "PR_SET_PDEATHSIG");
  if (getppid() != parent) _exit(1);
  if (syscall(SYS_landlock_restrict_self, program.landlock, 0) != 0) Fail(complaint, "Landlock");
  dup2(program.input, 0);
  dup2(complaint, 1);
  dup2(complaint, 2);
  dup2(program.output, kOutputFd);
  if (close_range(kOutputFd + 1, ~0U, 0) != 0) Fail(2, "close_range");
  SelfFilter self = FilterFor(static_cast<uint32_t>(getpid()));
  const sock_fprog first{static_cast<uint16_t>(self.size()), self.data()};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &first, 0, 0) != 0) Fail(2, "seccomp");
  const sock_fprog second{
      static_cast<uint16_t>(program.filter->size() / sizeof(sock_filter)),
      reinterpret_cast<sock_filter*>(const_cast<char*>(program.filter->data()))};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &second, 0, 0) != 0) Fail(2, "seccomp");
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(program.argv[0], program.argv, program.environment);
  Fail(2, program.argv[0]);
}

}  // namespace

bool WalledHasOwnUser() { return geteuid() == 0; }

pid_t StartWalled(const WalledProgram& program) {
  const Ids ids = RandomIds();
  const pid_t parent = getpid();
  // No handler of this program may run in the new process.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = _Fork();  // fork without the handlers of pthread_atfork
  if (pid == 0) RunChild(program, ids, parent);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

}  // namespace grouper
