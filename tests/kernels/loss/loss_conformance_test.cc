// Numbers computed by hand for the losses of the GRPO family: surrogates, dual clip, aggregations,
// sequence ratios. Inputs are fp32, so values agree to a relative 1e-5, and exactly where the
// inputs are exact. KL: kl_test.cc; advantages: tests/rl/algorithm/advantage_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/loss/policy_loss.h"

namespace grouper {
namespace {

// Each token is a sequence of its own unless a test says otherwise; the loss is the sum of the
// terms.
struct Tokens {
  std::vector<double> advantages;
  std::vector<float> log_probs, old;
  std::vector<int64_t> offsets;
  std::vector<double> gradient;
  LossDenominators denominators = {1, 1};
  PolicyLossRule rule;

  // One token per sequence, with the ratio given.
  static Tokens WithRatios(const std::vector<double>& advantages,
                           const std::vector<double>& ratios) {
    Tokens tokens;
    tokens.advantages = advantages;
    tokens.offsets = {0};
    for (double r : ratios) {
      tokens.old.push_back(-1.5f);
      tokens.log_probs.push_back(-1.5f + static_cast<float>(std::log(r)));
      tokens.offsets.push_back(static_cast<int64_t>(tokens.old.size()));
    }
    return tokens;
  }
  PolicyLossResult Run() {
    gradient.assign(log_probs.size(), 0);
    PolicyLossArgs args;
    args.offsets = offsets;
    args.log_probs = log_probs;
    args.old_log_probs = old;
    args.advantages = advantages;
    args.denominators = denominators;
    args.rule = rule;
    args.dlog_probs = gradient;
    return PolicyLoss(args);
  }
  // The terms one by one.
  std::vector<double> Terms() {
    std::vector<double> terms;
    for (size_t i = 0; i < advantages.size(); ++i) {
      Tokens one = WithRatios({advantages[i]}, {1});
      one.log_probs = {log_probs[i]};
      one.rule = rule;
      terms.push_back(one.Run().loss);
    }
    return terms;
  }
};

void ExpectNear(const std::vector<double>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1e-5 * std::fabs(expected[i])) << i;
  }
}

TEST(LossConformance, ClipAndClipHigher) {
  Tokens tokens = Tokens::WithRatios({1, -1, 2}, {.5, 1, 1.5});
  tokens.rule.clip_high = .2;
  ExpectNear(tokens.Terms(), {-.5, 1, -2.4});
  tokens.denominators = {3, 3};
  EXPECT_NEAR(tokens.Run().loss, -.633333333, 1e-5);
  EXPECT_EQ(tokens.gradient[2], 0) << "beyond the clip there is no gradient";
  tokens.rule.clip_high = .28;
  ExpectNear(tokens.Terms(), {-.5, 1, -2.56});
  EXPECT_NEAR(tokens.Run().loss, -.686666667, 1e-5);
}

TEST(LossConformance, DualClip) {
  Tokens tokens = Tokens::WithRatios({1, -1, -4}, {.5, 1, 10});
  tokens.rule.clip_high = .2;
  tokens.rule.dual_clip = 3;
  ExpectNear(tokens.Terms(), {-.5, 1, 12});
  const PolicyLossResult result = tokens.Run();
  EXPECT_NEAR(result.loss, 12.5, 1e-4);
  EXPECT_EQ(result.clipped_dual, 1);
  EXPECT_EQ(tokens.gradient[2], 0);
  tokens.rule.dual_clip = 0;
  EXPECT_NEAR(tokens.Run().loss, 40.5, 1e-4) << "without it one bad token weighs ten times";
}

// R1 clips at 10: the lower bound never acts, only ratios above 11 with A > 0 are cut.
TEST(LossConformance, R1sClipHardlyActs) {
  Tokens tokens = Tokens::WithRatios({1, -1, 1, -1, 1}, {.01, .01, 10.9, 12, 12});
  tokens.rule.clip_low = tokens.rule.clip_high = 10;
  const PolicyLossResult result = tokens.Run();
  EXPECT_EQ(result.clipped_low, 0);
  EXPECT_EQ(result.clipped_high, 1);
  for (size_t t = 0; t < 4; ++t) EXPECT_NE(tokens.gradient[t], 0) << t;
  EXPECT_EQ(tokens.gradient[4], 0);
}

TEST(LossConformance, Aggregations) {
  // REINFORCE with A = -1: a token's term is its log-prob, exactly.
  Tokens tokens;
  tokens.log_probs = {.5f, -.25f, 1, 0, -.5f, .25f};
  tokens.old = tokens.log_probs;
  tokens.offsets = {0, 2, 6};
  tokens.advantages = {-1, -1};
  tokens.denominators = {2, 6};
  tokens.rule.surrogate = Surrogate::kReinforce;
  const auto loss = [&](Aggregation aggregation, int64_t length = 0) {
    tokens.rule.aggregation = aggregation;
    tokens.rule.const_length = length;
    return tokens.Run().loss;
  };
  EXPECT_NEAR(loss(Aggregation::kToken), 1.0 / 6, 1e-15);
  EXPECT_EQ(loss(Aggregation::kSeq), .15625);
  EXPECT_EQ(loss(Aggregation::kSeqSum), .5);
  EXPECT_EQ(loss(Aggregation::kConst, 4), .125);
  EXPECT_EQ(loss(Aggregation::kConst, 512), .0009765625);
}

TEST(LossConformance, SequenceRatios) {
  for (Surrogate surrogate : {Surrogate::kGspo, Surrogate::kGspoToken}) {
    Tokens tokens;
    tokens.log_probs = {-1, -2, -.5f};
    tokens.old = {-1.2f, -1.9f, -.9f};
    tokens.offsets = {0, 3};
    tokens.advantages = {1};
    tokens.rule.surrogate = surrogate;
    const PolicyLossResult result = tokens.Run();
    ExpectNear({result.ratio_max, result.ratio_sum}, {1.181360413, 3 * 1.181360413});
    // Clipped at 4e-4, as GSPO is used: no gradient for a sequence that became more likely.
    tokens.rule.clip_low = 3e-4;
    tokens.rule.clip_high = 4e-4;
    EXPECT_NEAR(tokens.Run().loss, -3 * 1.0004, 1e-9);
    for (double slope : tokens.gradient) EXPECT_EQ(slope, 0);
  }
}

TEST(LossConformance, CispoWeighsByTheClippedRatio) {
  Tokens tokens = Tokens::WithRatios({1, -2}, {6, 6});
  tokens.rule.surrogate = Surrogate::kCispo;
  tokens.rule.clip_high = 4;  // up to a ratio of 5
  tokens.Run();
  EXPECT_EQ(tokens.gradient, (std::vector<double>{-5, 10})) << "cut, but never without a gradient";
}

}  // namespace
}  // namespace grouper
