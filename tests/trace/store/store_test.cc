#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"
#include "trace/store/trace_reader.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

std::string WriteRun(const std::string& run, int64_t steps) {
  TraceWriter writer(run, SampleHeader());
  for (int64_t step = 0; step < steps; ++step) {
    writer.AppendStep(step, SampleStep(step));
    writer.AppendStepRecord(SampleStepRecord(step));
  }
  writer.Sync();
  return writer.path();
}

std::vector<std::string> GroupsIn(const std::string& path, const GroupFilter& filter = {}) {
  TraceReader reader(path);
  std::vector<std::string> groups;
  reader.ReadGroups(filter, [&](GroupEntry& entry) {
    groups.push_back(entry.group.DebugString());
    return true;
  });
  return groups;
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  ASSERT_TRUE(file.good());
}

std::string ErrorOf(const std::function<void()>& body, ErrorKind kind = ErrorKind::kUser) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.message();
    return error.message();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

TEST(TraceStore, GroupsComeBackWhole) {
  const TemporaryFolder run;
  const std::string segment = WriteRun(run.path(), 3);
  std::vector<std::string> expected;
  for (int64_t step = 0; step < 3; ++step) {
    for (const Group& group : SampleStep(step)) expected.push_back(group.DebugString());
  }
  // The run, its traces folder, the writer's folder and the segment itself all open the trace.
  for (const std::string& path : {run.path(), run.path() + "/traces", FolderOf(segment), segment}) {
    EXPECT_EQ(GroupsIn(path), expected) << path;
  }
  TraceReader reader(run.path());
  EXPECT_EQ(reader.header().run_id(), "sample");
  EXPECT_EQ(reader.header().format_version(), kTraceFormatVersion);
  EXPECT_EQ(reader.segments(), std::vector<std::string>{segment});
}

TEST(TraceStore, GroupFramesHoldNoArrays) {
  const TemporaryFolder run;
  WriteRun(run.path(), 1);
  TraceReader reader(run.path());
  std::string kinds;
  for (TraceFrame frame; reader.Next(&frame);) {
    kinds += frame.has_header()       ? 'h'
             : frame.has_completion() ? 'c'
             : frame.has_group()      ? 'g'
                                      : 's';
    if (!frame.has_group()) continue;
    for (const Completion& member : frame.group().completions()) {
      EXPECT_EQ(member.ids_size() + member.rollout_log_probs_size(), 0);
      EXPECT_TRUE(member.text().empty() && member.experts().empty());
    }
  }
  EXPECT_EQ(kinds, "hcccgcccgs");
}

std::string FromHex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// The worked example of docs/formats.md; its checksums were computed by another program.
TEST(TraceStore, BytesAreTheDocumentedOnes) {
  const TemporaryFolder run;
  TraceHeader header;
  header.set_run_id("demo");
  header.set_group_size(2);
  header.set_seed(7);
  TraceWriter writer(run.path(), header);
  StepRecord record;
  record.set_step(3);
  record.set_policy_version(4);
  record.set_checked_tokens(48);
  writer.AppendStepRecord(record);
  EXPECT_EQ(ReadFile(writer.path(), "segment"),
            FromHex("13000000000000000c91321b0a110a0464656d6f12056774722d31200228073716a95c"
                    "0800000000000000ff86240f2206080310041830ee403491"));
}

TEST(TraceStore, FiltersByStepRolloutAndPrompt) {
  const TemporaryFolder run;
  WriteRun(run.path(), 4);
  const auto expect_one = [&](const GroupFilter& filter, int64_t step, uint64_t ordinal) {
    EXPECT_EQ(GroupsIn(run.path(), filter),
              std::vector<std::string>{SampleGroup(step, ordinal).DebugString()});
  };
  GroupFilter by_rollout;
  by_rollout.rollout_id = 5 * kSampleGroupSize + 1;
  expect_one(by_rollout, 2, 5);
  GroupFilter by_prompt;
  by_prompt.prompt_ordinal = 2;
  expect_one(by_prompt, 1, 2);
  GroupFilter by_step{.first_step = 1, .last_step = 2};
  EXPECT_EQ(GroupsIn(run.path(), by_step).size(), 4u);
  by_rollout.rollout_id = 999;
  EXPECT_TRUE(GroupsIn(run.path(), by_rollout).empty());

  TraceReader reader(run.path());
  std::vector<int64_t> indices;
  reader.ReadGroups(by_step, [&](GroupEntry& entry) {
    indices.push_back(entry.index_in_step);
    return true;
  });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 0, 1}));
  EXPECT_EQ(reader.extent().groups, 8);
  EXPECT_EQ(reader.extent().last_step, 3);
  EXPECT_EQ(reader.extent().last_prompt, 7u);
  EXPECT_EQ(reader.extent().last_rollout, 23u);
  EXPECT_EQ(reader.extent().missing_completions, 0);
}

TEST(TraceStore, TailTornAtEveryByteOfTheLastFrame) {
  const TemporaryFolder run;
  std::string segment;
  uint64_t before = 0;
  {
    TraceWriter writer(run.path(), SampleHeader());
    writer.AppendStep(0, SampleStep(0));
    writer.AppendStepRecord(SampleStepRecord(0));
    before = writer.position().bytes;
    const std::vector<Group> last = {SampleGroup(1, 2)};
    writer.AppendStep(1, last);
    segment = writer.path();
  }
  const std::string whole = ReadFile(segment, "segment");
  // The last frame is the group's: find where it begins.
  uint64_t last_frame = 0;
  {
    RecordReader records(segment);
    std::string record;
    for (uint64_t at = 0; records.Next(&record); at = records.valid_bytes()) last_frame = at;
  }
  ASSERT_GT(last_frame, before);
  for (uint64_t cut = last_frame; cut < whole.size(); ++cut) {
    WriteBytes(segment, whole.substr(0, cut));
    TraceReader reader(run.path());
    int64_t groups = 0;
    reader.ReadGroups({}, [&](GroupEntry&) { return ++groups > 0; });
    ASSERT_EQ(groups, 2) << cut;
    ASSERT_EQ(reader.torn().size(), cut == last_frame ? 0u : 1u) << cut;
    if (cut == last_frame) continue;
    EXPECT_EQ(reader.torn()[0].valid_bytes, last_frame);
    EXPECT_EQ(reader.torn()[0].file_bytes, cut);
  }
  // A writer that opens a torn file cuts off the tail and continues after the last valid frame.
  WriteBytes(segment, whole.substr(0, whole.size() - 1));
  TraceWriter writer(run.path(), SampleHeader());
  EXPECT_EQ(writer.position().bytes, last_frame);
  const std::vector<Group> last = {SampleGroup(1, 2)};
  writer.AppendStep(1, last);
  EXPECT_EQ(GroupsIn(run.path()).size(), 3u);
}

TEST(TraceStore, FlippedBitsEndTheTraceBeforeThem) {
  const TemporaryFolder run;
  const std::string segment = WriteRun(run.path(), 1);
  const std::string whole = ReadFile(segment, "segment");
  for (size_t at = whole.size() / 2; at < whole.size(); at += 7) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    WriteBytes(segment, bad);
    TraceReader reader(run.path());
    reader.ReadGroups({}, [](GroupEntry&) { return true; });
    ASSERT_EQ(reader.torn().size(), 1u) << at;
    EXPECT_LE(reader.torn()[0].valid_bytes, at);
  }
}

TEST(TraceStore, ResumesAtTheManifestsOffset) {
  const TemporaryFolder run;
  const TemporaryFolder uninterrupted;
  WriteRun(uninterrupted.path(), 3);
  const std::vector<std::string> expected = GroupsIn(uninterrupted.path());
  TracePosition keep;
  {
    TraceWriter writer(run.path(), SampleHeader());
    writer.AppendStep(0, SampleStep(0));
    writer.AppendStepRecord(SampleStepRecord(0));
    writer.Sync();
    keep = writer.position();
    writer.AppendStep(1, SampleStep(1));
  }
  {
    TraceWriter writer(run.path(), SampleHeader(), {.keep = keep});
    EXPECT_EQ(writer.position().bytes, keep.bytes);
    EXPECT_EQ(FileSize(LearnerSegmentPath(run.path())), keep.bytes);
    for (int64_t step = 1; step < 3; ++step) {
      writer.AppendStep(step, SampleStep(step));
      writer.AppendStepRecord(SampleStepRecord(step));
    }
  }
  EXPECT_EQ(GroupsIn(run.path()), expected);
  EXPECT_EQ(TraceReader(run.path()).segments().size(), 2u) << "the next step begins a segment";
  { TraceWriter writer(run.path(), SampleHeader(), {.keep = TracePosition{}}); }
  EXPECT_EQ(TraceReader(run.path()).segments().size(), 1u);
  EXPECT_TRUE(GroupsIn(run.path()).empty());
}

TEST(TraceStore, RefusesAnotherRunsFileAndBadOffsets) {
  const TemporaryFolder run;
  const std::string segment = WriteRun(run.path(), 1);
  const uint64_t bytes = FileSize(segment);
  const auto open = [&](const TraceHeader& header, std::optional<uint64_t> keep) {
    TraceWriterOptions options;
    if (keep) options.keep = TracePosition{0, *keep};
    return ErrorOf([&] { TraceWriter writer(run.path(), header, options); });
  };
  TraceHeader other = SampleHeader();
  other.set_seed(8);
  EXPECT_NE(open(other, std::nullopt).find("seed=8"), std::string::npos);
  other = SampleHeader();
  other.set_group_size(4);
  EXPECT_NE(open(other, bytes).find("group_size_in_trace="), std::string::npos);
  EXPECT_NE(open(SampleHeader(), bytes + 1).find("older checkpoint"), std::string::npos);
  EXPECT_NE(open(SampleHeader(), bytes - 1).find("whole frames"), std::string::npos);
  EXPECT_EQ(FileSize(segment), bytes) << "a refused file was changed";
}

TEST(TraceStore, RefusesGroupsOfTheWrongShape) {
  const TemporaryFolder run;
  TraceWriter writer(run.path(), SampleHeader());
  std::vector<Group> groups = {SampleGroup(0, 0)};
  groups[0].mutable_completions(1)->add_rollout_log_probs(0);
  const std::string words = ErrorOf([&] { writer.AppendStep(0, groups); }, ErrorKind::kInternal);
  EXPECT_NE(words.find("differ in length"), std::string::npos);
  groups = {SampleGroup(0, 0)};
  groups[0].add_advantages(0);
  EXPECT_NE(ErrorOf([&] { writer.AppendStep(0, groups); }, ErrorKind::kInternal).find("advantages"),
            std::string::npos);
}

TEST(TraceStore, ReadsSegmentsOfAllWritersInOrder) {
  const TemporaryFolder run;
  const TemporaryFolder second;
  const std::string segment = WriteRun(run.path(), 1);
  {
    TraceWriter writer(second.path(), SampleHeader());
    writer.AppendStep(1, SampleStep(1));
  }
  // Number 10 comes after number 2, not after number 1.
  const std::string bytes = ReadFile(LearnerSegmentPath(second.path()), "segment");
  WriteBytes(FolderOf(segment) + "/seg-00010.gtr", bytes);
  TraceWriter(second.path(), SampleHeader(), {.keep = TracePosition{}})
      .AppendStep(2, SampleStep(2));
  WriteBytes(FolderOf(segment) + "/seg-2.gtr",
             ReadFile(LearnerSegmentPath(second.path()), "segment"));
  WriteBytes(FolderOf(segment) + "/seg-x.gtr", "no segment");
  TraceReader reader(run.path());
  std::vector<int64_t> steps;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    steps.push_back(entry.group.step());
    return true;
  });
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 0, 2, 2, 1, 1}));
}

TEST(TraceStore, ErrorsNameThePathAndTheNextStep) {
  const TemporaryFolder folder;
  const std::string missing = folder.path() + "/no-run";
  const auto open = [](const std::string& path) {
    return ErrorOf([&] { TraceReader reader(path); });
  };
  EXPECT_NE(open(missing).find("name the folder"), std::string::npos);
  EXPECT_NE(open(missing).find(missing), std::string::npos);
  EXPECT_NE(open(folder.path()).find("holds no trace"), std::string::npos);
  WriteBytes(folder.path() + "/notes.txt", "these are no frames at all");
  EXPECT_NE(open(folder.path() + "/notes.txt").find("no trace segment"), std::string::npos);
  // Frames of another kind of file: an event file, or a frame that is no message.
  { RecordWriter(folder.path() + "/seg-0.gtr", 0).Append("\xFF\xFF\xFF"); }
  EXPECT_NE(open(folder.path()).find("no trace record"), std::string::npos);
  { RecordWriter(folder.path() + "/seg-0.gtr", 0).Append(""); }
  EXPECT_NE(open(folder.path()).find("does not open with a trace header"), std::string::npos);
  TraceFrame frame;
  frame.mutable_header()->set_format_version("gtr-999");
  { RecordWriter(folder.path() + "/seg-0.gtr", 0).Append(frame.SerializeAsString()); }
  EXPECT_NE(open(folder.path()).find("gtr-999"), std::string::npos);
}

TEST(TraceStore, ReaderFollowsAWriter) {
  const TemporaryFolder run;
  TraceWriter writer(run.path(), SampleHeader());
  EXPECT_TRUE(GroupsIn(run.path()).empty());
  for (int64_t step = 0; step < 3; ++step) {
    writer.AppendStep(step, SampleStep(step));
    EXPECT_EQ(GroupsIn(run.path()).size(), static_cast<size_t>(2 * step + 2));
  }
}

TEST(TraceStore, CompletionsOfAnAbandonedStepAreLeftOut) {
  const TemporaryFolder run;
  WriteRun(run.path(), 1);
  {
    // Completions without their group, as after a crash between the two.
    RecordWriter writer(LearnerSegmentPath(run.path()));
    TraceFrame frame;
    frame.mutable_completion()->set_step(1);
    *frame.mutable_completion()->mutable_completion() = SampleCompletion(6, "lost", true);
    writer.Append(frame.SerializeAsString());
    frame.Clear();
    frame.mutable_group()->set_step(2);
    frame.mutable_group()->add_completions()->set_rollout_id(12);
    writer.Append(frame.SerializeAsString());
    writer.Flush();
  }
  TraceReader reader(run.path());
  int64_t groups = 0;
  reader.ReadGroups({}, [&](GroupEntry&) { return ++groups > 0; });
  EXPECT_EQ(groups, 3);
  EXPECT_EQ(reader.extent().missing_completions, 1);
}

}  // namespace
}  // namespace grouper
