#include "kernels/dispatch.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace grouper {
namespace {

struct OpLog {
  struct Row {
    int64_t calls = 0;
    int64_t nanos = 0;
  };
  const bool print = std::getenv("GROUPER_LOG_OPS") != nullptr;
  std::atomic<bool> on{print};
  std::mutex mutex;
  std::map<std::string_view, Row> rows;

  ~OpLog() {
    if (!print) return;
    for (const auto& [name, row] : rows) {
      std::fprintf(stderr, "op %-28s %10ld calls %10.3f s\n", std::string(name).c_str(),
                   static_cast<long>(row.calls), static_cast<double>(row.nanos) * 1e-9);
    }
  }
};

OpLog& Ops() {
  static OpLog log;
  return log;
}

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

OpTimer::OpTimer(const char* name) {
  if (!Ops().on.load(std::memory_order_relaxed)) return;
  name_ = name;
  begin_ = Now();
}

OpTimer::~OpTimer() {
  if (name_ == nullptr) return;
  const int64_t spent = Now() - begin_;
  OpLog& log = Ops();
  std::lock_guard lock(log.mutex);
  auto& row = log.rows[name_];
  ++row.calls;
  row.nanos += spent;
}

void CountOps(bool on) { Ops().on = on; }

std::vector<OpTotal> OpTotals() {
  OpLog& log = Ops();
  std::lock_guard lock(log.mutex);
  std::vector<OpTotal> totals;
  for (const auto& [name, row] : log.rows) {
    totals.push_back({std::string(name), row.calls, static_cast<double>(row.nanos) * 1e-9});
  }
  return totals;
}

std::string ShapeOf(const Tensor& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.rank; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(tensor.shape[i]);
  }
  return text + "]";
}

void CheckTensor(const char* what, const Tensor& tensor, DType dtype, int rank,
                 const int64_t* shape) {
  CHECK(!tensor.empty() || tensor.elements() == 0, std::string(what) + " is missing");
  CHECK(tensor.dtype == dtype, std::string(what) + " has the wrong dtype",
        Named("dtype", NameOf(tensor.dtype)), Named("expected", NameOf(dtype)));
  bool same = tensor.rank == rank;
  for (int i = 0; same && i < rank; ++i) same = shape[i] < 0 || shape[i] == tensor.shape[i];
  if (same) return;
  Tensor wanted;
  wanted.rank = rank;
  for (int i = 0; i < rank; ++i) wanted.shape[i] = shape[i];
  ThrowInternal(std::string(what) + " has the wrong shape (-1 means any size)",
                Named("shape", ShapeOf(tensor)), Named("expected", ShapeOf(wanted)));
}

}  // namespace grouper
