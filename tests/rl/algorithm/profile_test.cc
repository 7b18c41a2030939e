// Profiles: each one's table of values, that what the user wrote wins, and that nothing changes
// without one.
#include "rl/algorithm/profile.h"

#include <gtest/gtest.h>

#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

Config Resolved(const std::string& text) {
  Config config;
  MergeTextproto(text, "test", &config);
  ApplyProfile(&config);
  return config;
}

void ExpectAll(const std::string& profile, const std::string& table) {
  Config expected;
  MergeTextproto("profile: \"" + profile + "\" " + table, "table", &expected);
  EXPECT_EQ(ToTextproto(Resolved("profile: \"" + profile + "\"")), ToTextproto(expected));
}

TEST(Profile, TableOfValues) {
  ExpectAll("r1",
            "prompts_per_step: 512 group_size: 16 batch { minibatches: 16 split: BY_OUTPUT } "
            "advantage { kind: GRPO std: SAMPLE eps: 1e-6 } "
            "loss { aggregation: SEQ clip_low: 10 clip_high: 10 surrogate: PPO dual_clip: 0 "
            "log_ratio_clamp: 20 kl: K3 kl_beta: 0.001 kl_place: IN_LOSS } "
            "optimizer { lr: 3e-6 schedule: CONSTANT } reference { refresh_every: 400 }");
  ExpectAll("dapo",
            "prompts_per_step: 512 group_size: 16 batch { minibatches: 16 split: BY_GROUP } "
            "advantage { kind: GRPO std: SAMPLE eps: 1e-6 } "
            "loss { aggregation: TOKEN clip_low: 0.2 clip_high: 0.28 surrogate: PPO dual_clip: 10 "
            "log_ratio_clamp: 20 kl: NONE } "
            "optimizer { lr: 1e-6 warmup_updates: 10 schedule: CONSTANT weight_decay: 0.1 "
            "max_grad_norm: 1 } dynamic_sampling { enabled: true max_rounds: 10 }");
  ExpectAll("drgrpo",
            "batch { minibatches: 1 } advantage { kind: CENTERED } "
            "loss { aggregation: CONST clip_low: 0.2 clip_high: 0.2 surrogate: PPO dual_clip: 0 "
            "log_ratio_clamp: 20 kl: NONE }");
  EXPECT_EQ(ProfileNames(), (std::vector<std::string>{"dapo", "drgrpo", "r1"}));
}

TEST(Profile, AFieldThatIsSetWins) {
  const Config config = Resolved(
      R"(profile: "r1" group_size: 4 loss { clip_low: 0.2 kl: NONE } sampling { top_k: 7 })");
  EXPECT_EQ(config.group_size(), 4);
  EXPECT_EQ(config.loss().clip_low(), 0.2);
  EXPECT_EQ(config.loss().kl(), LossConfig::NONE) << "set to a declared default, still set";
  EXPECT_EQ(config.loss().clip_high(), 10) << "its neighbours are the profile's";
  EXPECT_EQ(config.batch().minibatches(), 16);
  EXPECT_EQ(config.sampling().top_k(), 7);
}

TEST(Profile, TheResolvedConfigResolvesToItself) {
  for (const std::string& name : ProfileNames()) {
    const std::string once = ToTextproto(Resolved("profile: \"" + name + "\" steps: 3"));
    EXPECT_EQ(ToTextproto(Resolved(once)), once);
  }
}

TEST(Profile, WithoutOneNothingChanges) {
  EXPECT_EQ(ToTextproto(Resolved("")), "");
  EXPECT_EQ(ToTextproto(Resolved("steps: 3 profile: \"\"")), "steps: 3\nprofile: \"\"\n");
  // The default profile of docs/config.md.
  const Config config;
  EXPECT_EQ(config.advantage().kind(), AdvantageConfig::GRPO);
  EXPECT_EQ(config.advantage().eps(), 1e-6);
  EXPECT_EQ(config.loss().aggregation(), LossConfig::TOKEN);
  EXPECT_EQ(config.loss().clip_low(), 0.2);
  EXPECT_EQ(config.loss().clip_high(), 0.28);
  EXPECT_EQ(config.loss().dual_clip(), 0);
  EXPECT_EQ(config.loss().kl(), LossConfig::NONE);
  EXPECT_EQ(config.batch().minibatches(), 1);
  EXPECT_EQ(config.optimizer().lr(), 1e-6);
  EXPECT_EQ(config.optimizer().beta2(), 0.95);
  EXPECT_EQ(config.optimizer().weight_decay(), 0);
  EXPECT_FALSE(config.dynamic_sampling().enabled());
}

TEST(Profile, AnUnknownNameSaysWhatThereIs) {
  const std::string near = UserErrorOf([] { Resolved("profile: \"dapoo\""); });
  EXPECT_NE(near.find("did you mean \"dapo\"?"), std::string::npos) << near;
  EXPECT_NE(near.find("dapo, drgrpo, r1"), std::string::npos) << near;
  const std::string far = UserErrorOf([] { Resolved("profile: \"something else\""); });
  EXPECT_EQ(far.find("did you mean"), std::string::npos) << far;
}

}  // namespace
}  // namespace grouper
