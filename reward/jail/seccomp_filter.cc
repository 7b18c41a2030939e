#include "reward/jail/seccomp_filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

namespace grouper {
namespace {

// Denied with EPERM. Names unknown to this libseccomp or architecture are skipped: they cannot be
// called then.
constexpr const char* kDenied[] = {"ptrace",
                                   "process_vm_readv",
                                   "process_vm_writev",
                                   "kcmp",
                                   "pidfd_getfd",
                                   "mount",
                                   "umount2",
                                   "pivot_root",
                                   "chroot",
                                   "fsopen",
                                   "fsconfig",
                                   "fsmount",
                                   "fspick",
                                   "move_mount",
                                   "open_tree",
                                   "mount_setattr",
                                   "setns",
                                   "unshare",
                                   "bpf",
                                   "perf_event_open",
                                   "userfaultfd",
                                   "keyctl",
                                   "add_key",
                                   "request_key",
                                   "io_uring_setup",
                                   "io_uring_enter",
                                   "io_uring_register",
                                   "memfd_create",
                                   "memfd_secret",
                                   "kexec_load",
                                   "kexec_file_load",
                                   "init_module",
                                   "finit_module",
                                   "delete_module",
                                   "reboot",
                                   "swapon",
                                   "swapoff",
                                   "acct",
                                   "quotactl",
                                   "syslog",
                                   "open_by_handle_at",
                                   "name_to_handle_at",
                                   "shmget",
                                   "shmat",
                                   "msgget",
                                   "semget",
                                   "mq_open",
                                   "fork",
                                   "vfork",
                                   "personality",
                                   "iopl",
                                   "ioperm",
                                   "settimeofday",
                                   "clock_settime",
                                   "clock_adjtime",
                                   "adjtimex",
                                   "sethostname",
                                   "setdomainname",
                                   "vhangup",
                                   "lookup_dcookie",
                                   "fanotify_init",
                                   "landlock_create_ruleset",
                                   "modify_ldt",
                                   "migrate_pages",
                                   "move_pages",
                                   "mbind",
                                   "set_mempolicy",
                                   "socketpair",
                                   "bind",
                                   "listen",
                                   "accept",
                                   "accept4",
                                   "connect"};

}  // namespace

std::string CompileSeccompFilter() {
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
  CHECK(context != nullptr, "[jail] libseccomp cannot start a filter");
  bool good = true;
  for (const char* name : kDenied) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) continue;
    good = good && seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), call, 0) == 0;
  }
  // Threads yes, processes no; clone3 hides its flags, so libc falls back to clone.
  good = good && seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) == 0;
  good = good && seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
  good = good && seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_NE, AF_UNIX)) == 0;
  std::string program;
  const int file = memfd_create("seccomp", MFD_CLOEXEC);
  good = good && file >= 0 && seccomp_export_bpf(context, file) == 0;
  if (good) {
    lseek(file, 0, SEEK_SET);
    char buffer[4096];
    for (ssize_t n = read(file, buffer, sizeof(buffer)); n > 0;
         n = read(file, buffer, sizeof(buffer))) {
      program.append(buffer, static_cast<size_t>(n));
    }
  }
  if (file >= 0) close(file);
  seccomp_release(context);
  CHECK(good && !program.empty() && program.size() < 65536,
        "[jail] libseccomp cannot compile the filter");
  return program;
}

}  // namespace grouper
