// The thread pool of the CPU backend. Run() splits independent tasks over the threads and returns
// when all are done. A task computes whole outputs, so results do not depend on the thread count.
// Idle threads spin for a few microseconds, then sleep. Only one thread at a time may call Run(),
// and never from inside a task.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "kernels/stream.h"
#include "kernels/tensor.h"

namespace grouper::cpu {

class ThreadPool {
 public:
  using Task = void (*)(void* context, int64_t task);

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // Calls task(context, i) for every i in [0, tasks), in any order, on any thread. If tasks throw,
  // the first exception is rethrown here after all tasks have ended.
  void Run(int64_t tasks, Task task, void* context);

 private:
  void Work();
  void TakeTasks();

  std::vector<std::jthread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> joined_{0};  // workers that take part in the current round
  bool open_ = false;           // guarded by mutex_: the round may still be joined
  bool stop_ = false;           // guarded by mutex_
  Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  std::exception_ptr failure_;
};

// body(i) for i in [0, tasks) on the stream's pool. Forced inline, because it is compiled per
// instruction set.
template <typename Body>
GROUPER_INLINE void ParallelFor(Stream& stream, int64_t tasks, Body&& body) {
  if (stream.pool == nullptr || tasks <= 1) {
    for (int64_t i = 0; i < tasks; ++i) body(i);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  stream.pool->Run(
      tasks, [](void* context, int64_t task) { (*static_cast<Plain*>(context))(task); }, &body);
}

// body(begin, end) over consecutive cuts of [0, rows), `grain` rows each. Where a row's arithmetic
// depends on that row alone, any cut gives the same bits.
template <typename Body>
GROUPER_INLINE void ParallelRows(Stream& stream, int64_t rows, int64_t grain, Body&& body) {
  const int64_t tasks = (rows + grain - 1) / grain;
  if (stream.pool == nullptr || tasks <= 1) {
    if (rows > 0) body(int64_t{0}, rows);
    return;
  }
  ParallelFor(stream, tasks, [&](int64_t task) {
    const int64_t begin = task * grain;
    const int64_t end = begin + grain < rows ? begin + grain : rows;
    body(begin, end);
  });
}

}  // namespace grouper::cpu
