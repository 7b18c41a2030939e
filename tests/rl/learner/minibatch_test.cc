// The split of a step: every output in exactly one minibatch, all of one size, a function of seed
// and step alone.
#include "rl/learner/minibatch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace grouper {
namespace {

Config Settings(int64_t minibatches, BatchConfig::Split split) {
  Config config;
  config.set_seed(9);
  config.set_prompts_per_step(8);
  config.set_group_size(6);
  config.mutable_batch()->set_minibatches(minibatches);
  config.mutable_batch()->set_split(split);
  return config;
}

// 8 groups of 6 outputs with lengths that repeat.
std::vector<TrainSequence> Outputs() {
  std::vector<TrainSequence> outputs(48);
  for (size_t i = 0; i < outputs.size(); ++i) {
    outputs[i].rollout_id = 600 + i;
    outputs[i].ids.resize(2 + i * 7 % 11);
  }
  SortCanonically(&outputs);
  return outputs;
}

using Ids = std::vector<std::vector<uint64_t>>;
Ids IdsOf(const std::vector<std::vector<TrainSequence>>& minibatches) {
  Ids ids;
  for (const auto& minibatch : minibatches) {
    ids.emplace_back();
    for (const TrainSequence& s : minibatch) ids.back().push_back(s.rollout_id);
  }
  return ids;
}

TEST(Minibatch, DealsEveryOutputOnceInEqualSharesInCanonicalOrder) {
  for (const auto split : {BatchConfig::BY_OUTPUT, BatchConfig::BY_GROUP}) {
    for (const int64_t count : {1, 2, 4, 8}) {
      const auto minibatches = SplitStep(Settings(count, split), 5, Outputs());
      ASSERT_EQ(minibatches.size(), static_cast<size_t>(count));
      std::set<uint64_t> seen;
      for (const auto& minibatch : minibatches) {
        EXPECT_EQ(minibatch.size(), 48u / static_cast<size_t>(count));
        std::vector<TrainSequence> sorted = minibatch;
        SortCanonically(&sorted);
        EXPECT_EQ(IdsOf({sorted}), IdsOf({minibatch}));
        for (const TrainSequence& s : minibatch) seen.insert(s.rollout_id);
      }
      EXPECT_EQ(seen.size(), 48u);
    }
  }
}

TEST(Minibatch, GroupsStayWholeAndInOrderWhenSplitByGroup) {
  const Ids ids = IdsOf(SplitStep(Settings(4, BatchConfig::BY_GROUP), 5, Outputs()));
  for (size_t m = 0; m < 4; ++m) {
    for (const uint64_t id : ids[m]) EXPECT_EQ((id - 600) / 12, m) << id;
  }
}

TEST(Minibatch, ThePermutationIsAFunctionOfSeedAndStep) {
  Config config = Settings(4, BatchConfig::BY_OUTPUT);
  const Ids ids = IdsOf(SplitStep(config, 5, Outputs()));
  std::vector<TrainSequence> reversed = Outputs();
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(IdsOf(SplitStep(config, 5, reversed)), ids) << "order of arrival does not matter";
  EXPECT_NE(IdsOf(SplitStep(config, 6, Outputs())), ids);
  config.set_seed(10);
  EXPECT_NE(IdsOf(SplitStep(config, 5, Outputs())), ids);
  // Outputs of a group are spread: R1 shuffles outputs, not questions.
  std::set<uint64_t> groups;
  for (const uint64_t id : ids[0]) groups.insert((id - 600) / 6);
  EXPECT_GE(groups.size(), 5u);
}

TEST(Minibatch, SettingsThatCannotWorkAreNamed) {
  const auto refusal = [](const Config& config) -> std::string {
    try {
      CheckMinibatches(config);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
      return error.message();
    }
    return "";
  };
  EXPECT_EQ(refusal(Settings(4, BatchConfig::BY_OUTPUT)), "");
  EXPECT_NE(refusal(Settings(5, BatchConfig::BY_OUTPUT)).find("must divide the outputs"),
            std::string::npos);
  EXPECT_EQ(refusal(Settings(16, BatchConfig::BY_OUTPUT)), "");
  EXPECT_NE(refusal(Settings(16, BatchConfig::BY_GROUP)).find("must divide prompts_per_step"),
            std::string::npos);
  Config filtered = Settings(4, BatchConfig::BY_OUTPUT);
  filtered.mutable_sampling()->set_top_p(0.9);
  EXPECT_NE(refusal(filtered).find("sampling.top_k, top_p and min_p"), std::string::npos);
  filtered.mutable_batch()->set_minibatches(1);
  EXPECT_EQ(refusal(filtered), "") << "the first minibatch sees what was sampled from";
}

}  // namespace
}  // namespace grouper
