// The control of learning tests: every reward is handed out once, and none says anything.
#include "rl/experience/reward_shuffle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace grouper {
namespace {

// 16 groups of 16; about two in five are right, more in some groups than in others.
std::vector<Group> StepOf(uint64_t seed) {
  PhiloxSequence random(seed, RandomStream::kTaskGeneration, 0);
  std::vector<Group> groups(16);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (int i = 0; i < 16; ++i) {
      reward::v1::ScoreResult* score = groups[g].add_scores();
      if (g == 3 && i == 5) continue;  // its scorer failed
      score->set_reward(random.Unit() < 0.2 + 0.03 * static_cast<double>(g) ? 1.1
                        : random.Unit() < 0.9                               ? 0.1
                                                                            : 0);
    }
  }
  return groups;
}

std::vector<double> RewardsOf(const std::vector<Group>& groups) {
  std::vector<double> rewards;
  for (const Group& group : groups) {
    for (const reward::v1::ScoreResult& score : group.scores()) {
      if (score.has_reward()) rewards.push_back(score.reward());
    }
  }
  return rewards;
}

double Correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sx += x[i], sy += y[i], xx += x[i] * x[i], yy += y[i] * y[i], xy += x[i] * y[i];
  }
  return (xy - sx * sy / n) / std::sqrt((xx - sx * sx / n) * (yy - sy * sy / n));
}

TEST(ShuffleRewards, HandsOutEveryRewardOnceAndTellsNothing) {
  double squares = 0;
  for (int step = 0; step < 50; ++step) {
    std::vector<Group> groups = StepOf(static_cast<uint64_t>(step));
    const std::vector<double> truth = RewardsOf(groups);
    ShuffleRewards(1, step, &groups);
    const std::vector<double> shuffled = RewardsOf(groups);
    EXPECT_FALSE(groups[3].scores(5).has_reward());
    EXPECT_TRUE(std::is_permutation(truth.begin(), truth.end(), shuffled.begin(), shuffled.end()));
    EXPECT_NE(truth, shuffled);
    squares += std::pow(Correlation(truth, shuffled), 2) / 50;
  }
  // 1 / sqrt(255) = 0.063 would be a plain permutation's.
  EXPECT_LT(std::sqrt(squares), 0.04);
}

TEST(ShuffleRewards, DependsOnSeedAndStepAlone) {
  std::vector<Group> a = StepOf(1), b = StepOf(1), c = StepOf(1), d = StepOf(1);
  ShuffleRewards(1, 7, &a);
  ShuffleRewards(1, 7, &b);
  ShuffleRewards(1, 8, &c);
  ShuffleRewards(2, 7, &d);
  EXPECT_EQ(RewardsOf(a), RewardsOf(b));
  EXPECT_NE(RewardsOf(a), RewardsOf(c));
  EXPECT_NE(RewardsOf(a), RewardsOf(d));
}

TEST(ShuffleRewards, ASmallStepIsNoSpecialCase) {
  for (int n = 0; n < 4; ++n) {
    std::vector<Group> groups(1);
    for (int i = 0; i < n; ++i) groups[0].add_scores()->set_reward(i);
    ShuffleRewards(1, 0, &groups);
    std::vector<double> rewards = RewardsOf(groups);
    std::sort(rewards.begin(), rewards.end());
    for (int i = 0; i < n; ++i) EXPECT_EQ(rewards[static_cast<size_t>(i)], i);
  }
}

}  // namespace
}  // namespace grouper
