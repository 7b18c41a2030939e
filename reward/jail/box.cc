#include "reward/jail/box.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.h"
#include "reward/jail/harness.h"
#include "reward/jail/walled_start.h"

namespace grouper {
namespace {

// Descriptors inside the box: 0 for calls, 1 and 2 for error messages (the harness replaces both),
// 3 for results, 4 for the filter.
constexpr int kResultFd = 3, kFilterFd = 4;
constexpr size_t kMostComplaintBytes = 400;

// The arguments that isolate the box. The root is a tmpfs that is made read-only, and so is /dev.
// There is one malloc arena, because each further one reserves 64 MB, and whether a thread gets one
// depends on timing.
constexpr const char kWalls[] =
    "--unshare-all --unshare-user --disable-userns --die-with-parent --new-session "
    "--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin "
    "--dev /dev --remount-ro /dev --remount-ro / --chdir / "
    "--clearenv --setenv PATH /usr/bin --setenv LANG C.UTF-8 --setenv PYTHONHASHSEED 0 "
    "--setenv MALLOC_ARENA_MAX 1 --hostname jail --cap-drop ALL --seccomp 4";
// Python is not started with -I, because it would then ignore PYTHONHASHSEED, and the order of sets
// would differ from run to run. The environment contains only our variables anyway.
constexpr const char* kPythonFlags[] = {"-s", "-S", "-B", "-c"};

// The same environment as bubblewrap's.
constexpr const char* kEnvironment[] = {"PATH=/usr/bin", "LANG=C.UTF-8", "PYTHONHASHSEED=0",
                                        "MALLOC_ARENA_MAX=1"};

void AppendWords(const std::string& words, std::vector<std::string>* out) {
  std::istringstream in(words);
  for (std::string word; in >> word;) out->push_back(word);
}

std::vector<std::string> BubblewrapArguments(const JailPrograms& programs) {
  std::vector<std::string> argv;
  // As root, bubblewrap would map uid 0 to 0 and leave kernel settings writable.
  if (geteuid() == 0) {
    argv = {programs.setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"};
  }
  argv.push_back(programs.bwrap);
  AppendWords(kWalls, &argv);
  argv.push_back(programs.python);
  argv.insert(argv.end(), std::begin(kPythonFlags), std::end(kPythonFlags));
  argv.push_back(kPythonHarness);
  return argv;
}

// As exec takes them: pointers into `words`, and an end.
std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> raw;
  for (const std::string& word : words) raw.push_back(const_cast<char*>(word.c_str()));
  raw.push_back(nullptr);
  return raw;
}

void CloseFd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// A pipe whose ends are closed on exec. Their numbers are above those to which the child's ends are
// moved.
struct Pipe {
  int read_end = -1, write_end = -1;

  Pipe() {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0, "[jail] a pipe could not be made",
          Named("reason", std::strerror(errno)));
    read_end = fcntl(ends[0], F_DUPFD_CLOEXEC, 16);
    write_end = fcntl(ends[1], F_DUPFD_CLOEXEC, 16);
    close(ends[0]);
    close(ends[1]);
    CHECK(read_end >= 0 && write_end >= 0,
          "[jail] there is no file descriptor left; raise ulimit -n");
  }
  ~Pipe() {
    CloseFd(&read_end);
    CloseFd(&write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
};

int TakeNonBlocking(int* fd) {
  fcntl(*fd, F_SETFL, O_NONBLOCK);
  return std::exchange(*fd, -1);
}

}  // namespace

Box::Box(const JailPrograms& programs, const Walls& walls) {
  Pipe in, out, complaint;
  if (walls.namespaces) {
    Pipe bpf;
    // A pipe holds far more than the filter, so this write never waits.
    const ssize_t written = write(bpf.write_end, walls.filter.data(), walls.filter.size());
    if (written != static_cast<ssize_t>(walls.filter.size())) {
      start_problem_ = "the system-call filter does not fit a pipe";
      return;
    }
    SpawnBubblewrap(programs, in.read_end, out.write_end, bpf.read_end, complaint.write_end);
  } else {
    SpawnWalled(programs, walls, in.read_end, out.write_end, complaint.write_end);
  }
  if (pid_ > 0) {
    // The call is made by number, because the header of glibc 2.36 declares it only for C.
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd_ < 0) {
      start_problem_ = std::string("no pidfd: ") + std::strerror(errno);
      Kill();
    }
  }
  input_ = TakeNonBlocking(&in.write_end);
  output_ = TakeNonBlocking(&out.read_end);
  complaint_ = TakeNonBlocking(&complaint.read_end);
}

void Box::SpawnWalled(const JailPrograms& programs, const Walls& walls, int in, int out,
                      int complaint) {
  std::vector<std::string> argv = {programs.python};
  argv.insert(argv.end(), std::begin(kPythonFlags), std::end(kPythonFlags));
  argv.push_back(kPythonHarness);
  const std::vector<std::string> environment(std::begin(kEnvironment), std::end(kEnvironment));
  const std::vector<char*> raw_argv = Pointers(argv), raw_environment = Pointers(environment);
  pid_ = StartWalled({.argv = raw_argv.data(),
                      .environment = raw_environment.data(),
                      .input = in,
                      .output = out,
                      .complaint = complaint,
                      .landlock = walls.landlock.fd(),
                      .filter = &walls.filter});
  if (pid_ < 0) start_problem_ = std::string("cannot start a process: ") + std::strerror(errno);
}

void Box::SpawnBubblewrap(const JailPrograms& programs, int in, int out, int filter,
                          int complaint) {
  const std::vector<std::string> argv = BubblewrapArguments(programs);
  const std::vector<char*> raw = Pointers(argv);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, complaint, 1);
  posix_spawn_file_actions_adddup2(&actions, complaint, 2);
  posix_spawn_file_actions_adddup2(&actions, out, kResultFd);
  posix_spawn_file_actions_adddup2(&actions, filter, kFilterFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kFilterFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // bubblewrap gets a process group of its own. So Ctrl-C reaches only this program, and a kill
  // also reaches a bubblewrap that is still building its namespaces.
  posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
  char* environment[] = {nullptr};
  const int error = posix_spawn(&pid_, raw[0], &actions, &attributes, raw.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    pid_ = -1;
    start_problem_ = "cannot start " + argv[0] + ": " + std::strerror(error);
  }
}

Box::~Box() {
  Kill();
  CloseFd(&input_);
  CloseFd(&output_);
  CloseFd(&complaint_);
  CloseFd(&pidfd_);
}

void Box::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Box::Kill() {
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  Reap();
}

std::optional<int> Box::WaitExit(TimePoint until, const std::stop_token& stop) {
  while (pid_ > 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                          until - std::chrono::steady_clock::now())
                          .count();
    pollfd ended{pidfd_, POLLIN, 0};
    const int wait = static_cast<int>(std::clamp<int64_t>(left, 0, 50));
    if (poll(&ended, 1, wait) > 0) {
      Reap();
    } else if (left <= 0 || stop.stop_requested()) {
      return std::nullopt;
    }
  }
  return exit_code_;
}

namespace {

// Calls visit("/proc/PID") for the process and each of its descendants.
template <typename Visit>
void ForEachProcess(pid_t pid, const Visit& visit) {
  const std::string folder = "/proc/" + std::to_string(pid);
  visit(folder);
  std::ifstream children(folder + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child; children >> child;) ForEachProcess(child, visit);
}

}  // namespace

int Box::Threads() const {
  struct stat folder {};
  const std::string path = "/proc/" + std::to_string(pid_) + "/task";
  // The links of a folder are itself, its entry in its parent, and one for each folder in it.
  if (pid_ <= 0 || stat(path.c_str(), &folder) != 0) return 0;
  return std::max(0, static_cast<int>(folder.st_nlink) - 2);
}

bool Box::Runnable() const {
  bool runnable = false;
  if (pid_ <= 0) return runnable;
  // proc(5): stat holds the pid, the name in brackets, and the state.
  ForEachProcess(pid_, [&](const std::string& folder) {
    std::string line;
    std::ifstream in(folder + "/stat");
    std::getline(in, line);
    const size_t name_end = line.rfind(')');
    runnable |= name_end != std::string::npos && line.substr(name_end, 3) == ") R";
  });
  return runnable;
}

double Box::SecondsStarved() const {
  double most = 0;
  if (pid_ <= 0) return most;
  // proc(5): schedstat holds the nanoseconds run and then those waited.
  ForEachProcess(pid_, [&](const std::string& folder) {
    double ran = 0, waited = 0;
    std::ifstream(folder + "/schedstat") >> ran >> waited;
    most = std::max(most, waited * 1e-9);
  });
  return most;
}

std::string Box::Complaint() const {
  char text[kMostComplaintBytes];
  const ssize_t size = complaint_ < 0 ? 0 : read(complaint_, text, sizeof(text));
  std::string words(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  while (!words.empty() && words.back() == '\n') words.pop_back();
  std::replace(words.begin(), words.end(), '\n', ' ');
  return words;
}

SigpipeGuard::SigpipeGuard() {
  sigset_t pipe, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  was_pending_ = sigismember(&pending, SIGPIPE) == 1;
  blocked_ = pthread_sigmask(SIG_BLOCK, &pipe, &before_) == 0;
}

SigpipeGuard::~SigpipeGuard() {
  if (!blocked_) return;
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  const timespec now{0, 0};
  while (!was_pending_ && sigtimedwait(&pipe, nullptr, &now) > 0) {
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace grouper
