#include "reward/jail/seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"

namespace grouper {
namespace {

// The calls that the interpreter, its threads and bubblewrap's own init need. All others seem not
// to exist (ENOSYS, so that libc falls back), also calls that are newer than this libseccomp.
constexpr const char* kAllowed[] = {
    // files and descriptors
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "close",
    "close_range", "lseek", "stat", "fstat", "lstat", "newfstatat", "statx", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "fchdir", "getdents", "getdents64",
    "dup", "dup2", "dup3", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd", "eventfd2", "umask",
    "fsync", "statfs", "fstatfs",
    // a pair of connected ends for event loops
    "recvfrom", "shutdown", "getsockname", "getsockopt", "setsockopt",
    // memory
    "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "mincore", "msync", "membarrier",
    // signals
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
    "rt_sigtimedwait", "sigaltstack", "kill", "tgkill", "pause", "alarm", "setitimer", "getitimer",
    "restart_syscall",
    // the process and its threads
    "exit", "exit_group", "execve", "wait4", "waitid", "getpid", "gettid", "getppid", "getuid",
    "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpgrp", "getpgid",
    "getsid", "arch_prctl", "capget", "capset", "set_tid_address", "set_robust_list",
    "get_robust_list", "rseq", "futex", "sched_yield", "sched_getaffinity", "sched_setaffinity",
    "sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "getpriority", "getrlimit", "setrlimit", "prlimit64", "getrusage", "times", "sysinfo", "uname",
    "getrandom", "getcpu",
    // time
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "timer_create", "timer_settime", "timer_gettime", "timer_delete", "timer_getoverrun",
    "timerfd_create", "timerfd_settime", "timerfd_gettime"};

// Calls that change files. In namespaces they meet a read-only file system; elsewhere they get its
// answer, because Landlock does not cover all of them.
constexpr const char* kWriters[] = {"mkdir",    "mkdirat",   "unlink",   "unlinkat",
                                    "rmdir",    "rename",    "renameat", "renameat2",
                                    "truncate", "ftruncate", "utimensat"};

// Calls that reach other processes and sockets unless their arguments are limited. A process in
// namespaces of its own sees none.
constexpr const char* kNeedNamespaces[] = {"tkill", "prctl", "fcntl", "sendto", "open", "openat"};

// Without namespaces: what the interpreter asks about itself. PR_SET_PDEATHSIG is not among them,
// or the process could outlive the service.
constexpr unsigned kAllowedPrctl[] = {PR_GET_NAME,     PR_SET_NAME,         PR_GET_DUMPABLE,
                                      PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP};

// Without namespaces: nothing that sends signals (F_SETOWN, F_SETSIG, F_NOTIFY) or takes leases.
constexpr unsigned kAllowedFcntl[] = {
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,     F_GETFL,      F_SETFL,     F_GETLK,
    F_SETLK, F_SETLKW,        F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_GETPIPE_SZ};

// Calls that programs and attackers try, and that are refused (EPERM) instead of seeming not to
// exist.
constexpr const char* kRefused[] = {"fork",
                                    "vfork",
                                    "socket",
                                    "connect",
                                    "bind",
                                    "listen",
                                    "accept",
                                    "accept4",
                                    "ptrace",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "mount",
                                    "umount2",
                                    "chroot",
                                    "pivot_root",
                                    "unshare",
                                    "setns",
                                    "bpf",
                                    "perf_event_open",
                                    "userfaultfd",
                                    "keyctl",
                                    "add_key",
                                    "request_key",
                                    "io_uring_setup",
                                    "memfd_create",
                                    "memfd_secret",
                                    "shmget",
                                    "msgget",
                                    "semget",
                                    "mq_open",
                                    "personality",
                                    "chmod",
                                    "fchmod",
                                    "fchmodat",
                                    "chown",
                                    "fchown",
                                    "lchown",
                                    "fchownat",
                                    "link",
                                    "linkat",
                                    "symlink",
                                    "symlinkat",
                                    "mknod",
                                    "mknodat",
                                    "setuid",
                                    "setgid",
                                    "setsid",
                                    "setpgid",
                                    "setresuid",
                                    "setresgid",
                                    "setgroups",
                                    "sethostname",
                                    "clock_settime",
                                    "settimeofday",
                                    "init_module",
                                    "finit_module",
                                    "delete_module",
                                    "kexec_load",
                                    "reboot",
                                    "syslog"};

// Questions about a terminal, and descriptor flags; nothing that acts on a device.
constexpr unsigned long kAllowedIoctls[] = {TCGETS,   TIOCGWINSZ, FIONBIO,
                                            FIONREAD, FIOCLEX,    FIONCLEX};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS))) {
    CHECK(context_ != nullptr, "[jail] libseccomp cannot start a filter");
  }
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  template <typename... Conditions>
  void Add(uint32_t action, const char* name, Conditions... conditions) {
    const int call = seccomp_syscall_resolve_name(name);
    // A call whose name this architecture or libseccomp lacks cannot be made here either.
    if (call == __NR_SCMP_ERROR || call < 0) return;
    CHECK(seccomp_rule_add(context_, action, call, sizeof...(conditions), conditions...) == 0,
          "[jail] libseccomp refuses a rule", Named("call", name));
  }

  std::string Program() const {
    const int file = memfd_create("seccomp", MFD_CLOEXEC);
    std::string program;
    if (file >= 0 && seccomp_export_bpf(context_, file) == 0) {
      lseek(file, 0, SEEK_SET);
      char buffer[4096];
      for (ssize_t n = read(file, buffer, sizeof(buffer)); n > 0;
           n = read(file, buffer, sizeof(buffer))) {
        program.append(buffer, static_cast<size_t>(n));
      }
    }
    if (file >= 0) close(file);
    CHECK(!program.empty() && program.size() < 65536,
          "[jail] libseccomp cannot compile the filter");
    return program;
  }

 private:
  scmp_filter_ctx context_;
};

}  // namespace

namespace {

void LimitArguments(Filter* filter) {
  for (const unsigned option : kAllowedPrctl) {
    filter->Add(SCMP_ACT_ALLOW, "prctl", SCMP_A0_64(SCMP_CMP_EQ, option, 0));
  }
  for (const unsigned command : kAllowedFcntl) {
    filter->Add(SCMP_ACT_ALLOW, "fcntl", SCMP_A1_64(SCMP_CMP_EQ, command, 0));
  }
  // Older versions of Landlock let a file be cut to nothing that is opened for reading.
  for (const auto& [name, flags] : {std::pair{"open", 1U}, std::pair{"openat", 2U}}) {
    filter->Add(SCMP_ACT_ALLOW, name, SCMP_CMP64(flags, SCMP_CMP_MASKED_EQ, O_TRUNC, 0));
    filter->Add(SCMP_ACT_ALLOW, name, SCMP_CMP64(flags, SCMP_CMP_MASKED_EQ, O_ACCMODE, O_WRONLY));
    filter->Add(SCMP_ACT_ALLOW, name, SCMP_CMP64(flags, SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDWR));
  }
  // With an address, one end of a pair would reach any datagram socket of the machine.
  filter->Add(SCMP_ACT_ALLOW, "sendto", SCMP_A4_64(SCMP_CMP_EQ, 0, 0));
  filter->Add(SCMP_ACT_ERRNO(EPERM), "sendto", SCMP_A4_64(SCMP_CMP_NE, 0, 0));
}

}  // namespace

std::string CompileSeccompFilter(bool in_namespaces) {
  Filter filter;
  for (const char* name : kWriters) {
    filter.Add(in_namespaces ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EROFS), name);
  }
  if (in_namespaces) {
    for (const char* name : kNeedNamespaces) filter.Add(SCMP_ACT_ALLOW, name);
  } else {
    LimitArguments(&filter);
  }
  for (const char* name : kAllowed) filter.Add(SCMP_ACT_ALLOW, name);
  for (const char* name : kRefused) filter.Add(SCMP_ACT_ERRNO(EPERM), name);
  // Threads are allowed, processes are not. The flags of clone3 cannot be inspected, so it seems
  // not to exist, and libc falls back to clone.
  filter.Add(SCMP_ACT_ALLOW, "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  filter.Add(SCMP_ACT_ERRNO(EPERM), "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
  filter.Add(SCMP_ACT_ALLOW, "socketpair", SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX, 0));
  for (const unsigned long request : kAllowedIoctls) {
    filter.Add(SCMP_ACT_ALLOW, "ioctl", SCMP_A1_64(SCMP_CMP_EQ, request, 0));
  }
  return filter.Program();
}

}  // namespace grouper
