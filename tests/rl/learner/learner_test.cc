// The learner's promises: cuts, threads and instruction sets change no bit; lr = 0 changes nothing;
// what has no signal has no gradient; a flipped bit, a NaN or a wrong expert stops it before the
// weights move.
#include "rl/learner/learner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/io/file.h"
#include "policy/checkpoint/checkpoint.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "rl/learner/reference.h"
#include "rollout/engine/engine.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

PolicyConfig Moe() { return testing::PolicyShapes(kVocab)[1].second; }

struct World {
  explicit World(int threads = 1, cpu::Isa isa = cpu::AvailableIsas().front(),
                 PolicyConfig config = Moe())
      : pool(threads), stream{isa, threads > 1 ? &pool : nullptr}, policy(config, DType::kFloat32) {
    InitRandom(4, &policy.weights(), stream);
  }
  std::vector<Group> Sample() {
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy, *tokenizer, RolloutConfig(), stream);
    GenerateOptions options;
    options.group_size = 4;
    options.max_new_tokens = 30;
    std::vector<Group> groups;
    engine.Generate(testing::MakePrompts({3, 20, 64, 70}, kVocab), options, &groups);
    testing::ScoreByIndex(&groups);
    return groups;
  }
  cpu::ThreadPool pool;
  Stream stream;
  Policy policy;
};

Config Settings(int64_t max_tokens = 200) {
  Config config;
  config.mutable_batch()->set_max_tokens_per_micro_batch(max_tokens);
  config.mutable_optimizer()->set_router_bias_step(0.01);
  return config;
}

TEST(Learner, MicroBatchesThreadsAndInstructionSetsGiveTheSameWeights) {
  for (const PolicyConfig& shape : {Moe(), testing::PolicyShapes(kVocab).back().second}) {
    std::string reference;
    const auto run = [&](int threads, cpu::Isa isa, int64_t max_tokens) {
      World world(threads, isa, shape);
      const std::vector<Group> groups = world.Sample();
      // One learner, so the second update continues the moments of the first. Its tokens are off
      // policy by then: comparing them would rightly stop it.
      Learner learner(&world.policy, Settings(max_tokens), world.stream);
      EXPECT_GT(learner.Update(SequencesOf(groups), {.lr = 1e-2}).check.tokens, 0);
      learner.Update(SequencesOf(groups), {.lr = 1e-2, .on_policy = false});
      EXPECT_EQ(learner.version(), 2u);
      return WeightsSha256(world.policy.weights());
    };
    const cpu::Isa best = cpu::AvailableIsas().front();
    reference = run(1, best, 1024);
    // Groups have 100 to 190 tokens: most of these cuts divide them, in many places.
    for (int64_t max_tokens : {1, 37, 61, 100, 130, 400, 100000}) {
      EXPECT_EQ(run(1, best, max_tokens), reference) << max_tokens;
    }
    EXPECT_EQ(run(2, best, 300), reference);
    EXPECT_EQ(run(3, best, 300), reference);
    for (cpu::Isa isa : cpu::AvailableIsas())
      EXPECT_EQ(run(2, isa, 300), reference) << cpu::NameOf(isa);
  }
}

// One completion of a group has no verdict and another no advantage, so the group has parts that
// train and parts that do not; a reference processes the former. Each prompt is computed once.
TEST(Learner, DividedGroupsOfWhichOnlySomeCompletionsTrainGiveTheSameUpdate) {
  for (const LossConfig::Kl kl : {LossConfig::NONE, LossConfig::K3}) {
    std::string weights;
    UpdateResult reference_result;
    for (int64_t max_tokens : {100000, 1, 37, 100, 250}) {
      SCOPED_TRACE(max_tokens);
      World world;
      std::vector<Group> groups = world.Sample();
      groups[2].mutable_scores(1)->set_status(reward::v1::ScoreResult::TIMEOUT);
      groups[3].set_advantages(2, 0);
      for (double& a : *groups[0].mutable_advantages()) a = 0;
      Config config = Settings(max_tokens);
      config.mutable_loss()->set_kl(kl);
      config.mutable_loss()->set_kl_beta(kl == LossConfig::NONE ? 0 : 0.1);
      Reference reference(world.policy, 0, world.stream);
      Learner learner(&world.policy, config, world.stream);
      const UpdateResult result =
          learner.Update(SequencesOf(groups), {.lr = 1e-2, .reference = &reference});
      EXPECT_EQ(result.check.total(), 0);
      int64_t computed = 0, sampled = 0;
      for (const Group& group : groups) {
        computed += group.prompt().ids_size() - 1;
        for (const Completion& c : group.completions()) sampled += c.ids_size();
      }
      EXPECT_EQ(result.tokens.forwarded, computed + sampled);
      EXPECT_EQ(result.check.tokens, sampled);
      if (weights.empty()) {
        weights = WeightsSha256(world.policy.weights());
        reference_result = result;
      }
      EXPECT_EQ(WeightsSha256(world.policy.weights()), weights);
      EXPECT_EQ(result.max_violation, reference_result.max_violation) << "experts count once";
      EXPECT_EQ(result.grad_norm, reference_result.grad_norm);
    }
  }
}

TEST(Learner, LearningRateZeroMovesNothing) {
  World world;
  const std::string before = WeightsSha256(world.policy.weights());
  const std::vector<Group> groups = world.Sample();
  Learner learner(&world.policy, Settings(), world.stream);
  const UpdateResult update = learner.Update(groups, 0);
  EXPECT_TRUE(update.updated);
  EXPECT_GT(update.grad_norm, 0);
  EXPECT_EQ(WeightsSha256(world.policy.weights()), before);
  std::vector<Group> again = world.Sample();
  for (size_t i = 0; i < groups.size(); ++i) {
    EXPECT_EQ(again[i].SerializeAsString(), groups[i].SerializeAsString());
  }
}

TEST(Learner, TheLossHasTheEntropyTermAndItsCheckSeesIt) {
  World world;
  const std::vector<Group> groups = world.Sample();
  const auto update = [&](double entropy) {
    Config config = Settings();
    config.mutable_loss()->set_entropy(entropy);
    return Learner(&world.policy, config, world.stream).Update(groups, 0);
  };
  const UpdateResult without = update(0);
  for (double entropy : {0.01, -0.5}) {
    const UpdateResult with = update(entropy);
    // Every completion is in the loss, so the weighted sum over the tokens is the mean.
    EXPECT_NEAR(with.loss, without.loss - entropy * without.entropy_mean, 1e-9) << entropy;
  }
  try {
    update(1e308);
    FAIL() << "an infinite loss was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(error.message().find("the loss is not finite"), std::string::npos) << error.message();
  }
}

TEST(Learner, GroupsWithoutSignalChangeNoBit) {
  // Backpropagating zero advantages explicitly gives the bits of leaving them out.
  World world;
  std::vector<Group> groups = world.Sample();
  for (auto& score : *groups[1].mutable_scores()) score.set_reward(0.5);
  AssignAdvantages({}, &groups[1]);
  ASSERT_TRUE(groups[1].no_signal());
  const std::vector<TrainSequence> all = SequencesOf(groups);
  std::vector<TrainSequence> signal;
  for (const TrainSequence& s : all) {
    if (s.signal) signal.push_back(s);
  }
  ASSERT_LT(signal.size(), all.size());
  const auto gradient = [&](const std::vector<TrainSequence>& sequences) {
    Optimizer optimizer(&world.policy.weights());
    optimizer.ClearGrads();
    PackedPass pass(&world.policy, world.stream);
    pass.Forward(sequences, SamplingRule{}, true);
    std::vector<double> upstream;
    for (const TrainSequence& s : sequences) {
      upstream.insert(upstream.end(), s.targets.size(), -s.advantage / 100);
    }
    pass.Backward(upstream, {}, optimizer.grad_tensors());
    return std::string(static_cast<const char*>(optimizer.grads().data()),
                       optimizer.grads().bytes());
  };
  EXPECT_TRUE(gradient(all) == gradient(signal));
}

TEST(Learner, NoSignalAtAllIsNoUpdate) {
  World world;
  std::vector<Group> groups = world.Sample();
  for (Group& group : groups) {
    for (auto& score : *group.mutable_scores()) score.set_reward(1);
    AssignAdvantages({}, &group);
  }
  const std::string before = WeightsSha256(world.policy.weights());
  Learner learner(&world.policy, Settings(), world.stream);
  const UpdateResult update = learner.Update(groups, 1e-2);
  EXPECT_FALSE(update.updated);
  EXPECT_GT(update.check.tokens, 0) << "tokens without signal are compared all the same";
  EXPECT_EQ(learner.version(), 0u);
  EXPECT_EQ(WeightsSha256(world.policy.weights()), before);
}

TEST(Learner, MaskedTruncatedRolloutsStayInTheirGroupAndLeaveTheLoss) {
  World world;
  const std::vector<Group> groups = world.Sample();
  std::vector<Group> by_hand = groups;  // the same advantages, truncated members without a verdict
  int64_t truncated = 0, ended = 0, in_loss = 0;
  for (Group& group : by_hand) {
    for (int i = 0; i < group.completions_size(); ++i) {
      const Completion& completion = group.completions(i);
      if (completion.finish_reason() != Completion::LENGTH) {
        ended += completion.ids_size();
        ++in_loss;
        continue;
      }
      truncated += completion.ids_size();
      group.mutable_scores(i)->set_status(reward::v1::ScoreResult::TIMEOUT);
      group.mutable_scores(i)->clear_reward();
    }
  }
  ASSERT_GT(truncated, 0);
  ASSERT_GT(ended, 0);
  const auto update = [&](const std::vector<Group>& on, LossConfig::Truncated rule) {
    World fresh;
    Config config = Settings();
    config.mutable_loss()->set_truncated(rule);
    Learner learner(&fresh.policy, config, fresh.stream);
    const UpdateResult result = learner.Update(on, 1e-2);
    return std::pair(result, WeightsSha256(fresh.policy.weights()));
  };
  const auto [masked, weights] = update(groups, LossConfig::MASK);
  EXPECT_EQ(masked.tokens.truncated, truncated);
  EXPECT_EQ(masked.tokens.in_loss, ended);
  EXPECT_EQ(masked.sequences, in_loss);
  EXPECT_EQ(masked.tokens.unscored, 0);
  EXPECT_EQ(masked.check.tokens, truncated + ended) << "every sampled token is compared";
  EXPECT_EQ(update(by_hand, LossConfig::KEEP).second, weights);
  const auto [kept, other] = update(groups, LossConfig::KEEP);
  EXPECT_EQ(kept.tokens.in_loss, truncated + ended);
  EXPECT_EQ(kept.tokens.truncated, 0);
  EXPECT_NE(other, weights);
}

// Runs an update that must stop, and returns its message; the weights must not have moved.
std::string Refusal(World* world, const std::vector<Group>& groups) {
  const std::string before = WeightsSha256(world->policy.weights());
  Learner learner(&world->policy, Settings(), world->stream);
  try {
    learner.Update(groups, 1e-2);
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.kind()), 1);
    EXPECT_EQ(WeightsSha256(world->policy.weights()), before);
    return error.message();
  }
  return "accepted";
}

TEST(Learner, OneFlippedBitOfOneLogProbStopsTheRun) {
  World world;
  std::vector<Group> groups = world.Sample();
  Completion* completion = groups[2].mutable_completions(3);
  const float old = completion->rollout_log_probs(5);
  completion->set_rollout_log_probs(5, std::bit_cast<float>(std::bit_cast<uint32_t>(old) ^ 1u));
  const std::string words = Refusal(&world, groups);
  const std::string rollout = "rollout=" + std::to_string(completion->rollout_id());
  EXPECT_NE(words.find(rollout), std::string::npos) << words;
  EXPECT_NE(words.find("position=" + std::to_string(64 + 5)), std::string::npos) << words;
  EXPECT_NE(words.find("log_prob_mismatches=1"), std::string::npos) << words;
}

TEST(Learner, OneOtherExpertStopsTheRun) {
  World world;
  std::vector<Group> groups = world.Sample();
  std::string* experts = groups[0].mutable_completions(1)->mutable_experts();
  (*experts)[3] = static_cast<char>(((*experts)[3] + 1) % 4);
  EXPECT_NE(Refusal(&world, groups).find("expert_mismatches=1"), std::string::npos);
}

TEST(Learner, AnotherKeptSetStopsTheRun) {
  World world;
  std::vector<Group> groups = world.Sample();
  Completion* completion = groups[1].mutable_completions(0);
  for (int i = 0; i < completion->ids_size(); ++i) completion->add_kept_sizes(i == 2 ? 5 : 0);
  const std::string words = Refusal(&world, groups);
  EXPECT_NE(words.find("kept_set_mismatches=1"), std::string::npos) << words;
  EXPECT_NE(words.find("sampler_kept_tokens=5 learner_kept_tokens=0"), std::string::npos) << words;
}

TEST(Learner, AnEntropyOutsideItsRangeIsCounted) {
  World world;
  const std::vector<Group> groups = world.Sample();
  const std::vector<TrainSequence> all = SequencesOf(groups);
  const std::vector<float> log_probs(all[0].completion->rollout_log_probs().begin(),
                                     all[0].completion->rollout_log_probs().end());
  std::vector<float> entropies(log_probs.size(), 1.0f);
  const std::vector<int32_t> kept(log_probs.size(), 0);
  const auto nonfinite = [&] {
    MismatchCounts counts;
    CompareSequence(
        all[0],
        {.log_probs = log_probs, .entropies = entropies, .kept_sizes = kept, .vocab_size = kVocab},
        &counts);
    EXPECT_EQ(counts.logprob_mismatch, 0);
    return counts.nonfinite;
  };
  EXPECT_EQ(nonfinite(), 0);
  for (float bad : {-0.01f, 4.9f, std::numeric_limits<float>::quiet_NaN()}) {  // log 123 = 4.81
    entropies.back() = bad;
    EXPECT_EQ(nonfinite(), 1) << bad;
  }
}

TEST(Learner, NanWeightsAreNamedByTheFirstTokenThatTheyReach) {
  World world;
  const std::vector<Group> groups = world.Sample();
  static_cast<float*>(world.policy.weights().tensors().final_norm.data)[3] =
      std::numeric_limits<float>::quiet_NaN();
  const std::vector<TrainSequence> sequences = SequencesOf(groups);
  const auto first = std::find_if(sequences.begin(), sequences.end(),
                                  [](const TrainSequence& s) { return s.signal; });
  ASSERT_NE(first, sequences.end());
  const std::string words = Refusal(&world, groups);
  EXPECT_NE(words.find("rollout=" + std::to_string(first->rollout_id) +
                       " position=" + std::to_string(first->targets[0]) + " log_prob=0x"),
            std::string::npos)
      << words;
  EXPECT_EQ(words.find("not_finite=0"), std::string::npos) << words;
}

TEST(Optimizer, NonFiniteGradientNamesTheTensorAndMovesNothing) {
  World world;
  Optimizer optimizer(&world.policy.weights());
  optimizer.ClearGrads();
  const Parameter& parameter = world.policy.weights().parameters()[3];
  static_cast<float*>(optimizer.grads().data())[parameter.offset + 2] =
      std::numeric_limits<float>::infinity();
  const std::string before = WeightsSha256(world.policy.weights());
  try {
    optimizer.Update(world.stream, {}, 1e-3);
    FAIL() << "an infinite gradient was applied";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(parameter.name + "[2]"), std::string::npos) << error.message();
  }
  EXPECT_EQ(WeightsSha256(world.policy.weights()), before);
}

// The report is the same for every number of threads and every instruction set.
TEST(Optimizer, AnUpdateThatSpoilsAWeightOrAMomentNamesItAndNothingCanBeSaved) {
  testing_support::TempFolder folder;
  struct Case {
    const char* spoiled;  // the words of the report
    int which;            // 0: the learning rate, 1: m, 2: v
    double lr;
  };
  for (const Case& c : {Case{"first=weight embedding[0] ", 0, 1e39},
                        Case{"first=weight layers.0.qkv[70] ", 1, 1e-2},
                        Case{"first=second moment layers.0.qkv[70] ", 2, 1e-2}}) {
    SCOPED_TRACE(c.spoiled);
    for (int threads : {1, 3}) {
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        World world(threads, isa);
        Optimizer optimizer(&world.policy.weights());
        optimizer.ClearGrads();
        const int64_t n = world.policy.weights().elements();
        for (int64_t i = 0; i < n; ++i) static_cast<float*>(optimizer.grads().data())[i] = 0.25f;
        const auto qkv = std::find_if(world.policy.weights().parameters().begin(),
                                      world.policy.weights().parameters().end(),
                                      [](const Parameter& p) { return p.name == "layers.0.qkv"; });
        ASSERT_NE(qkv, world.policy.weights().parameters().end());
        Buffer& moment = c.which == 1 ? optimizer.m() : optimizer.v();
        if (c.which != 0) {
          static_cast<float*>(moment.data())[qkv->offset + 70] =
              std::numeric_limits<float>::infinity();
        }
        try {
          optimizer.Update(world.stream, {}, c.lr);
          FAIL() << "the update was kept";
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kUser);
          EXPECT_NE(error.message().find(c.spoiled), std::string::npos) << error.message();
          EXPECT_NE(error.message().find("optimizer.lr"), std::string::npos) << error.message();
        }
        EXPECT_TRUE(optimizer.spoiled());
        const std::string checkpoint = JoinPath(folder.path(), "checkpoint");
        EXPECT_THROW(SaveCheckpoint(checkpoint, world.policy, &optimizer, {}), Error);
        EXPECT_FALSE(FolderExists(checkpoint));
        EXPECT_THROW(optimizer.Update(world.stream, {}, 1e-2), Error) << "it goes on all the same";
      }
    }
  }
}

TEST(Learner, SupervisedUpdatesLowerTheLoss) {
  World world;
  Config config = Settings();
  Learner learner(&world.policy, config, world.stream);
  std::vector<TrainSequence> batch(4);
  for (size_t i = 0; i < batch.size(); ++i) {
    batch[i].rollout_id = i;
    for (int t = 0; t < 12; ++t)
      batch[i].ids.push_back(static_cast<int32_t>((t * 7 + static_cast<int>(i)) % kVocab));
    for (int32_t t = 3; t < 12; ++t) batch[i].targets.push_back(t);
  }
  const double first = learner.UpdateSupervised(batch, 1e-2).loss;
  double last = first;
  for (int i = 0; i < 30; ++i) last = learner.UpdateSupervised(batch, 1e-2).loss;
  EXPECT_LT(last, first * 0.2);
  EXPECT_EQ(learner.version(), 31u);
}

}  // namespace
}  // namespace grouper
