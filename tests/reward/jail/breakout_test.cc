// Attempts to reach what lies outside the box, in both tiers. What a tier lets pass because it does
// no harm there is named.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>

#include "tests/reward/jail/standing_jail.h"

namespace grouper {
namespace {

using End = JailResult::End;
using Tier = reward::v1::IsolationTier;

struct Attempt {
  const char* name;
  const char* code;  // raises OSError (or returns -1 from call) where the wall stands
  // In namespaces of its own the call meets nothing but the box itself.
  bool harmless_in_namespaces = false;
};

// call(number, ...) makes a system call by its number on x86-64 and raises what it returns.
constexpr const char kPrelude[] = R"(
import ctypes, fcntl, os, resource, signal, socket, subprocess
c = ctypes.CDLL(None, use_errno=True)
def call(*words):
    words = [ctypes.c_long(w) if isinstance(w, int) else w for w in words]
    if c.syscall(*words) < 0: raise OSError
def read(path): open(path, 'rb').read(1)
def write(path): open(path, 'wb')
def open_any(form, pid):
    for fd in range(64):
        try: return os.open(form % (pid, fd), os.O_WRONLY | os.O_NONBLOCK)
        except OSError: pass
    raise OSError
attempts = {}
def f():
    succeeded = []
    for name in attempts:
        try:
            attempts[name]()
        except OSError:
            continue
        succeeded.append(name)
    return succeeded
)";

const Attempt kAttempts[] = {
    // files
    {"writes to /tmp", "write('/tmp/a')"},
    {"writes to /var/tmp", "write('/var/tmp/a')"},
    {"writes to /dev/shm", "write('/dev/shm/a')"},
    {"writes to its folder", "write('a')"},
    {"writes to /run", "write('/run/a')"},
    {"writes to /usr", "write('/usr/lib/a')"},
    {"makes a temporary file without a name", "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)"},
    {"makes a folder", "os.mkdir('/tmp/grouper-jail-test')"},
    {"makes a pipe with a name", "os.mkfifo('/tmp/grouper-jail-test')"},
    {"makes a link", "os.symlink('/etc', '/tmp/grouper-jail-test')"},
    {"renames", "os.rename('/tmp', '/tmp2')"},
    {"removes", "os.rmdir('/tmp/.X11-unix')"},
    {"truncates", "os.truncate('/usr/bin/python3', 0)"},
    {"cuts a file that it reads", "os.open('/usr/bin/python3', os.O_RDONLY | os.O_TRUNC)"},
    {"changes a mode", "os.chmod('/tmp', 0o777)"},
    {"changes an owner", "os.chown('/tmp', os.getuid(), -1)"},
    {"changes times", "os.utime('/tmp')"},
    {"sets an attribute", "os.setxattr('/tmp', 'user.a', b'1')"},
    {"watches a folder", "call(253)"},  // inotify_init
    {"reads /etc/passwd", "read('/etc/passwd')"},
    {"reads /etc/hostname", "read('/etc/hostname')"},
    {"reads its environment", "read('/proc/self/environ')"},
    {"reads its memory as a file", "read('/proc/self/mem')"},
    {"reads process 1", "read('/proc/1/environ')"},
    {"reads its parent", "read('/proc/%d/cmdline' % os.getppid())"},
    {"lists processes", "os.listdir('/proc')"},
    {"lists /tmp", "os.listdir('/tmp')"},
    // Landlock has no say over pipes, but over looking into another process.
    {"opens its parent's pipes", "open_any('/proc/%d/fd/%d', os.getppid())"},
    {"reads a folder that it holds",
     "os.open('passwd', os.O_RDONLY, dir_fd=os.open('/etc', os.O_PATH))"},
    {"opens a terminal", "os.open('/dev/ptmx', os.O_RDWR)", true},
    {"makes a device", "os.mknod('/tmp/grouper-jail-test', 0o20666, os.makedev(1, 1))"},
    // processes
    {"forks", "os.fork() or os._exit(0)"},
    {"forks by vfork", "call(58)"},
    {"clones", "call(56, 17, 0, 0, 0, 0)"},
    {"clones with shared memory", "call(56, 0x4100 | 17, 0, 0, 0, 0)"},
    {"clones by clone3", "call(435, ctypes.create_string_buffer(88), 88)"},
    {"spawns", "subprocess.run(['/usr/bin/true'])"},
    {"spawns by posix_spawn", "os.posix_spawn('/usr/bin/true', ['true'], {})"},
    {"runs a file that it holds", "call(322, 3, b'', 0, 0, 0x1000)"},  // execveat
    {"traces its parent", "call(101, 16, os.getppid(), 0, 0)"},
    {"reads its parent's memory", "call(310, os.getppid(), 0, 0, 0, 0, 0)"},
    {"writes its parent's memory", "call(311, os.getppid(), 0, 0, 0, 0, 0)"},
    {"holds its parent", "call(434, os.getppid(), 0)"},  // pidfd_open
    {"signals its parent", "os.kill(os.getppid(), signal.SIGCONT)", true},
    {"signals process 1", "os.kill(1, signal.SIGCONT)", true},
    {"signals its group", "os.killpg(0, signal.SIGCONT)", true},
    {"signals all", "os.kill(-1, signal.SIGCONT)", true},
    {"signals by a thread's number", "call(200, os.getppid(), 18)", true},  // tkill
    {"signals with a value", "call(129, os.getppid(), 18, 0)"},             // rt_sigqueueinfo
    {"signals through a descriptor", "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
     true},
    {"asks for its parent's limits", "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)", true},
    {"moves its parent", "os.sched_setaffinity(os.getppid(), {0})", true},
    {"changes priorities", "os.setpriority(os.PRIO_USER, os.getuid(), 19)"},
    {"changes its scheduler", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"},
    {"outlives the service", "call(157, 1, 0, 0, 0, 0)", true},
    {"leaves its session", "os.setsid()"},
    {"becomes root", "os.setuid(0)"},
    {"becomes root by all ids", "os.setresuid(0, 0, 0)"},
    {"joins groups", "os.setgroups([0])"},
    // memory and channels outside of the limits
    {"makes a memory file", "os.memfd_create('a')"},
    {"makes a secret memory file", "call(447, 0)"},
    {"shares memory by System V", "call(29, 0, 4096, 0o1600)"},
    {"makes a message queue by System V", "call(68, 0, 0o1600)"},
    {"makes semaphores by System V", "call(64, 0, 1, 0o1600)"},
    {"makes a POSIX message queue", "call(240, b'a', 0o102, 0o600, 0)"},
    {"makes a ring", "call(425, 8, ctypes.create_string_buffer(120))"},
    {"makes a key", "call(248, b'user', b'a', b'b', 1, -2)"},
    {"lists keys", "call(250, 0, -3, 1)"},
    {"handles page faults", "call(323, 1)"},
    {"loads a program into the kernel", "call(321, 0, ctypes.create_string_buffer(64), 64)"},
    {"counts events of the machine", "call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)"},
    {"watches the file system", "call(300, 0, 0)"},  // fanotify_init
    // sockets
    {"connects by TCP", "socket.create_connection(('127.0.0.1', 22), 1)"},
    {"sends by UDP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"},
    {"opens netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"},
    {"opens packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"},
    {"opens vsock", "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"},
    {"opens the kernel's ciphers", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)"},
    {"listens on an abstract name", "socket.socket(socket.AF_UNIX).bind('\\0grouper-jail-test')"},
    {"sends from a pair to an abstract name",
     "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'a', '\\0' + name)"},
    {"sends from a pair to a file",
     "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'a', "
     "'/tmp/' + name)"},
    {"sends a descriptor",
     "socket.socketpair()[0].sendmsg([b'a'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, "
     "b'\\0\\0\\0\\0')])"},
    // the kernel
    {"mounts", "call(165, 0, b'/tmp', b'tmpfs', 0, 0)"},
    {"makes a namespace", "call(272, 0x10000000)"},
    {"joins a namespace", "call(308, 3, 0)"},
    {"changes its root", "os.chroot('/usr')"},
    {"changes its execution domain", "call(135, 0x0040000)"},
    {"adds a filter", "call(317, 1, 8, 0)"},  // seccomp with a listener
    {"adds a filter by prctl", "call(157, 22, 2, 0, 0, 0)"},
    {"sets the name of the machine", "call(170, b'a', 1)"},
    {"makes Landlock rules", "call(444, 0, 0, 1)"},
};

class Breakout : public testing::TestWithParam<Tier> {
 public:
  void SetUp() override { SKIP_UNLESS_STANDING(jail_); }

  // What f() returned as JSON, or how the run ended.
  std::string Ran(const std::string& program) const { return Ran(jail_, program); }
  static std::string Ran(const Jail& jail, const std::string& program) {
    JailRequest request;
    request.program = program;
    request.entry = "f";
    request.calls = {"[]"};
    std::string value;
    const JailResult result = jail.Run(request, [&](size_t, const std::string& json) {
      value = json;
      return true;
    });
    return result.end == End::kFinished ? value : "ended: " + result.detail;
  }

  const Jail& jail_ = JailOf(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Tiers, Breakout, testing::ValuesIn(kTiers),
                         [](const auto& each) { return std::string(TierWord(each.param)); });

// A datagram socket that anybody may write to. The name of an abstract one starts with a zero byte.
class OpenSocket {
 public:
  explicit OpenSocket(const std::string& name) : name_(name), fd_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof(address.sun_path));
    if (name[0] != 0) unlink(name.c_str());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    if (name[0] != 0) chmod(name.c_str(), 0777);
  }
  ~OpenSocket() {
    close(fd_);
    if (name_[0] != 0) unlink(name_.c_str());
  }

 private:
  const std::string name_;
  const int fd_;
};

// The names of the attempts that succeed, as a JSON list.
std::string Succeeding(const Jail& jail) {
  // Several of these tests run at once.
  const std::string name = "grouper-jail-" + std::to_string(getpid());
  const OpenSocket abstract(std::string(1, 0) + name), file("/tmp/" + name);
  std::string program = kPrelude;
  program += "name = '" + name + "'\n";
  for (const Attempt& attempt : kAttempts) {
    if (attempt.harmless_in_namespaces && jail.tier() == reward::v1::NAMESPACES) continue;
    program += std::string("attempts[\"") + attempt.name + "\"] = lambda: " + attempt.code + "\n";
  }
  return Breakout::Ran(jail, program);
}

TEST_P(Breakout, NoAttemptSucceeds) { EXPECT_EQ(Succeeding(jail_), "[]"); }

// What older kernels lack, the filter of system calls holds.
TEST(BreakoutOfOlderLandlock, NoAttemptSucceeds) {
  for (const int abi : {1, 2, 3, 4, 5}) {
    SCOPED_TRACE(abi);
    JailOptions options = Only(reward::v1::PROCESS);
    options.most_landlock_abi = abi;
    const Jail jail(options);
    SKIP_UNLESS_STANDING(jail);
    EXPECT_EQ(Succeeding(jail), "[]");
  }
}

// A program may ask about itself and signal itself, as ordinary ones do.
TEST_P(Breakout, WhatConcernsItselfIsAllowed) {
  EXPECT_EQ(Ran("import fcntl, os, resource, signal, socket\n"
                "def f():\n"
                "    got = []\n"
                "    signal.signal(signal.SIGUSR1, lambda *_: got.append(1))\n"
                "    os.kill(os.getpid(), signal.SIGUSR1)\n"
                "    signal.raise_signal(signal.SIGUSR1)\n"
                "    resource.prlimit(os.getpid(), resource.RLIMIT_CORE)\n"
                "    os.sched_getaffinity(0), os.getsid(os.getpid())\n"
                "    a, b = socket.socketpair()\n"
                "    a.send(b'x')\n"
                "    open(os.devnull, 'w').write('x')\n"
                "    fcntl.fcntl(0, fcntl.F_GETFL)\n"
                "    return [len(got), b.recv(9).decode(), len(os.urandom(3))]\n"),
            "[2,\"x\",3]");
}

TEST_P(Breakout, NoDescriptorIsInherited) {
  const int secret = open("/etc/passwd", O_RDONLY);  // not closed on exec
  ASSERT_GE(secret, 0);
  const int high = fcntl(secret, F_DUPFD, 50);
  EXPECT_EQ(Ran("import os\n"
                "def f():\n"
                "    kinds = set()\n"
                "    for fd in range(1024):\n"
                "        try: kinds.add(os.fstat(fd).st_mode >> 12)\n"
                "        except OSError: pass\n"
                "    return sorted(kinds)\n"),
            "[1,2]")
      << "pipes and /dev/null";
  close(high);
  close(secret);
}

// The process that holds the box is killed as a crash would: nothing inside may go on.
TEST_P(Breakout, DiesWithTheService) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const pid_t service = fork();
  if (service == 0) {
    JailRequest request;
    request.program =
        "import time\n"
        "def f(x):\n"
        "    if x: time.sleep(60)\n";
    request.entry = "f";
    request.calls = {"[0]", "[1]"};
    request.limits.wall_seconds = 60;
    jail_.Run(request, [&](size_t, const std::string&) { return write(ready[1], "x", 1) == 1; });
    _exit(0);
  }
  close(ready[1]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1) << "the program runs";
  close(ready[0]);
  kill(service, SIGKILL);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  pid_t left = 0;
  while (left >= 0 && std::chrono::steady_clock::now() < end) {
    left = waitpid(-1, nullptr, WNOHANG);
    if (left == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(left, -1) << "a process of the box lives on";
}

}  // namespace
}  // namespace grouper
