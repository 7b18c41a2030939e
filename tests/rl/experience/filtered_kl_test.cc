// A KL term together with sampling filters: the reference is asked for its distribution over the
// ids that the sampler kept. So every estimate is finite, the estimate against the very policy that
// sampled is exactly 0, and a run of every combination ends without a mismatch.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/experience/kl_penalty.h"
#include "rl/learner/update_stage.h"
#include "rollout/engine/engine.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;
constexpr int kCap = 12;

// Steps of a run whose completions are scored by their index.
struct World {
  explicit World(const std::string& settings)
      : stream{cpu::AvailableIsas().front(), nullptr},
        policy(testing::PolicyShapes(kVocab)[1].second, DType::kFloat32) {
    MergeTextproto(
        "prompts_per_step: 3 group_size: 4 optimizer { lr: 2e-2 } reference { refresh_every: 5 }",
        "test", &config);
    MergeTextproto(settings, "test", &config);
    config.mutable_sampling()->set_max_new_tokens(kCap);
    *config.mutable_policy() = policy.config();
    InitRandom(4, &policy.weights(), stream);
    learner = std::make_unique<Learner>(&policy, config, stream);
    reference = MakeReference(config, policy, stream);
    stage = std::make_unique<UpdateStage>(config, "run", &policy, learner.get(), reference.get());
  }
  void Sample() {
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy, *tokenizer, RolloutConfig(), stream);
    GenerateOptions options;
    options.rule = RuleOf(config.sampling());
    options.group_size = 4;
    options.max_new_tokens = kCap;
    options.policy_version = learner->version();
    groups.clear();
    engine.Generate(testing::MakePrompts({3, 20, 64}, kVocab), options, &groups);
    testing::ScoreByIndex(&groups);
  }
  StepUpdate Step(int64_t step) {
    Sample();
    if (KlInReward(config.loss())) {
      penalties = AddKlPenalties(config, &learner->pass(), reference.get(), groups);
      for (Group& group : groups) AssignAdvantages(config.advantage(), &group);
    }
    return stage->Run(step, groups, kCap);
  }
  Config config;
  Stream stream;
  Policy policy;
  std::unique_ptr<Learner> learner;
  std::unique_ptr<Reference> reference;
  std::unique_ptr<UpdateStage> stage;
  std::vector<Group> groups;
  KlPenaltySum penalties;
};

// 5 filters, 3 estimators, 2 places, 12 steps each. The reference becomes the policy after updates
// 5 and 10, so that steps 0, 5 and 10 are measured against the policy itself.
TEST(FilteredKl, EveryCombinationOfFilterEstimatorAndPlaceTrainsWithoutAMismatch) {
  for (const char* filter : {"top_k: 20", "top_p: 0.95", "top_p: 0.5", "min_p: 0.05",
                             "temperature: 1.2 top_k: 30 top_p: 0.9 min_p: 0.01"}) {
    for (const char* kind : {"K1", "K2", "K3"}) {
      for (const char* place : {"IN_LOSS", "IN_REWARD"}) {
        const std::string settings = std::string("sampling { ") + filter + " } loss { kl: " + kind +
                                     " kl_beta: 0.1 kl_place: " + place + " }";
        SCOPED_TRACE(settings);
        World world(settings);
        const bool in_loss = KlInLoss(world.config.loss());
        int64_t with_kl = 0;
        for (int64_t step = 0; step < 12; ++step) {
          StepUpdate update;
          ASSERT_NO_THROW(update = world.Step(step)) << step;
          ASSERT_EQ(update.updates.size(), 1u);
          ASSERT_TRUE(update.updates[0].updated);
          EXPECT_GT(update.check.tokens, 0);
          EXPECT_EQ(update.check.total(), 0);
          EXPECT_TRUE(std::isfinite(update.updates[0].loss));
          const RatioStats ratios = update.Ratios();
          const double kl = in_loss ? ratios.k3_sum : world.penalties.estimator;
          EXPECT_EQ(step % 5 == 0, kl == 0) << "step " << step << " kl " << kl;
          const int64_t zero = in_loss && step % 5 == 0 ? update.check.tokens : 0;
          EXPECT_EQ(ratios.kl_zero_tokens, zero);
          with_kl += kl != 0 ? 1 : 0;
        }
        EXPECT_EQ(with_kl, 9);
      }
    }
  }
}

TEST(FilteredKl, CutsIntoMicroBatchesChangeNoBit) {
  for (const char* place : {"IN_LOSS", "IN_REWARD"}) {
    SCOPED_TRACE(place);
    const auto run = [&](int64_t max_tokens) {
      World world(std::string("sampling { top_p: 0.9 } loss { kl: K2 kl_beta: 0.1 kl_place: ") +
                  place + " }");
      world.config.mutable_batch()->set_max_tokens_per_micro_batch(max_tokens);
      world.learner = std::make_unique<Learner>(&world.policy, world.config, world.stream);
      world.stage = std::make_unique<UpdateStage>(world.config, "run", &world.policy,
                                                  world.learner.get(), world.reference.get());
      for (int64_t step = 0; step < 3; ++step) EXPECT_EQ(world.Step(step).check.total(), 0);
      return WeightsSha256(world.policy.weights());
    };
    const std::string whole = run(100000);
    for (const int64_t max_tokens : {1, 30, 90, 200}) EXPECT_EQ(run(max_tokens), whole);
  }
}

// Against the definition: the reference's distribution without a filter, divided by its mass on the
// kept set, which the policy's own softmax gives.
TEST(FilteredKl, ThePenaltyIsTheEstimatorOverTheSamplersKeptSet) {
  World world("sampling { top_k: 7 } loss { kl: K1 kl_beta: 1 kl_place: IN_REWARD }");
  Policy other(world.policy.config(), DType::kFloat32);
  InitRandom(5, &other.weights(), world.stream);
  world.Sample();
  world.reference->Refresh(other, 99);
  AddKlPenalties(world.config, &world.learner->pass(), world.reference.get(), world.groups);
  PackedPass ours(&world.policy, world.stream), theirs(&other, world.stream);
  for (Group& group : world.groups) {
    for (int i = 0; i < group.completions_size(); ++i) {
      const std::vector<TrainSequence> one = {SequenceOf(group, i)};
      ours.Forward(one, {}, false);
      theirs.Forward(one, {}, false);
      const Tensor p = ours.activations().logits, q = theirs.activations().logits;
      double expected = 0;
      for (int64_t t = 0; t < p.dim(0); ++t) {
        const float *pt = p.as<float>() + t * p.row_stride, *qt = q.as<float>() + t * q.row_stride;
        std::vector<int64_t> ids(kVocab);
        for (int64_t id = 0; id < kVocab; ++id) ids[static_cast<size_t>(id)] = id;
        std::sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) { return pt[a] > pt[b]; });
        double mass_p = 0, mass_q = 0;
        for (size_t k = 0; k < 7; ++k) {
          mass_p += std::exp(static_cast<double>(pt[ids[k]]));
          mass_q += std::exp(static_cast<double>(qt[ids[k]]));
        }
        const int64_t id = one[0].ids[static_cast<size_t>(one[0].targets[static_cast<size_t>(t)])];
        expected += (static_cast<double>(pt[id]) - std::log(mass_p)) -
                    (static_cast<double>(qt[id]) - std::log(mass_q));
      }
      EXPECT_NEAR(group.kl_penalties(i), expected, 1e-4);
    }
  }
}

TEST(FilteredKl, AReferenceIsNotAskedWithoutTheKeptSets) {
  World world("sampling { top_k: 7 } loss { kl: K1 kl_beta: 1 }");
  world.Sample();
  const std::vector<TrainSequence> one = {SequenceOf(world.groups[0], 0)};
  EXPECT_THROW(world.reference->LogProbs(one, RuleOf(world.config.sampling()), {}), Error);
}

}  // namespace
}  // namespace grouper
