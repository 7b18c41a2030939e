// Verdicts of steps that the trace holds and no checkpoint does: used again for the same item only,
// kept over a second kill, and never taken from a damaged frame.
#include "rl/experience/kept_verdicts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/io/record_file.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

constexpr const char* kConfig = R"(
    reward { rubric { name: "calc" extraction: WHOLE component { name: "accuracy" } } })";

Rubric RubricOf(const std::string& change = "") {
  Config config;
  MergeTextproto(kConfig, "test", &config);
  MergeTextproto(change, "change", config.mutable_reward()->mutable_rubric(0));
  return config.reward().rubric(0);
}

// Two completions of the prompt "1+1=", rollouts 2 * ordinal and the next one.
Group GroupOf(int64_t step, uint64_t ordinal) {
  Group group;
  group.set_step(step);
  Prompt* prompt = group.mutable_prompt();
  prompt->set_ordinal(ordinal);
  prompt->set_text("1+1=");
  prompt->set_rubric("calc");
  prompt->mutable_math()->add_golds("2");
  for (uint32_t i = 0; i < 2; ++i) {
    Completion* completion = group.add_completions();
    completion->set_rollout_id(2 * ordinal + i);
    completion->set_index(i);
    completion->set_text(std::to_string(ordinal + i));
    completion->add_ids(7);
    completion->add_rollout_log_probs(-0.5f);
    completion->add_text_ends(1);
    reward::v1::ScoreResult* score = group.add_scores();
    score->set_item_id(std::to_string(completion->rollout_id()));
    score->set_status(reward::v1::ScoreResult::SCORED);
    score->set_reward(0.25 * static_cast<double>(ordinal + i));
  }
  return group;
}

// The groups of a repeated step before they are scored.
Group Unscored(Group group) {
  group.clear_scores();
  return group;
}

class KeptVerdictsTest : public ::testing::Test {
 protected:
  // Steps 0 .. 3 of a group each; where each step begins in the trace.
  KeptVerdictsTest() : wait_({}), file_(JoinPath(folder_.path(), "traces/kept-verdicts")) {
    TraceHeader header;
    header.set_group_size(2);
    header.set_resolved_config(kConfig);
    TraceWriter writer(folder_.path(), header);
    for (int64_t step = 0; step < 4; ++step) {
      begins_.push_back(writer.position().bytes);
      const Group group = GroupOf(step, static_cast<uint64_t>(step));
      writer.AppendStep(step, {&group, 1});
    }
    writer.Sync();
  }

  KeptVerdicts Keep(int64_t first_step) {
    return KeptVerdicts::Keep(folder_.path(), {0, begins_[static_cast<size_t>(first_step)]},
                              first_step, &wait_);
  }
  void CutTrace(int64_t first_step) {
    std::filesystem::resize_file(LearnerSegmentPath(folder_.path()),
                                 begins_[static_cast<size_t>(first_step)]);
  }

  TempFolder folder_;
  DiskWait wait_;
  std::string file_;
  std::vector<uint64_t> begins_;
};

TEST_F(KeptVerdictsTest, TheSameItemKeepsItsVerdict) {
  const KeptVerdicts kept = Keep(2);
  EXPECT_EQ(kept.size(), 4u);
  for (int64_t step : {2, 3}) {
    const Group scored = GroupOf(step, static_cast<uint64_t>(step));
    Group group = Unscored(scored);
    ASSERT_TRUE(kept.Fill(RubricOf(), &group));
    EXPECT_EQ(group.SerializeAsString(), scored.SerializeAsString());
  }
  Group before = Unscored(GroupOf(1, 1));
  EXPECT_FALSE(kept.Fill(RubricOf(), &before)) << "the checkpoint holds this step";
}

TEST_F(KeptVerdictsTest, AnotherItemUnderTheSameIdIsAskedForAgain) {
  const KeptVerdicts kept = Keep(2);
  const auto refused = [&](const char* what, const std::function<void(Group*)>& change,
                           const std::string& rubric = "") {
    Group group = Unscored(GroupOf(2, 2));
    change(&group);
    const std::string before = group.SerializeAsString();
    EXPECT_FALSE(kept.Fill(RubricOf(rubric), &group)) << what;
    EXPECT_EQ(group.SerializeAsString(), before) << what << ": the group was changed";
  };
  refused("text of the last member", [](Group* g) { g->mutable_completions(1)->set_text("9"); });
  refused("gold", [](Group* g) { g->mutable_prompt()->mutable_math()->set_golds(0, "3"); });
  refused("number of tokens", [](Group* g) { g->mutable_completions(0)->add_ids(8); });
  refused("cut by length",
          [](Group* g) { g->mutable_completions(0)->set_finish_reason(Completion::LENGTH); });
  refused("rollout id", [](Group* g) { g->mutable_completions(1)->set_rollout_id(99); });
  refused("a third member", [](Group* g) { *g->add_completions() = GroupOf(8, 8).completions(0); });
  refused(
      "weight of a component", [](Group*) {}, "component { name: \"format\" weight: 0.5 }");
  Group same = Unscored(GroupOf(2, 2));
  EXPECT_TRUE(kept.Fill(RubricOf(), &same)) << "the comparison must be able to hold";
}

TEST_F(KeptVerdictsTest, ASecondKillLosesNoneAndACheckpointPassesThem) {
  EXPECT_EQ(Keep(1).size(), 6u);
  CutTrace(1);
  EXPECT_TRUE(FileExists(file_));
  KeptVerdicts kept = Keep(1);
  EXPECT_EQ(kept.size(), 6u);
  kept.Passed(2);
  EXPECT_EQ(kept.size(), 4u);
  EXPECT_TRUE(FileExists(file_));
  Group passed = Unscored(GroupOf(1, 1)), next = Unscored(GroupOf(2, 2));
  EXPECT_FALSE(kept.Fill(RubricOf(), &passed));
  EXPECT_TRUE(kept.Fill(RubricOf(), &next));
  kept.Passed(4);
  EXPECT_EQ(kept.size(), 0u);
  EXPECT_FALSE(FileExists(file_));
  EXPECT_EQ(Keep(1).size(), 0u);
  EXPECT_FALSE(FileExists(file_)) << "nothing to keep, nothing to write";
}

// The file of an earlier resume, when the checkpoint was published and the kill came before its
// end.
TEST_F(KeptVerdictsTest, AFileThatIsPassedAlreadyIsRemoved) {
  Keep(1);
  CutTrace(3);
  EXPECT_EQ(KeptVerdicts::Keep(folder_.path(), {0, begins_[3]}, 4, &wait_).size(), 0u);
  EXPECT_FALSE(FileExists(file_));
}

TEST_F(KeptVerdictsTest, AGroupWithoutAllItsFramesIsNotKept) {
  const std::string segment = LearnerSegmentPath(folder_.path());
  const std::string whole = ReadFile(segment, "trace");
  size_t least = 4, most = 0;
  for (size_t end = begins_[2]; end <= whole.size(); ++end) {
    std::filesystem::remove(file_);
    folder_.Write("traces/learner/seg-00000.gtr", whole.substr(0, end));
    const size_t kept = Keep(2).size();
    ASSERT_EQ(kept, end == whole.size() ? 4u
                    : end >= begins_[3] ? 2u
                                        : 0u)
        << "cut at byte " << end;
    least = std::min(least, kept);
    most = std::max(most, kept);
  }
  EXPECT_EQ(least, 0u);
  EXPECT_EQ(most, 4u);
}

TEST_F(KeptVerdictsTest, ADamagedFileKeepsWhatStandsBeforeTheDamageAndSaysSo) {
  Keep(0);
  CutTrace(0);
  const std::string whole = ReadFile(file_, "kept");
  std::vector<size_t> ends = {0};
  {
    RecordReader reader(file_);
    for (std::string record; reader.Next(&record);) {
      ends.push_back(static_cast<size_t>(reader.valid_bytes()));
    }
  }
  ASSERT_EQ(ends.size(), 9u);
  ASSERT_EQ(ends.back(), whole.size());
  const auto check = [&](const std::string& bytes, size_t damage, bool says) {
    std::filesystem::remove(file_);
    folder_.Write("traces/kept-verdicts", bytes);
    ::testing::internal::CaptureStderr();
    const size_t kept = Keep(0).size();
    const std::string log = ::testing::internal::GetCapturedStderr();
    const auto frames = std::upper_bound(ends.begin(), ends.end(), damage) - ends.begin() - 1;
    EXPECT_EQ(kept, static_cast<size_t>(frames)) << "damage at byte " << damage;
    EXPECT_EQ(log.find("kept-verdicts is damaged") != std::string::npos, says) << damage << log;
  };
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    const bool between = std::find(ends.begin(), ends.end(), byte) != ends.end();
    check(whole.substr(0, byte), byte, !between);
    std::string flipped = whole;
    flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << byte % 8));
    check(flipped, byte, true);
  }
  check(std::string(500, '\0'), 0, true);
  check(whole, whole.size(), false);
}

// Steps 0 and 1 lie in the first segment, 2 and 3 each in one of its own.
TEST_F(KeptVerdictsTest, VerdictsOfLaterSegmentsAreKept) {
  CutTrace(2);
  TraceHeader header;
  header.set_group_size(2);
  header.set_resolved_config(kConfig);
  TraceWriter writer(folder_.path(), header, {.keep = TracePosition{0, begins_[2]}});
  for (int64_t step = 2; step < 4; ++step) {
    const Group group = GroupOf(step, static_cast<uint64_t>(step));
    writer.AppendStep(step, {&group, 1});
    writer.EndSegment();
  }
  EXPECT_EQ(writer.position().segment, 2u);
  const KeptVerdicts kept = Keep(1);
  EXPECT_EQ(kept.size(), 6u);
  for (int64_t step = 1; step < 4; ++step) {
    Group group = Unscored(GroupOf(step, static_cast<uint64_t>(step)));
    EXPECT_TRUE(kept.Fill(RubricOf(), &group)) << step;
  }
}

TEST_F(KeptVerdictsTest, ATraceWhoseConfigCannotBeReadKeepsNone) {
  std::filesystem::remove(LearnerSegmentPath(folder_.path()));
  TraceHeader header;
  header.set_group_size(2);
  header.set_resolved_config("rewrad { }");
  TraceWriter writer(folder_.path(), header);
  const TracePosition begin = writer.position();
  const Group group = GroupOf(0, 0);
  writer.AppendStep(0, {&group, 1});
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(KeptVerdicts::Keep(folder_.path(), begin, 0, &wait_).size(), 0u);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("rewrad"), std::string::npos);
}

}  // namespace
}  // namespace grouper
