#include "reward/jail/session.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <random>

#include "base/hex.h"

namespace grouper {
namespace {

using Clock = std::chrono::steady_clock;
using End = JailResult::End;

// The time from the spawn to the harness's first line. It is our time, so it does not count against
// the submission's limits.
constexpr std::chrono::seconds kStartTime{20};
// The longest time between two looks at the stop token.
constexpr int kLookMs = 50;
constexpr int kMostThreads = 64;
// Room for the nonces and event names around the values: of the start and end, and of each call.
constexpr int64_t kFrameBytes = 4096, kCallFrameBytes = 64;
// Room for reading arguments and writing results. One byte of JSON takes at most 40 of memory, and
// a slow processor handles far more than 1 MiB of it in a second. Neither depends on the machine.
constexpr int64_t kMemoryPerByte = 40;
constexpr double kBytesPerSecond = 1 << 20;

// 128 random bits in hexadecimal, with which the harness signs its lines.
std::string Nonce() {
  std::random_device device;
  char text[40];
  std::snprintf(text, sizeof(text), "%08x%08x%08x%08x", device(), device(), device(), device());
  return text;
}

// A Python bytes literal in ASCII. Invalid UTF-8 becomes a compile error inside the jail.
std::string PythonLiteral(const std::string& text) {
  std::string out = "b'";
  out.reserve(text.size() * 4 + 4);
  for (char c : text) {
    out += "\\x";
    AppendHex(static_cast<unsigned char>(c), &out);
  }
  return out + "'";
}

Clock::time_point After(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

int64_t BytesToHandle(const JailRequest& request) {
  int64_t bytes = request.all_results_bytes;
  for (const std::string& call : request.calls) bytes += static_cast<int64_t>(call.size());
  return bytes;
}

// How long this thread was ready to run while no processor was free. 0 if the kernel does not say.
double SecondsStarved() {
  double ran = 0, waited = 0;
  std::ifstream("/proc/thread-self/schedstat") >> ran >> waited;
  return waited * 1e-9;
}

int64_t MemoryLimit(const JailRequest& request) {
  size_t largest = 0;
  for (const std::string& call : request.calls) largest = std::max(largest, call.size());
  return request.limits.memory_bytes +
         kMemoryPerByte * (static_cast<int64_t>(largest) + request.largest_result_bytes);
}

// One conversation with the harness.
class Session {
 public:
  // count_threads: too many of them end the run here, because no limit of the kernel does.
  Session(const JailRequest& request, bool count_threads, Box* box)
      : request_(request),
        count_threads_(count_threads),
        box_(*box),
        nonce_(Nonce()),
        limit_(Clock::now() + kStartTime) {}

  JailResult Talk(const std::function<bool(size_t, const std::string&)>& next) {
    // The kernel counts whole seconds, so little work gets no room.
    const double room = handling_seconds_ < 0.0625 ? 0 : handling_seconds_;
    const double cpu = std::ceil(std::max(1.0, request_.limits.cpu_seconds)) + std::ceil(room);
    Send(nonce_ + "\n(" + std::to_string(static_cast<int64_t>(cpu)) + "," +
         std::to_string(MemoryLimit(request_)) + "," +
         (count_threads_ ? "None" : std::to_string(kMostThreads)) + ")\n");
    std::string event;
    if (!Receive(&event)) return result_;
    if (event != "ready") return Finish(End::kBroken, "the harness spoke out of turn");
    started_ = true;
    begin_ = Clock::now();
    starved_ = box_.SecondsStarved() + SecondsStarved();
    limit_ = After(request_.limits.wall_seconds + handling_seconds_);
    Send(PythonLiteral(request_.program) + "\n" + PythonLiteral(request_.entry) + ".decode()\n");
    if (!Receive(&event)) return result_;
    if (event != "loaded") return FromEvent(event);
    for (size_t call = 0; call < request_.calls.size(); ++call) {
      if (Spoke()) return Finish(End::kForged, "a result before its call");
      Send(request_.calls[call] + "\n");
      if (!Receive(&event)) return result_;
      if (event != "value?" && event.rfind("value ", 0) != 0) return FromEvent(event);
      result_.answered = call + 1;
      const Clock::time_point asked = Clock::now();
      const bool more = next(call, event == "value?" ? "" : event.substr(6));
      begin_ += Clock::now() - asked;  // to judge a value is not the submission's time
      limit_ += Clock::now() - asked;
      if (!more) break;
    }
    if (Spoke()) return Finish(End::kForged, "more results than calls");
    return Finish(End::kFinished, "");
  }

 private:
  JailResult Finish(End end, const std::string& detail) {
    box_.Kill();
    result_.end = end;
    result_.detail = detail;
    return result_;
  }

  // No process inside holds the result channel any more. The exit code gives the reason, if it
  // comes in time.
  JailResult Closed() {
    std::optional<int> code;
    do {
      code = box_.WaitExit(std::min(limit_, request_.deadline), request_.stop);
    } while (!code.has_value() && Extended());
    if (!started_) {
      const std::string words = box_.Complaint();
      return Finish(End::kBroken, words.empty() ? "the box did not start" : words);
    }
    if (!code.has_value()) return OutOfTime();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    if (*code == 128 + SIGXCPU ||
        (*code == 128 + SIGKILL && seconds >= request_.limits.cpu_seconds)) {
      return Finish(End::kCpuLimit, "cpu time");
    }
    if (*code > 128) return Finish(End::kException, "signal " + std::to_string(*code - 128));
    return Finish(End::kEnded, "left without a result");
  }

  // The wall limit is meant for programs that sleep. Time in which the program was ready but no
  // processor was free does not count, because the verdict must not depend on the machine's load.
  bool Extended() {
    if (!started_ || Clock::now() >= request_.deadline || request_.stop.stop_requested()) {
      return false;
    }
    const std::chrono::duration<double> allowed(request_.limits.wall_seconds + handling_seconds_ +
                                                box_.SecondsStarved() + SecondsStarved() -
                                                starved_);
    limit_ = begin_ + std::chrono::duration_cast<Clock::duration>(allowed);
    // A wait that goes on is not in that sum yet. A program that is ready ends by its CPU limit.
    if (Clock::now() >= limit_ && box_.Runnable()) {
      limit_ = Clock::now() + std::chrono::milliseconds(kLookMs);
    }
    return Clock::now() < limit_;
  }

  JailResult OutOfTime() {
    if (Clock::now() >= request_.deadline || request_.stop.stop_requested())
      return Finish(End::kDeadline, "the service's time is up");
    if (!started_) return Finish(End::kBroken, "the box did not start in time");
    return Finish(End::kWallLimit, "wall time");
  }

  JailResult FromEvent(const std::string& event) {
    if (event.rfind("compile ", 0) == 0) return Finish(End::kCompileError, event.substr(8));
    if (event.rfind("error ", 0) == 0) return Finish(End::kException, event.substr(6));
    if (event == "exit") return Finish(End::kEnded, "SystemExit");
    if (event == "memory") return Finish(End::kMemoryLimit, "MemoryError");
    return Finish(End::kForged, "unknown line on the result channel");
  }

  void Send(const std::string& text) { to_send_ += text; }

  // What poll says of the result channel now: POLLIN, POLLHUP, or 0.
  short OutputEvents() const {
    pollfd output{box_.output(), POLLIN, 0};
    return poll(&output, 1, 0) == 1 ? output.revents : short{0};
  }

  // True if there is something on the result channel although nothing was asked.
  bool Spoke() const { return !received_.empty() || (OutputEvents() & POLLIN) != 0; }

  // Reads the next signed line into *event. False: result_ says how the run ended.
  bool Receive(std::string* event) {
    size_t looked = 0;
    while (true) {
      const size_t newline = received_.find('\n', looked);
      if (newline != std::string::npos) {
        const std::string line = received_.substr(0, newline);
        received_.erase(0, newline + 1);
        if (line.rfind(nonce_ + " ", 0) != 0) {
          Finish(End::kForged, "unsigned line on the result channel");
          return false;
        }
        *event = line.substr(nonce_.size() + 1);
        return true;
      }
      looked = received_.size();
      const Clock::time_point now = Clock::now();
      const bool given_up = now >= request_.deadline || request_.stop.stop_requested();
      // What came before the limit counts, also when this thread got no processor to read it.
      if (given_up || (now >= limit_ && !Extended() && OutputEvents() == 0)) {
        OutOfTime();
        return false;
      }
      if (!Exchange(now)) return false;
    }
  }

  // Waits a short time and moves bytes in both directions. False if the conversation has ended.
  bool Exchange(Clock::time_point now) {
    const auto rest = std::min(limit_, request_.deadline) - now;
    const int wait = static_cast<int>(std::clamp<int64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(rest).count() + 1, 1, kLookMs));
    pollfd fds[2] = {{box_.output(), POLLIN, 0},
                     {to_send_.empty() ? -1 : box_.input(), POLLOUT, 0}};
    poll(fds, 2, wait);
    if (count_threads_ && started_ && box_.Threads() > kMostThreads) {
      Finish(End::kException, "too many threads");
      return false;
    }
    if ((fds[1].revents & (POLLOUT | POLLERR)) != 0) {
      const ssize_t n = write(box_.input(), to_send_.data(), to_send_.size());
      if (n > 0) to_send_.erase(0, static_cast<size_t>(n));
      if (n < 0 && errno != EAGAIN && errno != EINTR) to_send_.clear();  // the reader is gone
    }
    if ((fds[0].revents & (POLLIN | POLLHUP)) == 0) return true;
    char buffer[16384];
    const ssize_t n = read(box_.output(), buffer, sizeof(buffer));
    if (n == 0) {
      Closed();
      return false;
    }
    if (n < 0) return true;
    total_ += n;
    const int64_t frames =
        kFrameBytes + kCallFrameBytes * static_cast<int64_t>(request_.calls.size());
    if (total_ - frames > request_.limits.output_bytes) {
      Finish(End::kOutputLimit, "results exceed the output limit");
      return false;
    }
    received_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  const JailRequest& request_;
  const bool count_threads_;
  const double handling_seconds_ = static_cast<double>(BytesToHandle(request_)) / kBytesPerSecond;
  Box& box_;
  const std::string nonce_;
  bool started_ = false;
  Clock::time_point begin_, limit_;
  double starved_ = 0;  // before the program was sent
  std::string to_send_, received_;
  int64_t total_ = 0;
  JailResult result_;
};

}  // namespace

JailResult TalkToHarness(const JailRequest& request, bool count_threads, Box* box,
                         const NextValue& next) {
  return Session(request, count_threads, box).Talk(next);
}

}  // namespace grouper
