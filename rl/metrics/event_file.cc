#include "rl/metrics/event_file.h"

#include "base/clock.h"
#include "proto/event.pb.h"

namespace grouper {

EventFile::EventFile(const std::string& path, int64_t keep_bytes, DiskWait* wait) {
  const uint64_t keep = RecordResumeOffset(path, keep_bytes);
  tensorboard::Event event;
  if (keep > 0) {
    RecordReader reader(path);
    std::string record;
    while (reader.valid_bytes() < keep && reader.Next(&record)) {
    }
    if (event.ParseFromString(record)) last_wall_seconds_ = event.wall_time();
  }
  writer_ = std::make_unique<RecordWriter>(path, static_cast<int64_t>(keep), wait);
  if (keep > 0) return;
  last_wall_seconds_ = SystemClock().WallSeconds();
  event.set_wall_time(last_wall_seconds_);
  event.set_file_version("brain.Event:2");
  writer_->Append(event.SerializeAsString());
  writer_->Flush();
}

void EventFile::AddScalars(int64_t step, double wall_seconds,
                           std::span<const std::pair<std::string_view, double>> scalars) {
  last_wall_seconds_ = wall_seconds;
  tensorboard::Event event;
  event.set_wall_time(wall_seconds);
  event.set_step(step);
  for (const auto& [tag, value] : scalars) {
    tensorboard::Summary::Value* out = event.mutable_summary()->add_value();
    out->set_tag(std::string(tag));
    out->set_simple_value(static_cast<float>(value));
  }
  writer_->Append(event.SerializeAsString());
}

}  // namespace grouper
