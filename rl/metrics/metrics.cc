#include "rl/metrics/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/io/json.h"
#include "base/kill_point.h"

namespace grouper {
namespace {

// The run's one event file: the existing one on a resume, or a new one named after start time, host
// and process.
std::string EventPath(const std::string& folder) {
  for (const std::string& name : ListFolder(folder)) {
    if (name.rfind("events.out.tfevents.", 0) == 0) return JoinPath(folder, name);
  }
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  char name[400];
  std::snprintf(name, sizeof(name), "events.out.tfevents.%010ld.%s.%d.0",
                static_cast<long>(SystemClock().WallSeconds()), host, static_cast<int>(getpid()));
  return JoinPath(folder, name);
}

}  // namespace

double StepMetrics::Get(const std::string& key) const {
  for (const Value& v : values_) {
    if (v.key == key) return v.value;
  }
  return 0;
}

bool StepMetrics::Has(const std::string& key) const {
  return std::any_of(values_.begin(), values_.end(),
                     [&](const Value& value) { return value.key == key; });
}

std::string StepMetrics::ToJson(int64_t step) const {
  JsonWriter w;
  w.BeginObject().Key("step").Value(step);
  for (const Value& v : values_) {
    w.Key(v.key);
    if (v.count) {
      w.Value(static_cast<int64_t>(v.value));
    } else {
      w.Value(v.value);
    }
  }
  w.EndObject();
  return w.text();
}

MetricsWriter::MetricsWriter(const std::string& run_folder, int64_t keep_metrics_bytes,
                             int64_t keep_events_bytes, DiskWait* wait, const Clock* clock)
    : clock_(clock != nullptr ? clock : &system_clock_),
      lines_(JoinPath(run_folder, "metrics.jsonl"), std::max<int64_t>(keep_metrics_bytes, 0),
             wait) {
  KILL_POINT("metrics.lines_opened");
  events_ = std::make_unique<EventFile>(EventPath(run_folder),
                                        std::max<int64_t>(keep_events_bytes, 0), wait);
  KILL_POINT("metrics.events_opened");
}

void MetricsWriter::Write(int64_t step, const StepMetrics& metrics) {
  lines_.Append(metrics.ToJson(step) + "\n");
  std::vector<std::pair<std::string_view, double>> scalars;
  for (const StepMetrics::Value& v : metrics.values()) scalars.emplace_back(v.key, v.value);
  events_->AddScalars(step, std::max(clock_->WallSeconds(), events_->last_wall_seconds()), scalars);
  lines_.Flush();
  KILL_POINT("metrics.line_appended");
  events_->Flush();
  KILL_POINT("metrics.event_appended");
}

void MetricsWriter::Sync() {
  lines_.Sync();
  KILL_POINT("metrics.lines_synced");
  events_->Sync();
  KILL_POINT("metrics.events_synced");
}

}  // namespace grouper
