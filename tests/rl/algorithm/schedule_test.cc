#include "rl/algorithm/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "proto/textproto.h"

namespace grouper {
namespace {

OptimizerConfig Parse(const std::string& text) {
  OptimizerConfig config;
  MergeTextproto(text, "test", &config);
  return config;
}

TEST(Schedule, ACosineBeginsWhereTheWarmUpEndsAndReachesLr) {
  const OptimizerConfig config =
      Parse("lr: 0.5 warmup_updates: 20 schedule: COSINE final_share: 0.1");
  const int64_t updates = 100;
  for (int64_t u = 0; u < 20; ++u) {
    EXPECT_NEAR(LearningRateAt(config, u, updates), 0.5 * static_cast<double>(u + 1) / 20, 1e-7);
  }
  EXPECT_EQ(LearningRateAt(config, 19, updates), 0.5) << "the last update of the warm-up";
  EXPECT_EQ(LearningRateAt(config, 20, updates), 0.5) << "the first one of the cosine";
  for (int64_t u = 21; u < 120; ++u) {
    const double done = std::min(1.0, static_cast<double>(u - 20) / 80);
    EXPECT_NEAR(LearningRateAt(config, u, updates),
                0.5 * (0.1 + 0.9 * (1 + std::cos(M_PI * done)) / 2), 1e-7);
    EXPECT_LE(LearningRateAt(config, u, updates), LearningRateAt(config, u - 1, updates));
  }
  EXPECT_NEAR(LearningRateAt(config, updates, updates), 0.05, 1e-7);
}

TEST(Schedule, AWarmUpAsLongAsTheRunIsNothingButAWarmUp) {
  for (const char* schedule : {"CONSTANT", "COSINE"}) {
    const OptimizerConfig config =
        Parse(std::string("lr: 1 warmup_updates: 30 schedule: ") + schedule);
    for (int64_t u = 0; u < 30; ++u) {
      EXPECT_NEAR(LearningRateAt(config, u, 25), static_cast<double>(u + 1) / 30, 1e-7) << u;
    }
  }
}

TEST(Schedule, WithoutAWarmUpBothCosinesAreOne) {
  const OptimizerConfig late = Parse("lr: 3e-3 schedule: COSINE"),
                        early = Parse("lr: 3e-3 schedule: COSINE_FROM_START");
  for (int64_t u = 0; u < 60; ++u) {
    EXPECT_EQ(LearningRateAt(late, u, 50), LearningRateAt(early, u, 50)) << u;
  }
  EXPECT_EQ(LearningRateAt(late, 0, 50), static_cast<double>(3e-3f));
  // With a warm-up, the other one stays below lr.
  const OptimizerConfig warm = Parse("lr: 1 warmup_updates: 5 schedule: COSINE_FROM_START");
  for (int64_t u = 0; u < 50; ++u) EXPECT_LT(LearningRateAt(warm, u, 50), 1);
}

TEST(Schedule, AMovedEndIsSaidWithBothRates) {
  const OptimizerConfig config = Parse("lr: 0.5 schedule: COSINE final_share: 0");
  const std::string text = MovedScheduleText(config, 75, 100, 150);
  for (const char* words : {"COSINE", "from update 100 to 150", "next update, 75, is 0.25",
                            "instead of 0.0732233", "CONSTANT"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << ": " << text;
  }
  EXPECT_EQ(MovedScheduleText(config, 75, 100, 100), "") << "the same end";
  EXPECT_EQ(MovedScheduleText(config, 75, 100, 60), "") << "there is no next update";
  EXPECT_EQ(MovedScheduleText(Parse("lr: 0.5"), 75, 100, 150), "") << "CONSTANT";
  EXPECT_EQ(MovedScheduleText(Parse("lr: 0.5 warmup_updates: 90 schedule: COSINE"), 75, 100, 150),
            "")
      << "still in the warm-up";
}

}  // namespace
}  // namespace grouper
