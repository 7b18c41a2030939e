#include "reward/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "reward/jail/harness.h"
#include "reward/jail/seccomp_filter.h"

namespace grouper {
namespace {

using Clock = std::chrono::steady_clock;
using End = JailResult::End;

// 128 random bits in hexadecimal: what the harness signs its lines with.
std::string Nonce() {
  std::random_device device;
  char text[40];
  std::snprintf(text, sizeof(text), "%08x%08x%08x%08x", device(), device(), device(), device());
  return text;
}

// A Python string literal in ASCII; invalid UTF-8 becomes a compile error inside, as it would for
// anyone.
std::string PythonLiteral(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "b'";
  for (char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out + "'";
}

class Pipe {
 public:
  Pipe() { CHECK(pipe2(ends_, O_CLOEXEC) == 0, "[jail] no pipe", std::strerror(errno)); }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void CloseRead() { Close(&ends_[0]); }
  void CloseWrite() { Close(&ends_[1]); }

 private:
  static void Close(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  int ends_[2];
};

// The running jail: bubblewrap is our child; killing it takes its pid namespace with it.
class Supervised {
 public:
  Supervised(const Jail::Options& options, const std::string& filter) {
    const std::vector<std::string> argv = Arguments(options);
    std::vector<char*> raw;
    for (const std::string& arg : argv) raw.push_back(const_cast<char*>(arg.c_str()));
    raw.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    // Descriptors are moved up first, so that none is overwritten before it was placed.
    const int in = fcntl(to_.read_end(), F_DUPFD_CLOEXEC, 64),
              out = fcntl(from_.write_end(), F_DUPFD_CLOEXEC, 64);
    const int bpf = fcntl(filter_.read_end(), F_DUPFD_CLOEXEC, 64);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 3);
    posix_spawn_file_actions_adddup2(&actions, bpf, 4);
    posix_spawn_file_actions_addclosefrom_np(&actions, 5);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char* environment[] = {nullptr};
    error_ = posix_spawn(&pid_, raw[0], &actions, &attributes, raw.data(), environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (int fd : {in, out, bpf}) close(fd);
    to_.CloseRead();
    from_.CloseWrite();
    filter_.CloseRead();
    if (error_ == 0) {
      // Smaller than a pipe: never blocks.
      const ssize_t written = write(filter_.write_end(), filter.data(), filter.size());
      if (written != static_cast<ssize_t>(filter.size())) error_ = EIO;
    }
    filter_.CloseWrite();
    fcntl(to_.write_end(), F_SETFL, O_NONBLOCK);
    fcntl(from_.read_end(), F_SETFL, O_NONBLOCK);
  }
  ~Supervised() { Reap(); }

  int spawn_error() const { return error_; }
  int input() const { return to_.write_end(); }
  int output() const { return from_.read_end(); }

  // Ends the whole namespace and returns the wait status and the CPU seconds used.
  struct Ended {
    int status = 0;
    double cpu_seconds = 0;
  };
  Ended Reap(bool kill_first = true) {
    Ended ended;
    if (pid_ <= 0 || error_ != 0) return ended;
    to_.CloseWrite();
    if (kill_first) kill(pid_, SIGKILL);
    struct rusage usage {};
    while (wait4(pid_, &ended.status, 0, &usage) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    ended.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    return ended;
  }

 private:
  static std::vector<std::string> Arguments(const Jail::Options& o) {
    std::vector<std::string> argv;
    // Never as host root: bubblewrap would map uid 0 to 0.
    if (geteuid() == 0) {
      argv = {o.setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"};
    }
    for (const char* arg : {"--unshare-all",
                            "--unshare-user",
                            "--disable-userns",
                            "--die-with-parent",
                            "--new-session",
                            "--ro-bind",
                            "/usr",
                            "/usr",
                            "--symlink",
                            "usr/lib",
                            "/lib",
                            "--symlink",
                            "usr/lib64",
                            "/lib64",
                            "--symlink",
                            "usr/bin",
                            "/bin",
                            "--dev",
                            "/dev",
                            "--size",
                            "16777216",
                            "--tmpfs",
                            "/dev/shm",
                            "--size",
                            "16777216",
                            "--tmpfs",
                            "/tmp",
                            "--remount-ro",
                            "/",
                            "--chdir",
                            "/tmp",
                            "--clearenv",
                            "--setenv",
                            "PATH",
                            "/usr/bin",
                            "--setenv",
                            "PYTHONHASHSEED",
                            "0",
                            "--setenv",
                            "LANG",
                            "C.UTF-8",
                            "--hostname",
                            "jail",
                            "--cap-drop",
                            "ALL",
                            "--seccomp",
                            "4"}) {
      if (argv.empty() || argv.back() == "--no-new-privs") {
        if (argv.empty() || argv.front() == o.setpriv) argv.push_back(o.bwrap);
      }
      argv.push_back(arg);
    }
    argv.insert(argv.end(), {o.python, "-I", "-S", "-B", "-c", kPythonHarness});
    return argv;
  }

  Pipe to_, from_, filter_;
  pid_t pid_ = -1;
  int error_ = 0;
};

// One conversation with the harness.
class Session {
 public:
  Session(const JailRequest& request, Supervised* jail)
      : request_(request),
        jail_(jail),
        nonce_(Nonce()),
        wall_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(request.limits.wall_seconds))) {}

  JailResult Talk(const std::function<bool(size_t, const std::string&)>& next) {
    const int64_t cpu = static_cast<int64_t>(std::ceil(std::max(1.0, request_.limits.cpu_seconds)));
    Send(nonce_ + "\n(" + std::to_string(cpu) + "," + std::to_string(request_.limits.memory_bytes) +
         ")\n");
    std::string event;
    if (!Receive(&event)) return ended_ ? Closed(End::kBroken, "the jail did not start") : result_;
    if (event != "ready") return Finish(End::kBroken, "the harness spoke out of turn");
    Send(PythonLiteral(request_.program) + "\n" + PythonLiteral(request_.entry) + ".decode()\n");
    if (!Receive(&event)) return ended_ ? Closed(End::kEnded, "left while loading") : result_;
    if (event != "loaded") return FromEvent(event);
    for (size_t call = 0; call < request_.calls.size(); ++call) {
      if (!input_.empty() || Pending())
        return Finish(End::kForged, "wrote a result before the call");
      Send(request_.calls[call] + "\n");
      if (!Receive(&event)) return ended_ ? Closed(End::kEnded, "left without a result") : result_;
      if (event == "value?") {
        result_.answered = call + 1;
        if (!next(call, "")) return Finish(End::kFinished, "");
        continue;
      }
      if (event.rfind("value ", 0) != 0) return FromEvent(event);
      result_.answered = call + 1;
      if (!next(call, event.substr(6))) return Finish(End::kFinished, "");
    }
    if (!input_.empty() || Pending()) return Finish(End::kForged, "wrote more results than calls");
    return Finish(End::kFinished, "");
  }

 private:
  JailResult Finish(End end, const std::string& detail) {
    jail_->Reap();
    result_.end = end;
    result_.detail = detail;
    return result_;
  }

  // The process closed its result channel: its end says why.
  JailResult Closed(End otherwise, const std::string& detail) {
    const Supervised::Ended ended = jail_->Reap(false);
    const int code =
        WIFEXITED(ended.status) ? WEXITSTATUS(ended.status) : 128 + WTERMSIG(ended.status);
    result_.detail = detail;
    if (code == 128 + SIGXCPU ||
        (code == 128 + SIGKILL && ended.cpu_seconds >= request_.limits.cpu_seconds)) {
      result_.end = End::kCpuLimit;
    } else if (code == 128 + SIGSEGV || code == 128 + SIGBUS || code == 128 + SIGABRT ||
               code == 128 + SIGKILL) {
      result_.end = otherwise == End::kBroken ? End::kBroken : End::kException;
      result_.detail = "signal " + std::to_string(code - 128);
    } else {
      result_.end = otherwise;
    }
    return result_;
  }

  JailResult FromEvent(const std::string& event) {
    if (event.rfind("compile ", 0) == 0) return Finish(End::kCompileError, event.substr(8));
    if (event.rfind("error ", 0) == 0) return Finish(End::kException, event.substr(6));
    if (event == "exit") return Finish(End::kEnded, "SystemExit");
    if (event == "memory") return Finish(End::kMemoryLimit, "MemoryError");
    return Finish(End::kForged, "unknown line on the result channel");
  }

  void Send(const std::string& text) { output_ += text; }

  // More bytes wait although none was asked for.
  bool Pending() {
    pollfd p{jail_->output(), POLLIN, 0};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
  }

  // Next signed line into *event. False: result_ says why, or ended_ when the channel was closed.
  bool Receive(std::string* event) {
    while (true) {
      const size_t newline = input_.find('\n');
      if (newline != std::string::npos) {
        const std::string line = input_.substr(0, newline);
        input_.erase(0, newline + 1);
        if (line.rfind(nonce_ + " ", 0) != 0) {
          Finish(End::kForged, "unsigned line on the result channel");
          return false;
        }
        *event = line.substr(nonce_.size() + 1);
        return true;
      }
      const Clock::time_point now = Clock::now();
      if (now >= request_.deadline || request_.stop.stop_requested()) {
        Finish(End::kDeadline, "the service's time is up");
        return false;
      }
      if (now >= wall_) {
        Finish(End::kWallLimit, "wall time");
        return false;
      }
      const auto rest = std::min(wall_, request_.deadline) - now;
      const int wait = static_cast<int>(std::clamp<int64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(rest).count() + 1, 1, 50));
      pollfd fds[2] = {{jail_->output(), POLLIN, 0},
                       {output_.empty() ? -1 : jail_->input(), POLLOUT, 0}};
      poll(fds, 2, wait);
      if ((fds[1].revents & (POLLOUT | POLLERR)) != 0) {
        const ssize_t n = write(jail_->input(), output_.data(), output_.size());
        if (n > 0) output_.erase(0, static_cast<size_t>(n));
        if (n < 0 && errno != EAGAIN && errno != EINTR) output_.clear();  // the reader is gone
      }
      if ((fds[0].revents & (POLLIN | POLLHUP)) == 0) continue;
      char buffer[16384];
      const ssize_t n = read(jail_->output(), buffer, sizeof(buffer));
      if (n == 0) {
        ended_ = true;
        return false;
      }
      if (n < 0) continue;
      received_ += n;
      if (received_ > request_.limits.output_bytes + 4096) {
        Finish(End::kOutputLimit, "results exceed the output limit");
        return false;
      }
      input_.append(buffer, static_cast<size_t>(n));
    }
  }

  const JailRequest& request_;
  Supervised* jail_;
  const std::string nonce_;
  const Clock::time_point wall_;
  std::string output_, input_;
  int64_t received_ = 0;
  bool ended_ = false;
  JailResult result_;
};

// Each line of this program must be true of a jail whose walls stand.
constexpr const char* kProbe = R"python(
import os, socket
def probe():
    bad = []
    for path in ('/root', '/home', '/work', '/etc', '/proc/1', '/sys', '/var'):
        if os.path.exists(path): bad.append('sees ' + path)
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM); bad.append('opens a network socket')
    except OSError: pass
    for path in ('/usr/probe', '/probe', '/lib/probe'):
        try:
            open(path, 'w'); bad.append('writes ' + path)
        except OSError: pass
    try:
        os.fork(); bad.append('forks')
    except OSError: pass
    try:
        bytearray(1 << 30); bad.append('takes a gigabyte')
    except MemoryError: pass
    if os.getuid() == 0: bad.append('is root')
    if any(name not in ('PATH', 'PYTHONHASHSEED', 'LANG', 'PWD', 'LC_CTYPE') for name in os.environ): bad.append('has an environment')
    return bad
)python";

}  // namespace

Jail::Jail(Options options) : options_(std::move(options)) {
  try {
    for (const std::string& program : {options_.bwrap, options_.python}) {
      if (!FileExists(program)) {
        problem_ = program + " is missing; install the packages bubblewrap and python3";
        return;
      }
    }
    filter_ = CompileSeccompFilter();
    problem_ = Probe();
  } catch (const Error& error) {
    problem_ = error.message();
  }
}

Jail::~Jail() = default;

std::string Jail::Probe() const {
  JailRequest request;
  request.program = kProbe;
  request.entry = "probe";
  request.calls = {"()"};
  request.limits.wall_seconds = 10;
  std::string found = "?";
  const JailResult result = Run(request, [&](size_t, const std::string& json) {
    found = json;
    return true;
  });
  if (result.end != End::kFinished) {
    return "the probe did not run (" + result.detail +
           "); user namespaces may be switched off on this machine";
  }
  return found == "[]" ? "" : "the walls do not stand: " + found;
}

JailResult Jail::Run(const JailRequest& request,
                     const std::function<bool(size_t, const std::string&)>& next) const {
  JailResult broken;
  if (!problem_.empty()) {
    broken.detail = problem_;
    return broken;
  }
  Supervised jail(options_, filter_);
  if (jail.spawn_error() != 0) {
    broken.detail = std::string("cannot start bubblewrap: ") + std::strerror(jail.spawn_error());
    return broken;
  }
  return Session(request, &jail).Talk(next);
}

}  // namespace grouper
