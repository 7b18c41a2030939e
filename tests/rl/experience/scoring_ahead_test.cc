// Scores reach their group whatever order groups end in and however slow scoring is; a failure and
// a stop surface in Finish or end with the object.
#include "rl/experience/scoring_ahead.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "tests/testing/fake_grader.h"

namespace grouper {
namespace {

Group GroupOf(uint64_t ordinal) {
  Group group;
  group.mutable_prompt()->set_ordinal(ordinal);
  group.add_completions()->set_text("completion " + std::to_string(ordinal));
  return group;
}

void ScoreByOrdinal(std::vector<Group>* groups) {
  for (Group& group : *groups) {
    group.add_scores()->set_reward(static_cast<double>(group.prompt().ordinal()) / 10);
  }
}

TEST(ScoringAhead, ScoresStandBesideTheirGroupInEveryOrder) {
  std::vector<Group> all;
  for (uint64_t i = 0; i < 9; ++i) all.push_back(GroupOf(40 + i));
  for (const std::vector<size_t>& order : std::vector<std::vector<size_t>>{
           {0, 1, 2, 3, 4, 5, 6, 7, 8}, {8, 7, 6, 5, 4, 3, 2, 1, 0}, {4, 0, 8, 1, 7, 2, 6, 3, 5}}) {
    for (const bool late : {false, true}) {
      testing::Gate gate;
      if (!late) gate.Open();
      std::vector<Group> groups = all;
      ScoringAhead ahead(groups.size(), [&](std::vector<Group>* some, std::stop_token stop) {
        gate.Pass(stop);
        ScoreByOrdinal(some);
      });
      for (size_t place : order) ahead.Add(place, groups[place]);
      for (const Group& group : groups) EXPECT_EQ(group.scores_size(), 0) << "before Finish";
      gate.Open();
      ASSERT_TRUE(ahead.Finish(&groups));
      for (size_t i = 0; i < groups.size(); ++i) {
        ASSERT_EQ(groups[i].scores_size(), 1);
        EXPECT_EQ(groups[i].scores(0).reward(), static_cast<double>(40 + i) / 10);
        groups[i].clear_scores();
        EXPECT_EQ(groups[i].SerializeAsString(), all[i].SerializeAsString());
      }
    }
  }
}

TEST(ScoringAhead, TheFirstFailureSurfacesInFinish) {
  std::vector<Group> groups = {GroupOf(1), GroupOf(2)};
  ScoringAhead ahead(2, [](std::vector<Group>*, std::stop_token) {
    ThrowUnavailable("[reward] no reward service answers");
  });
  ahead.Add(0, groups[0]);
  ahead.Add(1, groups[1]);
  try {
    ahead.Finish(&groups);
    FAIL() << "the failure was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  }
  EXPECT_EQ(groups[0].scores_size(), 0);
}

TEST(ScoringAhead, AStopEndsTheCallInWork) {
  std::vector<Group> groups = {GroupOf(1)};
  testing::Gate gate;  // never opened: only a stop lets it pass
  const auto held = [&](std::vector<Group>* some, std::stop_token stop) {
    if (!gate.Pass(stop)) ThrowUnavailable("[reward] given up");
    ScoreByOrdinal(some);
  };
  {
    ScoringAhead dropped(1, held);
    dropped.Add(0, groups[0]);
    gate.AwaitArrivals(1);
  }  // what generation does when a signal comes
  std::stop_source stop;
  ScoringAhead ahead(1, held);
  ahead.Add(0, groups[0]);
  gate.AwaitArrivals(2);
  stop.request_stop();
  EXPECT_FALSE(ahead.Finish(&groups, stop.get_token()));
  EXPECT_EQ(groups[0].scores_size(), 0);
}

TEST(ScoringAhead, NothingAddedIsNothingScored) {
  std::vector<Group> groups;
  std::atomic<int> calls = 0;
  ScoringAhead ahead(0, [&](std::vector<Group>*, std::stop_token) { ++calls; });
  EXPECT_TRUE(ahead.Finish(&groups));
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace grouper
