// Several updates of one rollout: the first ratio is exactly 1 and later ones are not, KL is
// exactly 0 after a refresh and not later, every token is compared before the weights move, no bit
// depends on cuts, threads or instruction sets, and a reference comes back from a checkpoint.
#include "rl/learner/update_stage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "base/error.h"
#include "policy/checkpoint/checkpoint.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "rl/learner/minibatch.h"
#include "rollout/engine/engine.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

Config Settings() {
  Config config;
  config.set_steps(2);
  config.set_prompts_per_step(4);
  config.set_group_size(4);
  config.mutable_batch()->set_minibatches(4);
  config.mutable_batch()->set_max_tokens_per_micro_batch(200);
  config.mutable_optimizer()->set_lr(1e-2);
  config.mutable_loss()->set_kl(LossConfig::K3);
  config.mutable_loss()->set_kl_beta(0.05);
  config.mutable_reference()->set_refresh_every(2);
  return config;
}

struct World {
  explicit World(const Config& settings, int threads = 1,
                 cpu::Isa isa = cpu::AvailableIsas().front())
      : config(settings),
        pool(threads),
        stream{isa, threads > 1 ? &pool : nullptr},
        policy(testing::PolicyShapes(kVocab)[1].second, DType::kFloat32) {
    *config.mutable_policy() = policy.config();
    InitRandom(4, &policy.weights(), stream);
    learner = std::make_unique<Learner>(&policy, config, stream);
    reference = MakeReference(config, policy, stream);
    stage = std::make_unique<UpdateStage>(config, "run", &policy, learner.get(), reference.get());
  }
  std::vector<Group> Sample() {
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy, *tokenizer, RolloutConfig(), stream);
    GenerateOptions options;
    options.group_size = 4;
    options.max_new_tokens = 20;
    options.policy_version = learner->version();
    std::vector<Group> sampled;
    engine.Generate(testing::MakePrompts({3, 20, 64, 70}, kVocab), options, &sampled);
    testing::ScoreByIndex(&sampled);
    return sampled;
  }
  StepUpdate Step(int64_t step) {
    groups = Sample();
    return stage->Run(step, groups, 20);
  }
  int64_t Sampled() const {
    int64_t tokens = 0;
    for (const Group& group : groups) {
      for (const Completion& c : group.completions()) tokens += c.ids_size();
    }
    return tokens;
  }
  Config config;
  cpu::ThreadPool pool;
  Stream stream;
  Policy policy;
  std::unique_ptr<Learner> learner;
  std::unique_ptr<Reference> reference;
  std::unique_ptr<UpdateStage> stage;
  std::vector<Group> groups;
};

TEST(UpdateStage, TheFirstRatioIsExactlyOneAndLaterOnesAreNot) {
  World world(Settings());
  for (int64_t step = 0; step < 2; ++step) {
    const StepUpdate update = world.Step(step);
    ASSERT_EQ(update.updates.size(), 4u);
    EXPECT_EQ(update.updates[0].ratios.not_one, 0);
    EXPECT_EQ(update.updates[0].ratios.max, 1);
    EXPECT_EQ(update.updates[0].tokens.off_policy, 0);
    for (size_t m = 1; m < 4; ++m) {
      EXPECT_GT(update.updates[m].ratios.not_one, 0) << m;
      EXPECT_NE(update.updates[m].ratios.max, 1) << m;
      EXPECT_EQ(update.updates[m].tokens.off_policy, update.updates[m].tokens.in_loss);
    }
    EXPECT_EQ(update.check.tokens, world.Sampled()) << "all compared, before the first update";
    EXPECT_EQ(update.check.total(), 0);
    EXPECT_EQ(update.Tokens().in_loss, world.Sampled());
    EXPECT_EQ(update.tokens_not_compared, 0);
  }
  EXPECT_EQ(world.learner->version(), 8u);
  EXPECT_EQ(world.learner->optimizer().updates(), 8);
}

TEST(UpdateStage, TheLengthCapOfTheLossIsTheOneThatTheStepWasSampledUnder) {
  Config config = Settings();
  config.mutable_loss()->set_aggregation(LossConfig::CONST);
  config.mutable_optimizer()->set_lr(0);
  // What the settings say about another version plays no part.
  MergeTextproto(
      "sampling { max_new_tokens: 7 length_schedule { from_update: 1 max_new_tokens: 9 } }", "test",
      &config);
  World world(config);
  world.groups = world.Sample();
  const StepUpdate short_cap = world.stage->Run(0, world.groups, 20),
                   long_cap = world.stage->Run(0, world.groups, 80);
  for (size_t m = 0; m < 4; ++m) {
    EXPECT_NE(short_cap.updates[m].loss, 0);
    EXPECT_NEAR(long_cap.updates[m].loss, short_cap.updates[m].loss / 4, 1e-12) << m;
  }
  EXPECT_THROW(world.stage->Run(0, world.groups, 0), Error) << "nobody has set it";
}

TEST(UpdateStage, WithoutAnAuditTheLaterMinibatchesAreCountedAsNotCompared) {
  Config config = Settings();
  config.set_check_audit_every(2);
  World audited(Settings()), world(config);
  EXPECT_EQ(world.Step(0).tokens_not_compared, 0);
  audited.Step(0);
  const StepUpdate update = world.Step(1);
  audited.Step(1);
  EXPECT_EQ(update.check.tokens, update.updates[0].check.tokens);
  EXPECT_GT(update.check.tokens, 0);
  EXPECT_EQ(update.check.tokens + update.tokens_not_compared, world.Sampled());
  EXPECT_EQ(WeightsSha256(world.policy.weights()), WeightsSha256(audited.policy.weights()))
      << "an audit only reads";
}

TEST(UpdateStage, KlIsExactlyZeroAfterARefreshAndOnlyThen) {
  World world(Settings());
  const StepUpdate update = world.Step(0);  // refreshed after updates 2 and 4
  EXPECT_EQ(update.refreshes, 2);
  for (const size_t m : {0u, 2u}) {
    EXPECT_EQ(update.updates[m].ratios.k3_sum, 0) << m;
    EXPECT_EQ(update.updates[m].ratios.k1_sum, 0) << m;
    EXPECT_EQ(update.updates[m].ratios.kl_zero_tokens, update.updates[m].tokens.in_loss) << m;
  }
  for (const size_t m : {1u, 3u}) {
    EXPECT_GT(update.updates[m].ratios.k3_sum, 0) << m;
    EXPECT_EQ(update.updates[m].ratios.kl_zero_tokens, 0) << m;
  }
  ASSERT_TRUE(world.reference->version());
  EXPECT_EQ(*world.reference->version(), 4u);
  EXPECT_EQ(world.reference->digest(), world.policy.weights().Digest());
}

TEST(UpdateStage, AReferenceThatIsNotWhatItSaysStopsTheRun) {
  World world(Settings());
  world.groups = world.Sample();
  Policy other(world.policy.config(), DType::kFloat32);
  InitRandom(5, &other.weights(), world.stream);
  world.reference->Refresh(other, world.learner->version());
  const std::string before = WeightsSha256(world.policy.weights());
  try {
    world.stage->Run(0, world.groups, 20);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("the reference is this very policy"), std::string::npos)
        << error.message();
  }
  EXPECT_EQ(WeightsSha256(world.policy.weights()), before);
}

TEST(UpdateStage, NoReferenceIsMadeWhereNothingAsksForOne) {
  Config config = Settings();
  config.mutable_loss()->set_kl_beta(0);
  config.clear_reference();
  World world(config);
  EXPECT_EQ(world.reference, nullptr);
  const StepUpdate update = world.Step(0);
  EXPECT_EQ(update.refreshes, 0);
  EXPECT_EQ(update.updates[3].ratios.k3_sum, 0);
  config.mutable_reference()->set_refresh_every(2);
  EXPECT_THROW(CheckReferenceConfig(config), Error);
}

TEST(UpdateStage, ThePullOfTheReferenceChangesTheWeights) {
  Config weak = Settings(), strong = Settings();
  strong.mutable_loss()->set_kl_beta(1);
  World a(weak), b(strong);
  a.Step(0);
  b.Step(0);
  EXPECT_NE(WeightsSha256(a.policy.weights()), WeightsSha256(b.policy.weights()));
}

TEST(UpdateStage, CutsThreadsAndInstructionSetsChangeNoBit) {
  const auto run = [](int threads, cpu::Isa isa, int64_t max_tokens) {
    Config config = Settings();
    config.mutable_batch()->set_max_tokens_per_micro_batch(max_tokens);
    World world(config, threads, isa);
    world.Step(0);
    return WeightsSha256(world.policy.weights());
  };
  const cpu::Isa best = cpu::AvailableIsas().front();
  const std::string expected = run(1, best, 200);
  for (const int64_t tokens : {1, 77, 4096}) EXPECT_EQ(run(1, best, tokens), expected) << tokens;
  EXPECT_EQ(run(2, best, 200), expected);
  for (const cpu::Isa isa : cpu::AvailableIsas()) {
    EXPECT_EQ(run(2, isa, 200), expected) << cpu::NameOf(isa);
  }
}

TEST(UpdateStage, LaterMinibatchesTakeTheExpertsThatWereSampledWith) {
  Config off = Settings();
  off.mutable_batch()->set_routing_replay(BatchConfig::OFF);
  off.mutable_optimizer()->set_lr(0.1);  // far enough that a router changes its mind
  Config replay = off, automatic = off;
  replay.mutable_batch()->set_routing_replay(BatchConfig::REPLAY);
  automatic.mutable_batch()->clear_routing_replay();
  World a(off), b(replay), c(automatic);
  for (World* world : {&a, &b, &c}) world->Step(0);
  EXPECT_NE(WeightsSha256(a.policy.weights()), WeightsSha256(b.policy.weights()));
  EXPECT_EQ(WeightsSha256(b.policy.weights()), WeightsSha256(c.policy.weights()))
      << "AUTO replays experts";
}

TEST(UpdateStage, AWrongBitOfALaterMinibatchStopsTheRunBeforeTheFirstUpdate) {
  World world(Settings());
  world.groups = world.Sample();
  const auto minibatches = SplitStep(world.config, 0, SequencesOf(world.groups));
  const uint64_t victim = minibatches[3].back().rollout_id;
  for (Group& group : world.groups) {
    for (Completion& c : *group.mutable_completions()) {
      if (c.rollout_id() == victim) {
        c.set_rollout_log_probs(1, std::nextafter(c.rollout_log_probs(1), -100.0f));
      }
    }
  }
  const std::string before = WeightsSha256(world.policy.weights());
  try {
    world.stage->Run(0, world.groups, 20);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.kind()), 1);
    EXPECT_NE(error.message().find("rollout=" + std::to_string(victim)), std::string::npos)
        << error.message();
    EXPECT_NE(error.message().find("failed the same way twice"), std::string::npos);
  }
  EXPECT_EQ(WeightsSha256(world.policy.weights()), before);
}

TEST(UpdateStage, TheReferenceComesBackFromACheckpoint) {
  const testing_support::TempFolder folder;
  World world(Settings());
  world.Step(0);
  world.groups = world.Sample();
  const std::string checkpoint = folder.path() + "/step";
  SaveCheckpoint(checkpoint, world.policy, &world.learner->optimizer(), {},
                 &world.reference->policy());
  World again(Settings());
  EXPECT_NE(again.reference->digest(), world.reference->digest());
  again.reference->Restore(checkpoint, world.reference->version());
  EXPECT_EQ(again.reference->digest(), world.reference->digest());
  EXPECT_EQ(again.reference->version(), world.reference->version());
  SaveCheckpoint(checkpoint, world.policy, &world.learner->optimizer(), {});
  EXPECT_THROW(again.reference->Restore(checkpoint, 0), Error) << "it holds none";
}

}  // namespace
}  // namespace grouper
