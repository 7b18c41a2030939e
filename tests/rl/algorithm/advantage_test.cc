#include "rl/algorithm/advantage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace grouper {
namespace {

using Rewards = std::vector<std::optional<double>>;

AdvantageConfig Kind(AdvantageConfig::Kind kind, AdvantageConfig::Std std, double eps) {
  AdvantageConfig config;
  config.set_kind(kind);
  config.set_std(std);
  config.set_eps(eps);
  return config;
}

// The conformance numbers of the family: case A and case B under each definition, float64.
TEST(Advantage, ConformanceNumbers) {
  const Rewards a = {1, 0, 0, 1, 0, 0, 0, 1}, b = {.9, .2, -1, 1};
  struct Case {
    AdvantageConfig config;
    double right, wrong;
    std::vector<double> b;
  };
  using C = AdvantageConfig;
  const std::vector<Case> cases = {
      {Kind(C::GRPO, C::SAMPLE, 1e-6),
       1.207612396,
       -.724567437,
       {.678239497, -.081388740, -1.383608574, .786757816}},
      {Kind(C::GRPO, C::SAMPLE, 1e-4),
       1.207381441,
       -.724428864,
       {.678166639, -.081379997, -1.383459944, .786673302}},
      {Kind(C::GRPO, C::SAMPLE, 1e-9),
       1.207614727,
       -.724568836,
       {.678240232, -.081388828, -1.383610074, .786758669}},
      {Kind(C::GRPO, C::SAMPLE, 1e-8),
       1.207614706,
       -.724568823,
       {.678240226, -.081388827, -1.383610060, .786758662}},
      {Kind(C::GRPO, C::POPULATION, 1e-8),
       1.290994422,
       -.774596653,
       {.783164352, -.093979722, -1.597655279, .908470649}},
      {Kind(C::CENTERED, C::SAMPLE, 0), .625, -.375, {.625, -.075, -1.275, .725}},
      {Kind(C::RLOO, C::SAMPLE, 0), .714285714, -.428571429, {.833333333, -.1, -1.7, .966666667}},
      {Kind(C::LOO_STD, C::SAMPLE, 1e-6),
       1.463847109,
       -.801782226,
       {.827831901, -.088735572, -3.900058528, 1.005997807}},
      {Kind(C::NONE, C::SAMPLE, 0), 1, 0, {.9, .2, -1, 1}},
  };
  for (const Case& c : cases) {
    const std::vector<double> ours = GroupAdvantages(a, c.config);
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_NEAR(ours[i], *a[i] == 1 ? c.right : c.wrong, 2e-9);
    const std::vector<double> second = GroupAdvantages(b, c.config);
    for (size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(second[i], c.b[i], 5e-9);
  }
}

TEST(Advantage, EqualRewardsGiveNoSignalWithoutADivision) {
  // 0.1 summed sixteen times is not 1.6: the mean alone would leave a rounding crumb.
  for (auto kind : {AdvantageConfig::GRPO, AdvantageConfig::CENTERED, AdvantageConfig::RLOO,
                    AdvantageConfig::LOO_STD}) {
    for (double a : GroupAdvantages(Rewards(16, 0.1), Kind(kind, AdvantageConfig::SAMPLE, 0))) {
      EXPECT_EQ(a, 0.0);
    }
  }
  EXPECT_EQ(GroupAdvantages(Rewards{1}, {}), std::vector<double>{0});
}

const AdvantageConfig::Kind kBaselines[] = {AdvantageConfig::GRPO, AdvantageConfig::CENTERED,
                                            AdvantageConfig::RLOO, AdvantageConfig::LOO_STD};

TEST(Advantage, RewardsThatDifferByRoundingOnlyAreEqual) {
  const double third = 0.1 + 0.2;  // one unit in the last place above 0.3
  ASSERT_NE(third, 0.3);
  for (const Rewards& rewards :
       {Rewards{third, 0.3}, Rewards{0.3, 0.3, third, std::nullopt},
        Rewards{-1e6, std::nextafter(-1e6, 0.0), -1e6}, Rewards{0, -0.0, 0}, Rewards{0, 1e-300}}) {
    EXPECT_TRUE(RewardsAreEqual(rewards));
    for (const auto kind : kBaselines) {
      for (double a : GroupAdvantages(rewards, Kind(kind, AdvantageConfig::SAMPLE, 0))) {
        EXPECT_EQ(a, 0) << kind;
      }
    }
  }
  for (const Rewards& rewards : {Rewards{0.3, 0.3 + 1e-13}, Rewards{0, 1e-100}, Rewards{1, -1}}) {
    EXPECT_FALSE(RewardsAreEqual(rewards));
  }
}

// Seven equal members leave a residue of rounding as their deviation, which the eighth was divided
// by: its advantage was 656,250.
TEST(Advantage, LeaveOneOutDoesNotDivideByTheRoundingOfEqualOthers) {
  Rewards rewards(7, -0.7);
  rewards.push_back(-0.04375);
  const std::vector<double> a =
      GroupAdvantages(rewards, Kind(AdvantageConfig::LOO_STD, AdvantageConfig::SAMPLE, 1e-6));
  EXPECT_NEAR(a[7], 0.7 - 0.04375, 1e-15);
  for (size_t i = 0; i < 7; ++i) EXPECT_LT(std::fabs(a[i]), 1);
}

// Whatever the rewards, no advantage is larger than the deviation allows: sqrt(n) for the kinds
// that divide by one, the range of the rewards for the others. The rewards are k equal ones and one
// that is another by a factor from one unit in the last place up.
TEST(Advantage, NoRewardsBlowUpWithoutEps) {
  for (double base : {-0.7, 0.1, 1.1, 1e5, 1e-5}) {
    for (double factor = 1 + 0x1p-52; factor < 3; factor = 1 + (factor - 1) * 1.7) {
      for (int n = 2; n <= 40; ++n) {
        Rewards rewards(static_cast<size_t>(n), base);
        rewards[static_cast<size_t>(n) / 3] = base * factor;
        const double range = std::fabs(base * factor - base);
        for (const auto kind : kBaselines) {
          const bool divides = kind == AdvantageConfig::GRPO;
          for (double a : GroupAdvantages(rewards, Kind(kind, AdvantageConfig::SAMPLE, 0))) {
            // Of LOO_STD, those with the odd one among the others are bounded as GRPO's are; the
            // odd one itself is not divided.
            const double bound = divides ? std::sqrt(n) * 1.5
                                 : kind == AdvantageConfig::LOO_STD
                                     ? std::max(std::sqrt(n) * 1.5, range * 1.01)
                                     : range * 2.01 + 1e-15 * std::fabs(base);
            ASSERT_LE(std::fabs(a), bound) << "kind " << kind << " base " << base << " factor - 1 "
                                           << factor - 1 << " n " << n;
          }
          Group group;
          for (const auto& r : rewards) {
            group.add_completions();
            auto* score = group.add_scores();
            score->set_status(reward::v1::ScoreResult::SCORED);
            score->set_reward(*r);
          }
          ASSERT_NO_THROW(AssignAdvantages(Kind(kind, AdvantageConfig::SAMPLE, 0), &group))
              << "kind " << kind << " base " << base << " factor - 1 " << factor - 1 << " n " << n;
        }
      }
    }
  }
}

// The moments of the others, directly, in long double.
TEST(Advantage, LeaveOneOutIsAsAccurateAsItsDefinitionAndLinear) {
  const AdvantageConfig config = Kind(AdvantageConfig::LOO_STD, AdvantageConfig::SAMPLE, 1e-6);
  // A member that is far off must not take away the digits of the others' deviation.
  Rewards rewards;
  for (int i = 0; i < 200; ++i) {
    rewards.push_back(i == 77      ? std::optional<double>(1e4)
                      : i % 9 == 4 ? std::nullopt
                                   : std::optional<double>(0.5 + 1e-6 * std::sin(i)));
  }
  const std::vector<double> ours = GroupAdvantages(rewards, config);
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!rewards[i]) {
      EXPECT_EQ(ours[i], 0);
      continue;
    }
    long double sum = 0, squares = 0, n = 0;
    for (size_t j = 0; j < rewards.size(); ++j) {
      if (j == i || !rewards[j]) continue;
      sum += static_cast<long double>(*rewards[j]);
      ++n;
    }
    for (size_t j = 0; j < rewards.size(); ++j) {
      if (j == i || !rewards[j]) continue;
      const long double d = static_cast<long double>(*rewards[j]) - sum / n;
      squares += d * d;
    }
    const long double expected =
        (static_cast<long double>(*rewards[i]) - sum / n) / (std::sqrt(squares / (n - 1)) + 1e-6L);
    EXPECT_NEAR(ours[i], static_cast<double>(expected), 1e-9 * std::fabs(ours[i])) << i;
  }
  // The largest group that is allowed: its square would be 4 billion additions.
  Rewards many;
  for (int i = 0; i < 65536; ++i) many.push_back(i % 5 == 0 ? 1 : 0);
  for (double a : GroupAdvantages(many, config)) ASSERT_TRUE(std::isfinite(a));
}

TEST(Advantage, UnscoredMembersLeaveMeanStdAndLoss) {
  const std::vector<double> with =
      GroupAdvantages(Rewards{1, std::nullopt, 0, 0, std::nullopt}, {});
  const std::vector<double> without = GroupAdvantages(Rewards{1, 0, 0}, {});
  EXPECT_EQ(with, (std::vector<double>{without[0], 0, without[1], without[2], 0}));
  for (double a : GroupAdvantages(Rewards{std::nullopt, 1, std::nullopt}, {})) EXPECT_EQ(a, 0);
}

Group GroupOf(const Rewards& rewards) {
  Group group;
  for (size_t i = 0; i < rewards.size(); ++i) {
    group.add_completions();
    auto* score = group.add_scores();
    score->set_status(rewards[i] ? reward::v1::ScoreResult::SCORED
                                 : reward::v1::ScoreResult::TIMEOUT);
    if (rewards[i]) score->set_reward(*rewards[i]);
  }
  return group;
}

TEST(Advantage, FillsTheGroup) {
  Group group = GroupOf({1, std::nullopt, 0, 1});
  AssignAdvantages({}, &group);
  EXPECT_NEAR(group.reward_mean(), 2.0 / 3, 1e-15);
  EXPECT_NEAR(group.reward_std(), std::sqrt(1.0 / 3), 1e-15);
  EXPECT_FALSE(group.no_signal());
  EXPECT_EQ(group.advantages(1), 0);
  Group equal = GroupOf({0.25, 0.25, std::nullopt});
  AssignAdvantages({}, &equal);
  EXPECT_TRUE(equal.no_signal());
  EXPECT_EQ(equal.reward_std(), 0);
}

TEST(Advantage, RefusesWhatIsNoReward) {
  Group nan = GroupOf({1, std::numeric_limits<double>::quiet_NaN()});
  EXPECT_THROW(AssignAdvantages({}, &nan), Error);
  Group paid = GroupOf({1, std::nullopt});
  paid.mutable_scores(1)->set_reward(0);  // a failure that reads as a reward
  EXPECT_THROW(AssignAdvantages({}, &paid), Error);
  Group missing = GroupOf({1, 0});
  missing.mutable_scores()->RemoveLast();
  EXPECT_THROW(AssignAdvantages({}, &missing), Error);
}

}  // namespace
}  // namespace grouper
