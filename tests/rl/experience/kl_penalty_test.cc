// KL in the reward: penalties are the estimator's sum over what was sampled, whatever the cut; they
// move advantages and no verdict.
#include "rl/experience/kl_penalty.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "policy/init.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/learner/batch.h"
#include "rollout/engine/engine.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

class KlPenaltyTest : public ::testing::Test {
 protected:
  KlPenaltyTest()
      : stream_{cpu::AvailableIsas().front(), nullptr},
        policy_(testing::PolicyShapes(kVocab)[1].second, DType::kFloat32),
        other_(policy_.config(), DType::kFloat32),
        sampler_(&policy_, stream_) {
    InitRandom(4, &policy_.weights(), stream_);
    InitRandom(5, &other_.weights(), stream_);
    MergeTextproto("loss { kl: K3 kl_beta: 0.25 kl_place: IN_REWARD } advantage { kind: CENTERED }",
                   "test", &config_);
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy_, *tokenizer, RolloutConfig(), stream_);
    GenerateOptions options;
    options.group_size = 4;
    options.max_new_tokens = 20;
    engine.Generate(testing::MakePrompts({3, 20, 64}, kVocab), options, &groups_);
    testing::ScoreByIndex(&groups_, config_.advantage());
  }
  std::vector<Group> With(Reference* reference, int64_t cut_tokens = 1024) {
    Config config = config_;
    config.mutable_batch()->set_max_tokens_per_micro_batch(cut_tokens);
    std::vector<Group> groups = groups_;
    sum_ = AddKlPenalties(config, &sampler_, reference, groups);
    for (Group& group : groups) AssignAdvantages(config.advantage(), &group);
    return groups;
  }

  Stream stream_;
  Policy policy_, other_;
  PackedPass sampler_;
  Config config_;
  std::vector<Group> groups_;
  KlPenaltySum sum_;
};

TEST_F(KlPenaltyTest, AgainstTheSamePolicyItIsExactlyZeroAndNoAdvantageMoves) {
  Reference same(policy_, 0, stream_);
  const std::vector<Group> groups = With(&same);
  EXPECT_EQ(sum_.estimator, 0);
  EXPECT_GT(sum_.tokens, 0);
  for (size_t g = 0; g < groups.size(); ++g) {
    ASSERT_EQ(groups[g].kl_penalties_size(), 4);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(groups[g].kl_penalties(i), 0);
      EXPECT_EQ(groups[g].advantages(i), groups_[g].advantages(i));
    }
  }
}

TEST_F(KlPenaltyTest, ItIsBetaTimesTheSumAndComesOffTheReward) {
  Reference reference(other_, 0, stream_);
  const std::vector<Group> groups = With(&reference);
  double all = 0;
  int64_t tokens = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    double mean = 0;
    for (int i = 0; i < 4; ++i) {
      const std::vector<TrainSequence> one = {SequenceOf(group, i)};
      const std::span<const float> ref = reference.LogProbs(one, SamplingRule(), {});
      double sum = 0;
      for (size_t t = 0; t < ref.size(); ++t) {
        const double d =
            static_cast<double>(ref[t]) -
            static_cast<double>(group.completions(i).rollout_log_probs()[static_cast<int>(t)]);
        sum += std::exp(d) - d - 1;
      }
      EXPECT_GT(sum, 0);
      EXPECT_EQ(group.kl_penalties(i), 0.25 * sum);
      EXPECT_EQ(group.scores(i).reward(), groups_[g].scores(i).reward()) << "a verdict stays";
      mean += (group.scores(i).reward() - group.kl_penalties(i)) / 4;
      all += sum;
      tokens += static_cast<int64_t>(ref.size());
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_NEAR(group.advantages(i), group.scores(i).reward() - group.kl_penalties(i) - mean,
                  1e-12);
    }
    EXPECT_NEAR(group.reward_mean(), mean, 1e-12);
  }
  EXPECT_NEAR(sum_.estimator, all, 1e-9);
  EXPECT_EQ(sum_.tokens, tokens);
}

TEST_F(KlPenaltyTest, GroupsThatOnlyThePenaltyTellsApartAreCounted) {
  for (auto& score : *groups_[1].mutable_scores()) score.set_reward(0.7);
  Reference reference(other_, 0, stream_), same(policy_, 0, stream_);
  With(&reference);
  EXPECT_EQ(sum_.groups_of_penalty_alone, 1);
  With(&same);
  EXPECT_EQ(sum_.groups_of_penalty_alone, 0) << "no penalty, no difference";
  groups_[1].mutable_scores(2)->set_reward(0.9);
  With(&reference);
  EXPECT_EQ(sum_.groups_of_penalty_alone, 0);
}

TEST_F(KlPenaltyTest, ClampsHold) {
  Reference reference(other_, 0, stream_);
  config_.mutable_loss()->set_kl_clamp_out(0.125);
  for (const Group& group : With(&reference)) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_LE(group.kl_penalties(i), 0.25 * 0.125 * group.completions(i).ids_size());
    }
  }
}

TEST_F(KlPenaltyTest, CutsChangeNoBitAndDroppedGroupsHaveNone) {
  Reference reference(other_, 0, stream_);
  groups_[1].set_dropped("all_wrong");
  const std::vector<Group> whole = With(&reference, 100000);
  EXPECT_EQ(whole[1].kl_penalties_size(), 0);
  EXPECT_EQ(whole[1].advantages_size(), 0);
  for (int64_t cut : {1, 50, 120}) {
    const std::vector<Group> groups = With(&reference, cut);
    for (size_t g = 0; g < groups.size(); ++g) {
      EXPECT_EQ(groups[g].SerializeAsString(), whole[g].SerializeAsString()) << cut;
    }
  }
}

}  // namespace
}  // namespace grouper
