#include "kernels/cpu/parallel.h"

#include "base/error.h"

namespace grouper::cpu {
namespace {

// About ten microseconds: longer than the gap between two operators, shorter than a time slice.
constexpr int kSpins = 300;

inline void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1, "[pool] a thread pool needs at least one thread", Named("threads", threads));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
}

void ThreadPool::TakeTasks() {
  for (int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < tasks_;
       i = next_.fetch_add(1, std::memory_order_relaxed)) {
    try {
      task_(context_, i);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (failure_ == nullptr) failure_ = std::current_exception();
    }
  }
}

void ThreadPool::Work() {
  uint64_t seen = 0;
  while (true) {
    for (int i = 0; i < kSpins && round_.load(std::memory_order_acquire) == seen; ++i) Relax();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_.load(std::memory_order_relaxed) != seen; });
      seen = round_.load(std::memory_order_relaxed);
      if (stop_) return;
      if (!open_) continue;  // this thread woke too late: the round has ended
      joined_.fetch_add(1, std::memory_order_relaxed);
    }
    TakeTasks();
    joined_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::Run(int64_t tasks, Task task, void* context) {
  {
    std::lock_guard lock(mutex_);
    task_ = task;
    context_ = context;
    tasks_ = tasks;
    failure_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    open_ = true;
    round_.fetch_add(1, std::memory_order_release);
  }
  if (!workers_.empty()) wake_.notify_all();
  TakeTasks();
  {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  for (int spins = 0; joined_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      Relax();
    } else {
      std::this_thread::yield();
    }
  }
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

}  // namespace grouper::cpu
