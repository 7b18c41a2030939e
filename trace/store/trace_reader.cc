#include "trace/store/trace_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/io/file.h"
#include "trace/store/completion_join.h"
#include "trace/store/segment.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

void CheckHeader(const TraceFrame& frame, const std::string& path) {
  USER_CHECK(frame.has_header(),
             "[trace] the file does not open with a trace header, so it is no trace segment; name "
             "a run folder",
             Named("file", path));
  USER_CHECK(frame.header().format_version() == kTraceFormatVersion,
             "[trace] the segment has another format; read it with the grouper-trace that belongs "
             "to it",
             Named("file", path), Named("format", frame.header().format_version()),
             Named("format_of_this_program", kTraceFormatVersion));
}

void Extend(const Group& group, TraceExtent* extent) {
  const auto widen = [&](auto value, auto* first, auto* last) {
    *first = extent->groups == 0 ? value : std::min(*first, value);
    *last = extent->groups == 0 ? value : std::max(*last, value);
  };
  widen(group.step(), &extent->first_step, &extent->last_step);
  widen(group.prompt().ordinal(), &extent->first_prompt, &extent->last_prompt);
  for (int i = 0; i < group.completions_size(); ++i) {
    const uint64_t id = group.completions(i).rollout_id();
    const bool first = extent->groups == 0 && i == 0;
    extent->first_rollout = first ? id : std::min(extent->first_rollout, id);
    extent->last_rollout = first ? id : std::max(extent->last_rollout, id);
  }
  ++extent->groups;
}

bool Passes(const Group& group, const GroupFilter& filter) {
  if (group.step() < filter.first_step || group.step() > filter.last_step) return false;
  if (filter.prompt_ordinal && group.prompt().ordinal() != *filter.prompt_ordinal) return false;
  if (!filter.rollout_id) return true;
  return std::any_of(
      group.completions().begin(), group.completions().end(),
      [&](const Completion& member) { return member.rollout_id() == *filter.rollout_id; });
}

}  // namespace

TraceReader::TraceReader(const std::string& path) : writers_(FindSegments(path)) {
  for (const std::vector<std::string>& segments : writers_) {
    segments_.insert(segments_.end(), segments.begin(), segments.end());
  }
  Rewind();
  TraceFrame frame;
  if (Next(&frame)) header_ = frame.header();
  USER_CHECK(frame.has_header() || !FileExists(path) || FolderExists(path) || torn_.empty(),
             "[trace] the file holds no valid record, so it is no trace segment; name a run folder",
             Named("file", path));
  Rewind();
}

TraceReader::~TraceReader() = default;

void TraceReader::Rewind() { Rewind(segments_); }

void TraceReader::Rewind(std::vector<std::string> segments) {
  pass_ = std::move(segments);
  next_segment_ = 0;
  reader_.reset();
  torn_.clear();
}

bool TraceReader::Next(TraceFrame* frame) {
  for (;;) {
    if (reader_ == nullptr) {
      if (next_segment_ == pass_.size()) return false;
      reader_ = std::make_unique<RecordReader>(pass_[next_segment_++]);
    }
    const std::string& path = pass_[next_segment_ - 1];
    const uint64_t at = reader_->valid_bytes();
    if (!reader_->Next(&record_)) {
      if (reader_->torn()) torn_.push_back({path, at, FileSize(path)});
      reader_.reset();
      continue;
    }
    USER_CHECK(frame->ParseFromString(record_),
               "[trace] a frame is whole but holds no trace record; the file was written by "
               "another program",
               Named("file", path), Named("byte", at));
    if (at == 0) CheckHeader(*frame, path);
    return true;
  }
}

std::optional<int64_t> TraceReader::LastStep() const {
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (const auto step = LastStepOf(*segment)) return step;
  }
  return std::nullopt;
}

void TraceReader::ReadGroups(const GroupFilter& filter,
                             const std::function<bool(GroupEntry&)>& visit_group,
                             const std::function<void(const StepRecord&)>& visit_step) {
  const GroupFilter all;
  if (filter.first_step == all.first_step && filter.last_step == all.last_step) {
    Rewind();
  } else {
    std::vector<std::string> segments;
    for (const std::vector<std::string>& writer : writers_) {
      const auto some = SegmentsOfSteps(writer, filter.first_step, filter.last_step);
      segments.insert(segments.end(), some.begin(), some.end());
    }
    Rewind(std::move(segments));
  }
  extent_ = {};
  CompletionJoin join;
  int64_t index = 0;
  int64_t step_of_index = 0;
  const auto in_range = [&](int64_t step) {
    return step >= filter.first_step && step <= filter.last_step;
  };
  TraceFrame frame;
  while (Next(&frame)) {
    if (frame.has_completion()) {
      if (in_range(frame.completion().step())) join.Add(frame.mutable_completion());
    } else if (frame.has_step()) {
      if (visit_step && in_range(frame.step().step())) visit_step(frame.step());
    } else if (frame.has_group()) {
      Group* group = frame.mutable_group();
      if (extent_.groups == 0 || group->step() != step_of_index) index = 0;
      step_of_index = group->step();
      Extend(*group, &extent_);
      GroupEntry entry{index++, {}};
      const size_t missing = join.Join(group).size();
      if (!Passes(*group, filter)) continue;
      extent_.missing_completions += static_cast<int64_t>(missing);
      entry.group = std::move(*group);
      if (!visit_group(entry)) return;
    }
  }
}

}  // namespace grouper
