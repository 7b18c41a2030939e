// Every setting of LossConfig arrives in the rule of the loss; what is out of range is refused by
// name.
#include "rl/algorithm/loss_rule.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

LossConfig Loss(const std::string& text) {
  LossConfig loss;
  MergeTextproto(text, "test", &loss);
  return loss;
}

TEST(LossRule, TheDefaultIsClipHigherOverTokensWithoutKl) {
  const PolicyLossRule rule = LossRuleOf({}, 64);
  EXPECT_EQ(rule.surrogate, Surrogate::kPpo);
  EXPECT_EQ(rule.clip_low, 0.2);
  EXPECT_EQ(rule.clip_high, 0.28);
  EXPECT_EQ(rule.dual_clip, 0);
  EXPECT_EQ(rule.log_ratio_clamp, 20);
  EXPECT_EQ(rule.aggregation, Aggregation::kToken);
  EXPECT_EQ(rule.const_length, 64);
  EXPECT_EQ(rule.kl.kind, KlKind::kNone);
  EXPECT_EQ(rule.kl_beta, 0);
}

TEST(LossRule, EveryFieldArrives) {
  const PolicyLossRule rule = LossRuleOf(
      Loss("aggregation: CONST clip_low: 0.25 clip_high: 0.5 surrogate: GSPO_TOKEN dual_clip: 3 "
           "log_ratio_clamp: 7 kl: K2 kl_beta: 0.125 kl_unbiased: true kl_clamp_in: 21 "
           "kl_clamp_out: 11"),
      4096);
  EXPECT_EQ(rule.surrogate, Surrogate::kGspoToken);
  EXPECT_EQ(rule.clip_low, 0.25);
  EXPECT_EQ(rule.clip_high, 0.5);
  EXPECT_EQ(rule.dual_clip, 3);
  EXPECT_EQ(rule.log_ratio_clamp, 7);
  EXPECT_EQ(rule.aggregation, Aggregation::kConst);
  EXPECT_EQ(rule.const_length, 4096);
  EXPECT_EQ(rule.kl.kind, KlKind::kK2);
  EXPECT_EQ(rule.kl_beta, 0.125);
  EXPECT_TRUE(rule.kl.unbiased);
  EXPECT_EQ(rule.kl.clamp_in, 21);
  EXPECT_EQ(rule.kl.clamp_out, 11);
}

TEST(LossRule, EveryNameHasItsRule) {
  const auto of = [](const std::string& text) { return LossRuleOf(Loss(text), 8); };
  EXPECT_EQ(of("surrogate: PPO").surrogate, Surrogate::kPpo);
  EXPECT_EQ(of("surrogate: GSPO").surrogate, Surrogate::kGspo);
  EXPECT_EQ(of("surrogate: CISPO").surrogate, Surrogate::kCispo);
  EXPECT_EQ(of("surrogate: REINFORCE").surrogate, Surrogate::kReinforce);
  EXPECT_EQ(of("aggregation: TOKEN").aggregation, Aggregation::kToken);
  EXPECT_EQ(of("aggregation: SEQ").aggregation, Aggregation::kSeq);
  EXPECT_EQ(of("aggregation: SEQ_SUM").aggregation, Aggregation::kSeqSum);
  EXPECT_EQ(of("kl: K1").kl.kind, KlKind::kK1);
  EXPECT_EQ(of("kl: K3").kl.kind, KlKind::kK3);
}

TEST(LossRule, SaysWhatTheLossNeeds) {
  EXPECT_FALSE(EveryTokenTrains({}));
  EXPECT_TRUE(EveryTokenTrains(Loss("entropy: 0.01")));
  const LossConfig in_loss = Loss("kl: K3"), in_reward = Loss("kl: K1 kl_place: IN_REWARD");
  EXPECT_TRUE(KlInLoss(in_loss));
  EXPECT_FALSE(KlInReward(in_loss));
  EXPECT_TRUE(EveryTokenTrains(in_loss));
  EXPECT_FALSE(KlInLoss(in_reward));
  EXPECT_TRUE(KlInReward(in_reward));
  EXPECT_FALSE(EveryTokenTrains(in_reward));
  EXPECT_EQ(LossRuleOf(in_reward, 8).kl.kind, KlKind::kNone);
  EXPECT_EQ(KlRuleOf(in_reward).kind, KlKind::kK1);
  // Without a weight there is no term, and no reference is made for one.
  for (const char* text : {"kl: K3 kl_beta: 0", "kl: K1 kl_beta: 0 kl_place: IN_REWARD"}) {
    EXPECT_FALSE(KlInLoss(Loss(text)));
    EXPECT_FALSE(KlInReward(Loss(text)));
    EXPECT_EQ(LossRuleOf(Loss(text), 8).kl.kind, KlKind::kNone);
  }
}

struct BadLoss {
  const char* name;
  const char* text;
  const char* words;
};
constexpr BadLoss kBadLosses[] = {
    {"DualClipWithCispo", "dual_clip: 3 surrogate: CISPO", "loss.surrogate=CISPO loss.dual_clip=3"},
    {"DualClipWithReinforce", "dual_clip: 3 surrogate: REINFORCE",
     "loss.surrogate=REINFORCE loss.dual_clip=3"},
    {"UnbiasedKlInReward", "kl: K3 kl_unbiased: true kl_place: IN_REWARD", "loss.kl_unbiased"},
};
class BadLossConfig : public ::testing::TestWithParam<BadLoss> {};

TEST_P(BadLossConfig, IsRefusedByName) {
  const std::string message = UserErrorOf([] { CheckLossConfig(Loss(GetParam().text)); });
  EXPECT_NE(message.find(GetParam().words), std::string::npos) << message;
}
INSTANTIATE_TEST_SUITE_P(Row, BadLossConfig, ::testing::ValuesIn(kBadLosses),
                         [](const auto& row) { return row.param.name; });

TEST(LossRule, TakesTheDefaults) {
  EXPECT_NO_THROW(CheckLossConfig({}));
  EXPECT_NO_THROW(CheckLossConfig(Loss("clip_low: 10 clip_high: 10 dual_clip: 1.5 kl: K3")));
  EXPECT_NO_THROW(CheckLossConfig(Loss("surrogate: GSPO aggregation: TOKEN")));
}

}  // namespace
}  // namespace grouper
