// The metrics of a step: one console line, one flat JSON object in metrics.jsonl, scalars in a
// TensorBoard event file. Files are append-only; their offsets go into the manifest and a resume
// cuts them back.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/io/file.h"
#include "rl/run/event_file.h"

namespace grouper {

// Keys in order of insertion: "check.tokens", "reward.mean", ...
class StepMetrics {
 public:
  void Add(const std::string& key, double value) { values_.push_back({key, value, false}); }
  void AddCount(const std::string& key, int64_t value) {
    values_.push_back({key, static_cast<double>(value), true});
  }
  double Get(const std::string& key) const;  // 0 when absent
  std::string ToJson(int64_t step) const;
  struct Value {
    std::string key;
    double value;
    bool count;
  };
  const std::vector<Value>& values() const { return values_; }

 private:
  std::vector<Value> values_;
};

class MetricsWriter {
 public:
  // Offsets < 0: a fresh start cuts everything; otherwise both files are cut to them. `wait`: as
  // AppendFile. `clock` (the system's when null) stamps events, never earlier than the last one.
  MetricsWriter(const std::string& run_folder, int64_t keep_metrics_bytes,
                int64_t keep_events_bytes, DiskWait* wait = nullptr, const Clock* clock = nullptr);
  void Write(int64_t step, const StepMetrics& metrics);
  void Sync();
  uint64_t metrics_bytes() const { return lines_.size_bytes(); }
  uint64_t events_bytes() const { return events_->offset_bytes(); }

 private:
  SystemClock system_clock_;
  const Clock* clock_;
  AppendFile lines_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace grouper
