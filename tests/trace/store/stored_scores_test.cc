// What scorers say, as a trace stores it: always readable, and never larger than a frame.
#include "trace/store/stored_scores.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"
#include "trace/store/frame_bytes.h"
#include "trace/store/trace_reader.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

// Model bytes in a grader's strings must not make the frame unreadable.
TEST(StoredScores, BytesThatAreNoUtf8AreKeptReadable) {
  const TemporaryFolder run;
  TraceWriter writer(run.path(), SampleHeader());
  std::vector<Group> groups = {SampleGroup(0, 0)};
  groups[0].mutable_completions(0)->set_text("\xff\x1b raw");
  reward::v1::ScoreResult* score = groups[0].mutable_scores(0);
  score->set_reason("caf\xc3\xa9 \xff");
  score->mutable_extraction()->set_answer("4\xc3");
  score->add_tests()->set_detail("\x80");
  score->add_flags("\xed\xa0\x80");
  writer.AppendStep(0, groups);
  TraceReader reader(run.path());
  Group back;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    back = entry.group;
    return true;
  });
  ASSERT_EQ(back.scores_size(), 3);
  EXPECT_EQ(back.completions(0).text(), "\xff\x1b raw");  // a bytes field: as it was
  EXPECT_EQ(back.scores(0).reason(), "caf\xc3\xa9 \\xFF");
  EXPECT_EQ(back.scores(0).extraction().answer(), "4\\xC3");
  EXPECT_EQ(back.scores(0).tests(0).detail(), "\\x80");
  EXPECT_EQ(back.scores(0).flags(0), "\\xED\\xA0\\x80");
}

// A scorer may say as much as its messages hold. The trace stays writable, and the verdict whole.
TEST(StoredScores, WhatAScorerSaysBeyondItsShareIsCut) {
  const TemporaryFolder run;
  TraceWriter writer(run.path(), SampleHeader());
  std::vector<Group> groups = {SampleGroup(0, 0)};
  std::string text(30 << 20, 'r');
  for (size_t i = 0; i < text.size(); i += 2) text.replace(i, 2, "\xc3\xa9");
  groups[0].mutable_scores(0)->set_reason(text);
  groups[0].mutable_scores(0)->mutable_extraction()->set_answer(text);
  groups[0].mutable_scores(1)->add_tests()->set_detail(text);
  groups[0].mutable_scores(1)->add_flags("odd");
  const std::string third = groups[0].scores(2).DebugString();
  writer.AppendStep(0, groups);
  TraceReader reader(run.path());
  Group back;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    back = entry.group;
    return true;
  });
  EXPECT_TRUE(reader.torn().empty());
  ASSERT_EQ(back.scores_size(), 3);
  const size_t share = kMostScoreBytes / 3;
  for (int i = 0; i < 2; ++i) {
    EXPECT_LE(back.scores(i).ByteSizeLong(), share);
    EXPECT_EQ(back.scores(i).flags(0), "cut");
    EXPECT_EQ(back.scores(i).verdict(), groups[0].scores(i).verdict());
    EXPECT_EQ(back.scores(i).reward(), groups[0].scores(i).reward());
  }
  EXPECT_EQ(back.scores(0).reason(), text.substr(0, share / 8 / 2 * 2)) << "between two characters";
  EXPECT_EQ(back.scores(0).components_size(), 2);
  EXPECT_EQ(back.scores(2).DebugString(), third);
}

}  // namespace
}  // namespace grouper
