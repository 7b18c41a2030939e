#include "trace/store/segment.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/record_file.h"
#include "proto/trace.pb.h"

namespace grouper {
namespace {

// Returns N of "seg-N.gtr", and nothing for any other name.
std::optional<uint32_t> SegmentNumber(const std::string& name) {
  constexpr std::string_view kPrefix = "seg-";
  constexpr std::string_view kSuffix = ".gtr";
  constexpr size_t kMostDigits = 9;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) ||
      name.size() <= kPrefix.size() + kSuffix.size() ||
      name.size() > kPrefix.size() + kMostDigits + kSuffix.size()) {
    return std::nullopt;
  }
  const std::string digits =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return static_cast<uint32_t>(std::stoul(digits));
}

// The step of the first frame that names one; nothing when the segment holds none yet.
std::optional<int64_t> FirstStepOf(const std::string& segment) {
  RecordReader reader(segment);
  std::string record;
  TraceFrame frame;
  while (reader.Next(&record) && frame.ParseFromString(record)) {
    if (frame.has_completion()) return frame.completion().step();
    if (frame.has_group()) return frame.group().step();
    if (frame.has_step()) return frame.step().step();
  }
  return std::nullopt;
}

}  // namespace

std::string LearnerSegmentPath(const std::string& run_folder, uint32_t segment) {
  char name[24];
  std::snprintf(name, sizeof(name), "seg-%05u.gtr", segment);
  return JoinPath(JoinPath(JoinPath(run_folder, "traces"), "learner"), name);
}

std::vector<TraceSegment> SegmentsIn(const std::string& folder) {
  std::vector<TraceSegment> segments;
  for (const std::string& name : ListFolder(folder)) {
    if (const auto number = SegmentNumber(name)) {
      segments.push_back({*number, JoinPath(folder, name)});
    }
  }
  std::stable_sort(
      segments.begin(), segments.end(),
      [](const TraceSegment& a, const TraceSegment& b) { return a.number < b.number; });
  return segments;
}

std::vector<std::vector<std::string>> FindSegments(const std::string& path) {
  if (!FolderExists(path)) {
    USER_CHECK(FileExists(path),
               "[trace] there is no such run folder; name the folder that was given to --run",
               Named("folder", path));
    return {{path}};
  }
  std::string root = JoinPath(path, "traces");
  if (!FolderExists(root)) root = path;
  std::vector<std::vector<std::string>> writers;
  const auto add = [&](const std::string& folder) {
    std::vector<std::string> paths;
    for (TraceSegment& segment : SegmentsIn(folder)) paths.push_back(std::move(segment.path));
    if (!paths.empty()) writers.push_back(std::move(paths));
  };
  add(root);
  for (const std::string& name : ListFolder(root)) {
    const std::string folder = JoinPath(root, name);
    if (FolderExists(folder)) add(folder);
  }
  USER_CHECK(!writers.empty(),
             "[trace] the folder holds no trace (traces/*/seg-*.gtr); name a run folder in which "
             "training has begun",
             Named("folder", path));
  return writers;
}

std::vector<std::string> SegmentsOfSteps(const std::vector<std::string>& segments, int64_t first,
                                         int64_t last) {
  // The first step in segment i or later. A segment without a step was just begun.
  const auto first_step_from = [&](size_t i) {
    for (; i < segments.size(); ++i) {
      if (const auto step = FirstStepOf(segments[i])) return *step;
    }
    return std::numeric_limits<int64_t>::max();
  };
  // The first i in [begin, size] for which holds(i) is false; it holds up to there.
  const auto partition = [&](size_t begin, const auto& holds) {
    size_t end = segments.size();
    while (begin < end) {
      const size_t middle = begin + (end - begin) / 2;
      if (holds(middle)) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return begin;
  };
  // A segment is passed over when the next one begins before `first`. When the next one begins with
  // `first`, both are read, because a step that was continued may lie in two segments.
  const size_t begin = partition(0, [&](size_t i) { return first_step_from(i + 1) < first; });
  const size_t end = partition(begin, [&](size_t i) { return first_step_from(i) <= last; });
  return {segments.begin() + static_cast<std::ptrdiff_t>(begin),
          segments.begin() + static_cast<std::ptrdiff_t>(end)};
}

std::optional<int64_t> LastStepOf(const std::string& segment) {
  RecordReader reader(segment);
  std::string record;
  TraceFrame frame;
  std::optional<int64_t> last;
  while (reader.Next(&record) && frame.ParseFromString(record)) {
    if (frame.has_group()) last = frame.group().step();
  }
  return last;
}

}  // namespace grouper
