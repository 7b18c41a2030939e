// `kill -9` at every named point, each time that a run passes it, from three states of the run
// folder, and twice in a row. The list is printed. A point of the source that no run passes is a
// failure. There are sixteen shards, so that the work can be divided.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/e2e/durability/kill_case.h"

namespace grouper {
namespace {

using testing::KillCase;
using testing::KillPlace;
using testing::Outcome;
using testing::PlacesByState;

constexpr size_t kShards = 16;

TEST(KillEach, EveryPointOfTheSourceIsReached) {
  SKIP_WITHOUT_ISOLATION();
  KillCase run("kill-list");
  std::map<std::string, std::map<std::string, int>> count;  // name, state, occurrences
  std::set<std::string> reached;
  for (const auto& [state, places] : PlacesByState(&run)) {
    for (const KillPlace& place : places) {
      reached.insert(place.name);
      count[place.name][state] = place.occurrence;
    }
  }
  for (const auto& [name, states] : count) {
    std::printf("%-32s", name.c_str());
    for (const auto& [state, occurrences] : states) {
      std::printf("  %s %d", state.c_str(), occurrences);
    }
    std::printf("\n");
  }
  std::printf("%zu kill points\n", reached.size());
  EXPECT_EQ(reached, testing::KillPointsOfTheSource());
}

// Kills at each name once from each state, in the middle of its occurrences, and again if the next
// start passes there. This takes minutes, where the shards below take an hour.
TEST(KillEach, PointTwiceInARowChangesNoBit) {
  SKIP_WITHOUT_ISOLATION();
  KillCase run("kill-each");
  const std::map<std::string, std::vector<KillPlace>> states = PlacesByState(&run);
  run.Restore("fresh");
  run.Run();
  const Outcome reference = run.outcome();
  std::set<std::string> names;
  size_t tried = 0, twice = 0, same = 0;
  for (const auto& [state, places] : states) {
    std::map<std::string, int> count;
    for (const KillPlace& place : places) count[place.name] = place.occurrence;
    for (const auto& [name, occurrences] : count) {
      const KillPlace place{name, (occurrences + 1) / 2}, again{name};
      SCOPED_TRACE(state + ", " + place.text());
      run.Restore(state);
      EXPECT_TRUE(run.Run(&place)) << "the run never reached the point";
      twice += run.Run(&again) ? 1 : 0;
      run.Run();
      const Outcome outcome = run.outcome();
      EXPECT_EQ(outcome, reference);
      ++tried;
      same += outcome == reference ? 1 : 0;
      names.insert(name);
    }
  }
  std::printf("%zu of %zu the same, %zu killed twice, %zu names\n", same, tried, twice,
              names.size());
  EXPECT_EQ(same, tried);
}

class KillAll : public ::testing::TestWithParam<size_t> {};

// From each state, the run is killed at the place, is killed again if it passes the same name, and
// is then left alone.
TEST_P(KillAll, ChangesNoBit) {
  SKIP_WITHOUT_ISOLATION();
  KillCase run("kill-all-" + std::to_string(GetParam()));
  const std::map<std::string, std::vector<KillPlace>> states = PlacesByState(&run);
  run.Restore("fresh");
  run.Run();
  const Outcome reference = run.outcome();
  size_t index = 0, tried = 0, same = 0;
  for (const auto& [state, places] : states) {
    for (const KillPlace& place : places) {
      if (index++ % kShards != GetParam()) continue;
      SCOPED_TRACE(state + ", " + place.text());
      run.Restore(state);
      EXPECT_TRUE(run.Run(&place)) << "the run never reached the point";
      const KillPlace again{place.name};
      if (tried % 2 == 1) run.Run(&again);
      run.Run();
      const Outcome outcome = run.outcome();
      EXPECT_EQ(outcome, reference);
      ++tried;
      same += outcome == reference ? 1 : 0;
    }
  }
  std::printf("shard %zu: %zu of %zu the same\n", GetParam(), same, tried);
}

INSTANTIATE_TEST_SUITE_P(Shards, KillAll, ::testing::Range<size_t>(0, kShards));

}  // namespace
}  // namespace grouper
