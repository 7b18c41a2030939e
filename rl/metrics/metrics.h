// The metrics of a step go into one flat JSON object in metrics.jsonl and into a TensorBoard event
// file. Both files are append-only. A checkpoint's manifest stores their lengths, and a resume cuts
// them back.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/io/file.h"
#include "rl/metrics/event_file.h"

namespace grouper {

// Keys in order of insertion: "check.tokens", "reward.mean", ...
class StepMetrics {
 public:
  void Add(const std::string& key, double value) { values_.push_back({key, value, false}); }
  void AddCount(const std::string& key, int64_t value) {
    values_.push_back({key, static_cast<double>(value), true});
  }
  double Get(const std::string& key) const;  // 0 when absent
  bool Has(const std::string& key) const;
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
  // Cuts both files back to these lengths; 0 or less starts them anew. `wait` is that of
  // AppendFile. `clock` (nullptr: the system's) stamps events, never earlier than the last one.
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
