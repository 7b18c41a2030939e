#include "trace/store/completion_join.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"

namespace grouper {
namespace {

TEST(CompletionJoin, GivesMembersTheirArraysAndTellsWhichAreMissing) {
  const Group whole = SampleGroup(2, 5);
  Group reduced;
  CompletionJoin join;
  for (int i = 0; i < whole.completions_size(); ++i) {
    reduced.add_completions()->set_rollout_id(whole.completions(i).rollout_id());
    if (i == 1) continue;  // its frame is missing
    CompletionRecord record;
    record.set_step(2);
    *record.mutable_completion() = whole.completions(i);
    join.Add(&record);
  }
  Group again = reduced;
  EXPECT_EQ(join.Join(&reduced), std::vector<int>{1});
  EXPECT_EQ(reduced.completions(0).DebugString(), whole.completions(0).DebugString());
  EXPECT_EQ(reduced.completions(1).ids_size(), 0);
  EXPECT_EQ(reduced.completions(2).DebugString(), whole.completions(2).DebugString());
  EXPECT_EQ(join.Join(&again), (std::vector<int>{0, 1, 2})) << "each is given away once";
}

TEST(CompletionJoin, DropsTheCompletionsOfAnAbandonedStep) {
  CompletionJoin join;
  for (const int64_t step : {int64_t{0}, int64_t{1}}) {
    CompletionRecord record;
    record.set_step(step);
    record.mutable_completion()->set_rollout_id(static_cast<uint64_t>(step));
    join.Add(&record);
  }
  Group group;
  for (const uint64_t id : {uint64_t{0}, uint64_t{1}}) group.add_completions()->set_rollout_id(id);
  EXPECT_EQ(join.Join(&group), std::vector<int>{0});
}

}  // namespace
}  // namespace grouper
