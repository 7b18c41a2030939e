// Which groups of a step are trained on: composition in order of prompt, every reason counted once.
#include "rl/algorithm/dynamic_sampling.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "rl/algorithm/advantage.h"
#include "rl/learner/batch.h"

namespace grouper {
namespace {

// One letter a member: r right, w wrong, t no time.
std::vector<Group> Groups(const std::vector<std::string>& verdicts) {
  std::vector<Group> groups(verdicts.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].mutable_prompt()->set_ordinal(g);
    for (char letter : verdicts[g]) {
      groups[g].add_completions()->add_ids(1);
      reward::v1::ScoreResult* score = groups[g].add_scores();
      if (letter == 't') {
        score->set_status(reward::v1::ScoreResult::TIMEOUT);
        continue;
      }
      score->set_status(reward::v1::ScoreResult::SCORED);
      score->set_verdict(letter == 'r' ? reward::v1::ScoreResult::CORRECT
                                       : reward::v1::ScoreResult::WRONG);
      score->set_reward(letter == 'r' ? 1 : 0);
    }
  }
  return groups;
}

std::vector<std::string> Reasons(const std::vector<Group>& groups) {
  std::vector<std::string> reasons;
  for (const Group& group : groups) reasons.push_back(group.dropped());
  return reasons;
}

TEST(DynamicSampling, TheFirstGroupsWithBothKindsAreTakenInOrderOfPrompt) {
  std::vector<Group> groups =
      Groups({"rrr", "rww", "www", "ttt", "rrw", "rtr", "rtw", "rwr", "www"});
  EXPECT_EQ(ChooseGroups(3, groups), 3);
  EXPECT_EQ(Reasons(groups), (std::vector<std::string>{"all_right", "", "all_wrong", "unscored", "",
                                                       "all_right", "", "surplus", "all_wrong"}));
  EXPECT_EQ(DroppedTokens(groups), 6 * 3);
}

TEST(DynamicSampling, MoreRoundsOnlyAdd) {
  std::vector<Group> groups = Groups({"rrr", "rww"});
  EXPECT_EQ(ChooseGroups(2, groups), 1) << "one is missing";
  for (const Group& group : Groups({"www", "wwr"})) groups.push_back(group);
  EXPECT_EQ(ChooseGroups(2, groups), 2);
  EXPECT_EQ(Reasons(groups), (std::vector<std::string>{"all_right", "", "all_wrong", ""}));
}

TEST(DynamicSampling, ADroppedGroupHasNoAdvantagesAndIsNotInTheBatch) {
  std::vector<Group> groups = Groups({"rrr", "rww", "rrw"});
  ChooseGroups(1, groups);
  for (Group& group : groups) AssignAdvantages({}, &group);
  EXPECT_EQ(groups[0].advantages_size(), 0);
  EXPECT_EQ(groups[1].advantages_size(), 3);
  EXPECT_EQ(groups[2].advantages_size(), 0) << "surplus";
  EXPECT_NEAR(groups[2].reward_mean(), 2.0 / 3, 1e-15) << "the trace holds its figures";
  const std::vector<TrainSequence> sequences = SequencesOf(groups);
  ASSERT_EQ(sequences.size(), 3u);
  for (const TrainSequence& sequence : sequences) EXPECT_EQ(sequence.group, &groups[1]);
}

}  // namespace
}  // namespace grouper
