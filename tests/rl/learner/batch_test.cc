// The canonical order keeps groups together, and cuts follow it.
#include "rl/learner/batch.h"

#include <gtest/gtest.h>

#include <set>

#include "policy/memory/kv_cache.h"

namespace grouper {
namespace {

std::vector<Group> MakeGroups() {
  std::vector<Group> groups(3);
  const int prompts[] = {70, 5, 5};
  const int first_ids[] = {0, 8, 4};
  for (size_t g = 0; g < groups.size(); ++g) {
    for (int t = 0; t < prompts[g]; ++t) groups[g].mutable_prompt()->add_ids(1);
    for (int i = 0; i < 4; ++i) {
      Completion* c = groups[g].add_completions();
      c->set_rollout_id(static_cast<uint64_t>(first_ids[g] + i));
      for (int t = 0; t < 10 * (i % 2 + 1); ++t) c->add_ids(2);
      groups[g].add_advantages(i == 3 ? 0 : 1);
      groups[g].add_scores()->set_status(reward::v1::ScoreResult::SCORED);
    }
  }
  return groups;
}

std::vector<uint64_t> Ids(const std::vector<TrainSequence>& sequences) {
  std::vector<uint64_t> ids;
  for (const TrainSequence& s : sequences) ids.push_back(s.rollout_id);
  return ids;
}

TEST(CanonicalOrder, IsByPromptLengthAndFirstRolloutThenInsideTheGroup) {
  const std::vector<Group> groups = MakeGroups();
  EXPECT_EQ(Ids(SequencesOf(groups)),
            (std::vector<uint64_t>{4, 6, 5, 7, 8, 10, 9, 11, 0, 2, 1, 3}));
  // A part of a group has the place of its group.
  std::vector<TrainSequence> part;
  for (const TrainSequence& s : SequencesOf(groups)) {
    if (s.rollout_id != 4 && s.rollout_id != 0) part.push_back(s);
  }
  std::swap(part.front(), part.back());
  SortCanonically(&part);
  EXPECT_EQ(Ids(part), (std::vector<uint64_t>{6, 5, 7, 8, 10, 9, 11, 2, 1, 3}));
}

TEST(CanonicalOrder, WhatTrainsComesFirstAndKeepsItsOrder) {
  const std::vector<Group> groups = MakeGroups();
  std::vector<TrainSequence> sequences = SequencesOf(groups);
  for (TrainSequence& s : sequences) {
    s.trains = s.group != &groups[2] && s.rollout_id != 8 && s.rollout_id != 2;
  }
  PutTrainedFirst(&sequences);
  EXPECT_EQ(Ids(sequences), (std::vector<uint64_t>{10, 9, 11, 8, 0, 1, 3, 2, 4, 6, 5, 7}));
}

TEST(CutMicroBatches, DividesGroupsAndCountsEachPromptOnce) {
  const std::vector<Group> groups = MakeGroups();
  std::vector<TrainSequence> sequences = SequencesOf(groups);
  for (const bool mixed : {false, true}) {
    for (TrainSequence& s : sequences) s.trains = !mixed || s.rollout_id % 4 != 3;
    PutTrainedFirst(&sequences);
    for (const int64_t max_tokens : {1, 20, 35, 64, 70, 128, 200, 1000}) {
      SCOPED_TRACE(max_tokens);
      size_t next = 0;
      std::set<const Group*> opened, ended;
      for (const Cut& cut : CutMicroBatches(sequences, max_tokens)) {
        EXPECT_EQ(cut.begin, next);
        ASSERT_LT(cut.begin, cut.end);
        next = cut.end;
        int64_t tokens = 0, blocks = 0;
        std::set<const Group*> inside;
        for (size_t i = cut.begin; i < cut.end; ++i) {
          const TrainSequence& s = sequences[i];
          EXPECT_EQ(s.trains, cut.trains);
          tokens += s.own_tokens();
          blocks += KvCache::BlocksFor(s.input_tokens()) - s.shared_tokens / 64;
          if (inside.insert(s.group).second && !cut.part) {
            tokens += s.shared_tokens;
            EXPECT_TRUE(opened.insert(s.group).second) << "a whole group is in one cut";
            ended.insert(s.group);
          }
        }
        if (cut.end - cut.begin > 1) EXPECT_LE(tokens, max_tokens);
        if (!cut.part) continue;
        EXPECT_EQ(inside.size(), 1u);
        const Group* group = *inside.begin();
        EXPECT_EQ(cut.part->opens, opened.insert(group).second);
        EXPECT_FALSE(ended.contains(group) && cut.trains) << "a part that trains after the last";
        if (cut.part->ends) ended.insert(group);
        EXPECT_GE(cut.part->blocks,
                  blocks + KvCache::BlocksFor(sequences[cut.begin].shared_tokens));
      }
      EXPECT_EQ(next, sequences.size());
      EXPECT_EQ(opened.size(), 3u);
      EXPECT_EQ(ended.size(), 3u) << "each prompt has its backward pass";
    }
  }
  // All fit: 69 + 4 + 4 of prompts and 3 * 60 of completions.
  for (TrainSequence& s : sequences) s.trains = true;
  EXPECT_EQ(CutMicroBatches(sequences, 257).size(), 1u);
  EXPECT_EQ(CutMicroBatches(sequences, 256).size(), 2u);
}

}  // namespace
}  // namespace grouper
