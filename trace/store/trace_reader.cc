#include "trace/store/trace_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/io/file.h"
#include "trace/store/completion_join.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

// Returns N of "seg-N.gtr", and nothing for any other name.
std::optional<uint64_t> SegmentNumber(const std::string& name) {
  constexpr std::string_view kPrefix = "seg-";
  constexpr std::string_view kSuffix = ".gtr";
  if (name.size() <= kPrefix.size() + kSuffix.size() || name.size() > 24 ||
      !name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  const std::string digits =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::stoull(digits);
}

void AddSegments(const std::string& folder, std::vector<std::string>* segments) {
  std::vector<std::pair<uint64_t, std::string>> found;
  for (const std::string& name : ListFolder(folder)) {
    if (const auto number = SegmentNumber(name)) {
      found.emplace_back(*number, JoinPath(folder, name));
    }
  }
  std::sort(found.begin(), found.end());
  for (auto& [number, path] : found) segments->push_back(std::move(path));
}

std::vector<std::string> FindSegments(const std::string& path) {
  if (!FolderExists(path)) {
    USER_CHECK(FileExists(path),
               "[trace] there is no such run folder; name the folder that was given to --run",
               Named("folder", path));
    return {path};
  }
  std::string root = JoinPath(path, "traces");
  if (!FolderExists(root)) root = path;
  std::vector<std::string> segments;
  AddSegments(root, &segments);
  for (const std::string& name : ListFolder(root)) {
    const std::string folder = JoinPath(root, name);
    if (FolderExists(folder)) AddSegments(folder, &segments);
  }
  USER_CHECK(!segments.empty(),
             "[trace] the folder holds no trace (traces/*/seg-*.gtr); name a run folder in which "
             "training has begun",
             Named("folder", path));
  return segments;
}

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

TraceReader::TraceReader(const std::string& path) : segments_(FindSegments(path)) {
  TraceFrame frame;
  if (Next(&frame)) header_ = frame.header();
  USER_CHECK(frame.has_header() || !FileExists(path) || FolderExists(path) || torn_.empty(),
             "[trace] the file holds no valid record, so it is no trace segment; name a run folder",
             Named("file", path));
  Rewind();
}

TraceReader::~TraceReader() = default;

void TraceReader::Rewind() {
  next_segment_ = 0;
  reader_.reset();
  torn_.clear();
}

bool TraceReader::Next(TraceFrame* frame) {
  for (;;) {
    if (reader_ == nullptr) {
      if (next_segment_ == segments_.size()) return false;
      reader_ = std::make_unique<RecordReader>(segments_[next_segment_++]);
    }
    const std::string& path = segments_[next_segment_ - 1];
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

void TraceReader::ReadGroups(const GroupFilter& filter,
                             const std::function<bool(GroupEntry&)>& visit_group,
                             const std::function<void(const StepRecord&)>& visit_step) {
  Rewind();
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
