// A trace of many segments: where they begin, how a resume cuts them back, and that a step is found
// without reading the others.
#include "trace/store/segment.h"

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"
#include "trace/store/digest.h"
#include "trace/store/trace_reader.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

constexpr int64_t kSteps = 12;

// Two steps fill a segment of this size. A checkpoint follows every third step.
uint64_t SmallSegment() {
  const TemporaryFolder run;
  TraceWriter writer(run.path(), SampleHeader());
  writer.AppendStep(0, SampleStep(0));
  writer.AppendStepRecord(SampleStepRecord(0));
  return writer.position().bytes + 100;
}

class TraceSegments : public ::testing::Test {
 protected:
  // Appends the steps `first` to kSteps - 1. Returns the position after each step.
  static std::vector<TracePosition> Append(int64_t first, TraceWriter* writer) {
    std::vector<TracePosition> after;
    for (int64_t step = first; step < kSteps; ++step) {
      writer->AppendStep(step, SampleStep(step));
      writer->AppendStepRecord(SampleStepRecord(step));
      after.push_back(writer->position());
      if (step % 3 == 2) writer->EndSegment();
    }
    writer->Sync();
    return after;
  }
  TraceSegments() {
    TraceWriter writer(run_.path(), SampleHeader(), {.segment_bytes = small_});
    after_ = Append(0, &writer);
  }
  static Paths SegmentPaths(const std::string& run) {
    Paths paths;
    for (const TraceSegment& s : SegmentsIn(run + "/traces/learner")) paths.push_back(s.path);
    return paths;
  }
  static std::string DigestOf(const std::string& run) {
    TraceDigest digest;
    TraceReader(run).ReadGroups({}, [&](GroupEntry& entry) {
      digest.Add(entry.group);
      return true;
    });
    return digest.FinishHex();
  }
  static std::string BytesOf(const std::string& run) {
    std::string all;
    for (const std::string& path : SegmentPaths(run)) {
      all += fs::path(path).filename().string() + "\n" + ReadFile(path, "segment");
    }
    return all;
  }
  static void Copy(const std::string& from, const std::string& to) {
    RemoveTree(to);
    fs::copy(from, to, fs::copy_options::recursive);
  }
  // Overwrites the second half of the file, so that whoever reads it to the end meets a torn tail.
  static void Spoil(const std::string& path) {
    std::string bytes = ReadFile(path, "segment");
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2), bytes.end(), 'x');
    PublishFile(path, bytes);
  }

  const uint64_t small_ = SmallSegment();
  TemporaryFolder run_;
  std::vector<TracePosition> after_;
};

TEST_F(TraceSegments, BeginAfterTheSizeAndAfterACheckpoint) {
  std::vector<uint32_t> segments;
  for (const TracePosition& position : after_) segments.push_back(position.segment);
  EXPECT_EQ(segments, (std::vector<uint32_t>{0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7}));
  const Paths paths = SegmentPaths(run_.path());
  ASSERT_EQ(paths.size(), 8u);
  TraceReader reader(run_.path());
  std::string kinds;
  for (TraceFrame frame; reader.Next(&frame);) {
    if (frame.has_header()) kinds += 'h';
    if (frame.has_step()) kinds += static_cast<char>('a' + frame.step().step());
  }
  EXPECT_EQ(kinds, "habhchdehfhghhihjkhl") << "a step lies in one segment";
  const TemporaryFolder one;
  TraceWriter writer(one.path(), SampleHeader());
  for (int64_t step = 0; step < kSteps; ++step) writer.AppendStep(step, SampleStep(step));
  EXPECT_EQ(SegmentPaths(one.path()).size(), 1u) << "the default size is far away";
  EXPECT_EQ(DigestOf(run_.path()), DigestOf(one.path()));
}

// A resume from any step, after a kill that removed none, some or all of the later segments. What
// lies before the segment of the checkpoint is not read: it is spoilt, and may be gone.
TEST_F(TraceSegments, AResumeFromAnyStepComesToTheSameFiles) {
  const TemporaryFolder work;
  const std::string copy = work.path() + "/run";
  for (const int64_t step : {0, 2, 3, 5, 7}) {
    const TracePosition keep = after_[static_cast<size_t>(step)];
    std::string expected;
    for (const size_t left : {keep.segment + 1, keep.segment + 2, 8u}) {
      SCOPED_TRACE("step " + std::to_string(step) + ", left " + std::to_string(left));
      Copy(run_.path(), copy);
      const Paths paths = SegmentPaths(copy);
      for (size_t i = left; i < paths.size(); ++i) RemoveTree(paths[i]);
      for (size_t i = 0; i < keep.segment; ++i) Spoil(paths[i]);
      {
        TraceWriter writer(copy, SampleHeader(), {.keep = keep, .segment_bytes = small_});
        EXPECT_EQ(writer.position().segment, keep.segment);
        EXPECT_EQ(FileSize(writer.path()), keep.bytes);
        EXPECT_EQ(SegmentPaths(copy).size(), keep.segment + 1);
        Append(step + 1, &writer);
      }
      for (size_t i = 0; i < keep.segment; ++i) {
        fs::copy_file(SegmentPaths(run_.path())[i], paths[i], fs::copy_options::overwrite_existing);
      }
      EXPECT_EQ(DigestOf(copy), DigestOf(run_.path()));
      if (expected.empty()) expected = BytesOf(copy);
      EXPECT_EQ(BytesOf(copy), expected);
      // From a checkpoint even the division into segments is the same.
      if (step % 3 == 2) {
        EXPECT_EQ(expected, BytesOf(run_.path()));
      }
    }
  }
  RemoveTree(SegmentPaths(copy)[0]);
  TraceWriter writer(copy, SampleHeader(), {.keep = after_[5]});
  EXPECT_EQ(writer.position().segment, 3u) << "older segments may be stored elsewhere";
}

TEST_F(TraceSegments, ARefusedResumeRemovesNothing) {
  TracePosition beyond = after_[2];
  ++beyond.bytes;
  const std::string before = BytesOf(run_.path());
  EXPECT_THROW(TraceWriter(run_.path(), SampleHeader(), {.keep = beyond}), Error);
  TraceHeader other = SampleHeader();
  other.set_seed(8);
  EXPECT_THROW(TraceWriter(run_.path(), other, {.keep = after_[2]}), Error);
  EXPECT_THROW(TraceWriter(run_.path(), other, {}), Error);
  EXPECT_EQ(BytesOf(run_.path()), before);
}

// A kill while a segment is made leaves no header, or a part of one.
TEST_F(TraceSegments, AWriterWithoutACheckpointContinuesTheLastOne) {
  const std::string begun = LearnerSegmentPath(run_.path(), 8);
  const std::string header = ReadFile(LearnerSegmentPath(run_.path()), "segment").substr(0, 20);
  for (const size_t bytes : {size_t{0}, size_t{5}, size_t{20}}) {
    SCOPED_TRACE(bytes);
    PublishFile(begun, header.substr(0, bytes));
    EXPECT_EQ(TraceReader(run_.path()).LastStep(), kSteps - 1);
    TraceHeader other = SampleHeader();
    other.set_seed(8);
    EXPECT_THROW(TraceWriter(run_.path(), other, {}), Error);
    TraceWriter writer(run_.path(), SampleHeader(), {});
    EXPECT_EQ(writer.position().segment, 8u);
    writer.AppendStep(kSteps, SampleStep(kSteps));
    EXPECT_EQ(TraceReader(run_.path()).LastStep(), kSteps);
    RemoveTree(begun);
  }
}

TEST_F(TraceSegments, AStepIsFoundWithoutReadingTheOthers) {
  const Paths paths = SegmentPaths(run_.path());
  const auto numbers = [&](int64_t first, int64_t last) {
    std::vector<size_t> found;
    for (const std::string& path : SegmentsOfSteps(paths, first, last)) {
      found.push_back(
          static_cast<size_t>(std::find(paths.begin(), paths.end(), path) - paths.begin()));
    }
    return found;
  };
  using Numbers = std::vector<size_t>;
  // A segment that begins with the step is read with the one before it.
  EXPECT_EQ(numbers(1, 1), (Numbers{0}));
  EXPECT_EQ(numbers(2, 2), (Numbers{0, 1}));
  EXPECT_EQ(numbers(4, 4), (Numbers{2}));
  EXPECT_EQ(numbers(4, 6), (Numbers{2, 3, 4}));
  EXPECT_EQ(numbers(11, 99), (Numbers{6, 7}));
  EXPECT_EQ(numbers(12, 99), (Numbers{7}));
  EXPECT_EQ(numbers(-5, -1), (Numbers{}));
  for (int64_t step = 0; step < kSteps; ++step) {
    int64_t groups = 0;
    TraceReader reader(run_.path());
    reader.ReadGroups({.first_step = step, .last_step = step}, [&](GroupEntry& entry) {
      EXPECT_EQ(entry.group.DebugString(),
                SampleStep(step)[static_cast<size_t>(groups++)].DebugString());
      return true;
    });
    EXPECT_EQ(groups, 2) << step;
    EXPECT_LE(reader.extent().groups, 8) << step;
  }
  // Whoever read the spoilt halves of the other segments would report them.
  for (size_t i = 0; i < paths.size(); ++i) {
    if (i != 4 && i != 7) Spoil(paths[i]);
  }
  TraceReader reader(run_.path());
  int64_t groups = 0;
  reader.ReadGroups({.first_step = 7, .last_step = 7}, [&](GroupEntry&) { return ++groups > 0; });
  EXPECT_EQ(groups, 2);
  EXPECT_TRUE(reader.torn().empty());
  EXPECT_EQ(reader.LastStep(), kSteps - 1);
  // A segment in which nothing was written yet hides no step.
  PublishFile(LearnerSegmentPath(run_.path(), 8), "");
  EXPECT_EQ(SegmentsOfSteps(SegmentPaths(run_.path()), 11, 11).size(), 2u);
}

}  // namespace
}  // namespace grouper
