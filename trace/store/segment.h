// The files of a trace: RUN/traces/WRITER/seg-NNNNN.gtr. The steps of one writer continue from
// segment to segment and only grow, so the segments that hold a step are found by looking at the
// first step of a few of them. Free functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace grouper {

// A place in a writer's trace, as a checkpoint's manifest stores it: byte `bytes` of a segment.
// {0, 0} is the beginning.
struct TracePosition {
  uint32_t segment = 0;
  uint64_t bytes = 0;
};

struct TraceSegment {
  uint32_t number = 0;
  std::string path;
};

// RUN/traces/learner/seg-00000.gtr
std::string LearnerSegmentPath(const std::string& run_folder, uint32_t segment = 0);
// The segments in a writer's folder, in order of their number. Other files are left out.
std::vector<TraceSegment> SegmentsIn(const std::string& folder);
// The paths of the segments of each writer of a trace. `path` is as in TraceReader, which also says
// what is refused.
std::vector<std::vector<std::string>> FindSegments(const std::string& path);

// The part of one writer's segments, in their order, that may hold frames of the steps `first` to
// `last`. It reads the first frames of a number of segments that grows with the logarithm of their
// number.
std::vector<std::string> SegmentsOfSteps(const std::vector<std::string>& segments, int64_t first,
                                         int64_t last);
// The step of the last group in the segment; nothing when it holds none. Reads the segment.
std::optional<int64_t> LastStepOf(const std::string& segment);

}  // namespace grouper
