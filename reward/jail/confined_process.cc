#include "reward/jail/confined_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace grouper {
namespace {

constexpr long kRestrictSelf = 446;  // landlock_restrict_self
constexpr unsigned kBpfJumpIfEqual = BPF_JMP | BPF_JEQ | BPF_K;

// Each process of a root caller gets a user of its own, so that processes cannot reach each other
// and their threads are counted apart. The range is the one that systemd uses for such users.
constexpr unsigned kFirstUser = 61184, kUsers = 65520 - 61184, kNobody = 65534;

// All that the child needs, made before the fork, because the child must not allocate memory.
struct Child {
  std::vector<char*> argv, environment;
  std::vector<sock_filter> filter;
  sock_fprog program{};
  int in, out, complaint, landlock;
  bool root;
  unsigned user;
  pid_t parent;
};

[[noreturn]] void Fail(const char* what) {
  const char* reason = strerrordesc_np(errno);
  ssize_t ignored = write(2, what, strlen(what));
  ignored = write(2, ": ", 2);
  if (reason != nullptr) ignored = write(2, reason, strlen(reason));
  static_cast<void>(ignored);
  _exit(127);
}

// setresuid and its like by number: the functions of libc would try to change other threads too.
void BecomeUser(unsigned user) {
  if (syscall(SYS_setgroups, 0, nullptr) != 0) Fail("setgroups");
  if (syscall(SYS_setresgid, user, user, user) == 0) {
    if (syscall(SYS_setresuid, user, user, user) != 0) Fail("setresuid");
    return;
  }
  // A container may map fewer users.
  if (syscall(SYS_setresgid, kNobody, kNobody, kNobody) != 0) Fail("setresgid");
  if (syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0) Fail("setresuid");
}

void DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) Fail("capset");
}

void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; ++s) sigaction(s, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void Run(Child* child) {
  ResetSignals();
  // Out of the way of the four: it may have any number.
  const int ruleset = fcntl(child->landlock, F_DUPFD, 16);
  if (dup2(child->complaint, 2) < 0 || dup2(child->complaint, 1) < 0 || dup2(child->in, 0) < 0 ||
      dup2(child->out, 3) < 0) {
    _exit(127);
  }
  const int landlock = dup2(ruleset, 4);
  if (landlock < 0 || syscall(SYS_close_range, 5, ~0u, 0) != 0) Fail("close_range");
  if (setsid() < 0) Fail("setsid");
  if (chdir("/") != 0) Fail("chdir");
  umask(0077);
  if (child->root) BecomeUser(child->user);
  DropCapabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail("no_new_privs");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) Fail("pdeathsig");
  if (getppid() != child->parent) _exit(127);
  if (syscall(kRestrictSelf, landlock, 0) != 0) Fail("landlock_restrict_self");
  close(landlock);
  const unsigned pid = static_cast<unsigned>(getpid());
  for (sock_filter& step : child->filter) {
    if (step.code == kBpfJumpIfEqual && step.k == static_cast<unsigned>(kOwnPid)) step.k = pid;
  }
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &child->program, 0, 0) != 0) Fail("seccomp");
  execve(child->argv[0], child->argv.data(), child->environment.data());
  Fail("execve");
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

pid_t StartConfined(const ConfinedProgram& program, std::string* problem) {
  Child child{.argv = Pointers(program.argv),
              .environment = Pointers(program.environment),
              .filter = std::vector<sock_filter>(program.filter.size() / sizeof(sock_filter)),
              .in = program.in,
              .out = program.out,
              .complaint = program.complaint,
              .landlock = program.landlock,
              .root = geteuid() == 0,
              .user = kFirstUser + program.number % kUsers,
              .parent = getpid()};
  std::memcpy(child.filter.data(), program.filter.data(),
              child.filter.size() * sizeof(sock_filter));
  child.program = {static_cast<unsigned short>(child.filter.size()), child.filter.data()};
  // No signal handler of this program may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  // _Fork, unlike fork, runs no handlers of libraries, which may wait for locks.
  const pid_t pid = _Fork();
  if (pid == 0) Run(&child);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) *problem = std::string("cannot start a process: ") + std::strerror(error);
  return pid;
}

}  // namespace grouper
