// Routing replay: a pass with the sampler's recorded experts is the live pass while the weights
// stand still, and keeps the record's experts when they have moved.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "base/error.h"
#include "policy/init.h"
#include "proto/expert_ids.h"
#include "rl/learner/learner.h"
#include "rollout/engine/engine.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

struct World {
  explicit World(const PolicyConfig& config)
      : stream{cpu::AvailableIsas().front(), nullptr}, policy(config, DType::kFloat32) {
    InitRandom(4, &policy.weights(), stream);
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy, *tokenizer, RolloutConfig(), stream);
    GenerateOptions options;
    options.group_size = 4;
    options.max_new_tokens = 30;
    // A prompt of one token has no experts of its own: its position stands in the completions.
    engine.Generate(testing::MakePrompts({1, 20, 64, 70}, kVocab), options, &groups);
    testing::ScoreByIndex(&groups);
  }
  void MoveWeights() {
    Learner learner(&policy, Config(), stream);
    ASSERT_TRUE(learner.Update(groups, 2e-2).updated);
  }
  Stream stream;
  Policy policy;
  std::vector<Group> groups;
};

// Dense, every layer of experts, experts above a dense layer, tied head, and more experts than one
// byte can number.
std::vector<PolicyConfig> Shapes() {
  std::vector<PolicyConfig> shapes;
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) shapes.push_back(config);
  shapes.push_back(testing::ParsePolicy(
      "vocab_size: " + std::to_string(kVocab) +
      " max_positions: 256 width: 24 layers: 2 attention { heads: 4 kv_heads: 2 head_dim: 8 } "
      "moe { experts: 384 experts_per_token: 6 width: 8 shared_width: 8 }"));
  return shapes;
}

std::vector<float> LogProbs(PackedPass* pass, std::span<const TrainSequence> sequences,
                            Routing routing) {
  pass->Forward(sequences, SamplingRule{}, false, routing);
  return {pass->log_probs().begin(), pass->log_probs().end()};
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Experts of the last pass that are not the recorded ones, by the written layout.
int64_t OtherExperts(const PackedPass& pass, const std::vector<TrainSequence>& sequences,
                     const PolicyConfig& config) {
  const int64_t k = config.moe().experts_per_token(), per_token = k * MoeLayers(config);
  int64_t others = 0, tokens = 0, expected = 0;
  for (const ComputedTokens& computed : pass.computed()) {
    const TrainSequence& s = *computed.sequence;
    const std::string bytes = s.group->prompt_experts() + s.completion->experts();
    const ExpertIds record(bytes, s.completion->expert_id_bytes());
    EXPECT_EQ(record.size(), static_cast<size_t>(s.input_tokens() * per_token));
    tokens += computed.tokens;
    for (int64_t i = 0; i < computed.tokens; ++i) {
      size_t next = static_cast<size_t>((computed.first_token + i) * per_token);
      for (const LayerActivations& layer : computed.activations->layers) {
        for (int64_t slot = 0; slot < (layer.experts.empty() ? 0 : k); ++slot) {
          others +=
              layer.experts.as<int32_t>()[(computed.first_row + i) * k + slot] != record[next++];
        }
      }
    }
  }
  // Each prompt once.
  std::set<const Group*> groups;
  for (const TrainSequence& s : sequences) {
    expected += s.own_tokens() + (groups.insert(s.group).second ? s.shared_tokens : 0);
  }
  EXPECT_EQ(tokens, expected);
  return others;
}

TEST(RoutingReplay, MoreThan256ExpertsAreRecordedInTwoBytes) {
  World world(Shapes().back());
  int64_t above_a_byte = 0;
  for (const Group& group : world.groups) {
    for (const Completion& completion : group.completions()) {
      const ExpertIds ids(completion.experts(), completion.expert_id_bytes());
      ASSERT_EQ(ids.size(), static_cast<size_t>(completion.ids_size()) * 2 * 6);
      for (size_t i = 0; i < ids.size(); ++i) above_a_byte += ids[i] > 255;
    }
  }
  EXPECT_GT(above_a_byte, 0);
}

TEST(RoutingReplay, IsTheLivePassAndTheRecordWhileTheWeightsStandStill) {
  for (const PolicyConfig& shape : Shapes()) {
    SCOPED_TRACE(shape.ShortDebugString());
    World world(shape);
    const std::vector<TrainSequence> sequences = SequencesOf(world.groups);
    std::vector<float> recorded;
    for (const TrainSequence& s : sequences) {
      const auto& own = s.completion->rollout_log_probs();
      recorded.insert(recorded.end(), own.begin(), own.end());
    }
    PackedPass pass(&world.policy, world.stream);
    EXPECT_TRUE(SameBits(LogProbs(&pass, sequences, Routing::kReplay), recorded));
    EXPECT_EQ(OtherExperts(pass, sequences, shape), 0);
    EXPECT_TRUE(SameBits(LogProbs(&pass, sequences, Routing::kLive), recorded));
  }
}

TEST(RoutingReplay, KeepsTheRecordedExpertsWhenTheWeightsHaveMoved) {
  for (const PolicyConfig& shape : Shapes()) {
    SCOPED_TRACE(shape.ShortDebugString());
    World world(shape);
    world.MoveWeights();
    const std::vector<TrainSequence> sequences = SequencesOf(world.groups);
    PackedPass pass(&world.policy, world.stream);
    const std::vector<float> live = LogProbs(&pass, sequences, Routing::kLive);
    const int64_t turned = OtherExperts(pass, sequences, shape);
    const std::vector<float> replayed = LogProbs(&pass, sequences, Routing::kReplay);
    EXPECT_EQ(OtherExperts(pass, sequences, shape), 0);
    if (shape.moe().experts() == 0) {
      EXPECT_TRUE(SameBits(replayed, live)) << "nothing to replay";
      continue;
    }
    EXPECT_GT(turned, 0) << "the update turned no choice: the test shows nothing";
    EXPECT_FALSE(SameBits(replayed, live));
    EXPECT_TRUE(SameBits(LogProbs(&pass, sequences, Routing::kLive), live))
        << "experts given to one pass are still there in the next";
    // Packing changes no bit.
    std::vector<float> alone;
    for (const TrainSequence& s : sequences) {
      const std::vector<float> own = LogProbs(&pass, {&s, 1}, Routing::kReplay);
      alone.insert(alone.end(), own.begin(), own.end());
    }
    EXPECT_TRUE(SameBits(alone, replayed));
  }
}

std::string Refusal(const World& world, std::span<const TrainSequence> sequences) {
  PackedPass pass(&world.policy, world.stream);
  try {
    pass.Forward(sequences, SamplingRule{}, false, Routing::kReplay);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    return error.message();
  }
  return "accepted";
}

TEST(RoutingReplay, ARecordThatIsMissingOrShortIsRefusedByRollout) {
  World world(Shapes()[1]);
  const std::vector<Group> whole = world.groups;
  const Completion& completion = whole[1].completions(2);
  const std::string rollout = std::to_string(completion.rollout_id());
  const auto refusal = [&] { return Refusal(world, SequencesOf(world.groups)); };
  EXPECT_EQ(refusal(), "accepted");

  // Two layers of two slots, 19 positions of the prompt.
  const std::string bytes = std::to_string(completion.experts().size());
  world.groups[1].mutable_completions(2)->clear_experts();
  EXPECT_NE(refusal().find("rollout=" + rollout +
                           " prompt_ids=76 expected_prompt_ids=76 completion_ids=0 "
                           "expected_completion_ids=" +
                           bytes),
            std::string::npos)
      << refusal();
  world.groups[1].mutable_completions(2)->set_experts(completion.experts() + '\0');
  EXPECT_NE(refusal().find("rollout=" + rollout + " "), std::string::npos) << refusal();

  world.groups = whole;
  world.groups[1].mutable_prompt_experts()->pop_back();
  EXPECT_NE(refusal().find("prompt_ids=75 expected_prompt_ids=76 "), std::string::npos)
      << refusal();

  world.groups = whole;
  world.groups[1].mutable_completions(2)->mutable_experts()->back() = '\4';
  EXPECT_NE(refusal().find("given experts hold an id that does not exist"), std::string::npos)
      << refusal();

  TrainSequence supervised;
  supervised.rollout_id = 77;
  supervised.ids = {1, 2, 3};
  supervised.targets = {2};
  const std::string words = Refusal(world, {&supervised, 1});
  EXPECT_NE(words.find("without a record"), std::string::npos) << words;
  EXPECT_NE(words.find("77"), std::string::npos) << words;
}

}  // namespace
}  // namespace grouper
