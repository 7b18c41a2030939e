// Time as an argument: what waits or writes time stamps takes a Clock, so that tests can set it.
#pragma once

#include <chrono>
#include <cstdint>

namespace grouper {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t MonotonicNanos() const = 0;
  virtual double WallSeconds() const = 0;  // since the Unix epoch, for display only
};

class SystemClock final : public Clock {
 public:
  int64_t MonotonicNanos() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  double WallSeconds() const override {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

// Seconds since it was made, by the system's monotonic clock: for metrics and progress lines.
class Stopwatch {
 public:
  double Seconds() const {
    return static_cast<double>(SystemClock().MonotonicNanos() - begin_nanos_) * 1e-9;
  }

 private:
  int64_t begin_nanos_ = SystemClock().MonotonicNanos();
};

}  // namespace grouper
