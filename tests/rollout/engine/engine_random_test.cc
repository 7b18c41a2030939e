// The engine on random batches: the learner recomputes every bit, order and memory change none, and
// neither does what the blocks held before.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "policy/init.h"
#include "rl/learner/learner.h"
#include "rollout/engine/engine.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

struct Draws {
  uint64_t trial;
  uint32_t next = 0;
  int64_t In(int64_t least, int64_t most) {
    const uint32_t word = PhiloxAt(98, RandomStream::kTaskGeneration, trial, next++)[0];
    return least + static_cast<int64_t>(word % static_cast<uint64_t>(most - least + 1));
  }
};

// Dense, mixture, and a mixture with groups, in contexts that hold a split of 512.
std::vector<PolicyConfig> Shapes() {
  std::vector<PolicyConfig> shapes;
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) {
    shapes.push_back(config);
    shapes.back().set_max_positions(640);
  }
  return shapes;
}

RolloutConfig Rollout(const PolicyConfig& config, int64_t blocks, int64_t running,
                      int64_t prefill) {
  RolloutConfig rollout;
  rollout.set_kv_cache_bytes(blocks * KvCache::BlockBytes(config, DType::kFloat32));
  rollout.set_max_running(static_cast<int32_t>(running));
  rollout.set_prefill_tokens(prefill);
  return rollout;
}

std::string Bytes(const Group& group) { return group.SerializeAsString(); }

TEST(EngineRandom, LearnerEqualsEngineInAnyOrderUnderPreemption) {
  const std::vector<PolicyConfig> shapes = Shapes();
  const auto tokenizer = Tokenizer::Make("words");
  const int edges[] = {1, 63, 64, 65, 127, 129, 511, 512, 513};
  int64_t preemptions = 0, compared = 0;
  for (uint64_t trial = 0; trial < 16; ++trial) {
    SCOPED_TRACE(trial);
    Draws draws{trial};
    const PolicyConfig& config = shapes[trial % shapes.size()];
    cpu::ThreadPool pool(static_cast<int>(draws.In(1, 3)));
    Stream stream{cpu::AvailableIsas().front(), &pool};
    Policy policy(config, DType::kFloat32);
    InitRandom(trial, &policy.weights(), stream);
    // Two long prompts at the most: each costs as much as all others.
    std::vector<int> lengths = {edges[draws.In(6, 8)], edges[draws.In(1, 5)]};
    for (int64_t n = draws.In(1, 4); n > 0; --n) {
      lengths.push_back(draws.In(0, 1) == 0 ? edges[draws.In(0, 5)]
                                            : static_cast<int>(draws.In(1, 140)));
    }
    const std::vector<Prompt> prompts = testing::MakePrompts(lengths, kVocab);
    GenerateOptions options;
    options.group_size = draws.In(1, 4);
    options.max_new_tokens = draws.In(1, 70);
    options.seed = trial + 5;
    const double temperatures[] = {1, 0.6, 1.4};
    options.rule.temperature = temperatures[draws.In(0, 2)];
    if (draws.In(0, 1) == 0) options.rule.top_k = draws.In(1, 50);
    if (draws.In(0, 1) == 0) options.rule.top_p = 0.5 + 0.1 * static_cast<double>(draws.In(0, 4));
    if (draws.In(0, 1) == 0) options.rule.min_p = 0.02;

    Engine roomy(policy, *tokenizer, Rollout(config, 200, 256, 1024), stream);
    std::vector<Group> groups;
    ASSERT_TRUE(roomy.Generate(prompts, options, &groups));

    // The longest and one block more, prompts the other way round.
    int64_t longest = 0;
    for (int length : lengths) longest = std::max<int64_t>(longest, length);
    const int64_t least = KvCache::BlocksFor(longest + options.max_new_tokens) + 1;
    Engine tight(policy, *tokenizer,
                 Rollout(config, least, draws.In(2, 20), draws.In(0, 1) == 0 ? 33 : 700), stream);
    const std::vector<Prompt> reversed(prompts.rbegin(), prompts.rend());
    std::vector<Group> again;
    ASSERT_TRUE(tight.Generate(reversed, options, &again));
    for (size_t i = 0; i < groups.size(); ++i) {
      ASSERT_EQ(Bytes(groups[i]), Bytes(again[groups.size() - 1 - i])) << lengths[i];
    }
    preemptions += tight.stats().preemptions;

    testing::ScoreByIndex(&groups);
    Config run;
    run.mutable_sampling()->set_temperature(options.rule.temperature);
    run.mutable_sampling()->set_top_k(static_cast<int32_t>(options.rule.top_k));
    run.mutable_sampling()->set_top_p(options.rule.top_p);
    run.mutable_sampling()->set_min_p(options.rule.min_p);
    run.mutable_batch()->set_max_tokens_per_micro_batch(draws.In(1, 1500));
    Learner learner(&policy, run, stream);
    const UpdateResult update = learner.Update(groups, 1e-3);
    ASSERT_EQ(update.check.total(), 0) << update.check.first;
    ASSERT_EQ(update.check.tokens, roomy.stats().sampled_tokens);
    compared += update.check.tokens;
  }
  EXPECT_GT(preemptions, 5);
  EXPECT_GT(compared, 2000);
}

// Chunks of a sequence through a cache that held NaN everywhere and through a clean one.
TEST(EngineRandom, StaleNaNInTheCacheChangesNoBit) {
  for (const PolicyConfig& config : Shapes()) {
    Stream stream = {cpu::AvailableIsas().front(), nullptr};
    Policy policy(config, DType::kFloat32);
    InitRandom(3, &policy.weights(), stream);
    const int64_t tokens = 580;
    const auto logits_of = [&](bool spoilt, int64_t chunk) {
      KvCache cache(config, DType::kFloat32, 12 * KvCache::BlockBytes(config, DType::kFloat32));
      for (int64_t layer = 0; layer < config.layers() && spoilt; ++layer) {
        for (const Tensor& t : {cache.keys(layer), cache.values(layer)}) {
          std::fill_n(t.as<float>(), t.elements(), std::numeric_limits<float>::quiet_NaN());
        }
      }
      std::vector<int32_t> table;
      for (int i = 0; i < 10; ++i) table.push_back(spoilt ? 11 - i : i);
      Activations activations("test");
      std::vector<float> all;
      for (int64_t begin = 0; begin < tokens; begin += chunk) {
        const int64_t count = std::min(chunk, tokens - begin);
        std::vector<int32_t> ids, positions, sequence(static_cast<size_t>(count), 0), rows;
        for (int64_t t = 0; t < count; ++t) {
          ids.push_back(static_cast<int32_t>((begin + t) * 7 % kVocab));
          positions.push_back(static_cast<int32_t>(begin + t));
          rows.push_back(static_cast<int32_t>(t));
        }
        const auto vector = [&](std::vector<int32_t>& v) {
          return Tensor::Vector(v.data(), DType::kInt32, static_cast<int64_t>(v.size()));
        };
        policy.Forward(stream,
                       {.ids = vector(ids),
                        .positions = vector(positions),
                        .sequence = vector(sequence),
                        .block_table = Tensor::Matrix(table.data(), DType::kInt32, 1, 10),
                        .logit_rows = vector(rows),
                        .given_experts = {}},
                       &cache, &activations);
        const float* logits = activations.logits.as<float>();
        all.insert(all.end(), logits, logits + count * kVocab);
      }
      return all;
    };
    const std::vector<float> clean = logits_of(false, tokens);
    for (int64_t chunk : {tokens, int64_t{1}, int64_t{100}}) {
      const std::vector<float> spoilt = logits_of(true, chunk);
      ASSERT_EQ(spoilt.size(), clean.size());
      EXPECT_EQ(0, std::memcmp(spoilt.data(), clean.data(), clean.size() * sizeof(float)))
          << "chunks of " << chunk;
    }
  }
}

// Damaged weights fill the blocks with NaN and end the run in words; the same engine then gives
// what a fresh one gives.
TEST(EngineRandom, BlocksOfARunThatFailedAreUsedAgain) {
  const auto tokenizer = Tokenizer::Make("words");
  const std::vector<Prompt> prompts = testing::MakePrompts({129, 40, 200, 64, 65, 100}, kVocab);
  GenerateOptions options;
  options.group_size = 3;
  options.max_new_tokens = 30;
  for (const PolicyConfig& config : Shapes()) {
    Stream stream = {cpu::AvailableIsas().front(), nullptr};
    Policy policy(config, DType::kFloat32);
    InitRandom(3, &policy.weights(), stream);
    const RolloutConfig rollout = Rollout(config, 16, 8, 4096);
    std::vector<Group> expected, groups;
    Engine fresh(policy, *tokenizer, rollout, stream);
    ASSERT_TRUE(fresh.Generate(prompts, options, &expected));

    Engine engine(policy, *tokenizer, rollout, stream);
    const Tensor table = config.tied_head() ? policy.weights().transposed().head
                                            : policy.weights().tensors().embedding;
    const std::vector<float> kept(table.as<float>(), table.as<float>() + table.elements());
    std::fill_n(table.as<float>(), table.elements(), std::numeric_limits<float>::quiet_NaN());
    try {
      engine.Generate(prompts, options, &groups);
      FAIL() << "weights of NaN were sampled from";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      EXPECT_NE(error.message().find("not finite"), std::string::npos) << error.message();
    }
    std::copy(kept.begin(), kept.end(), table.as<float>());
    ASSERT_TRUE(engine.Generate(prompts, options, &groups));
    for (size_t i = 0; i < groups.size(); ++i) EXPECT_EQ(Bytes(groups[i]), Bytes(expected[i]));
    // A stop leaves the engine usable too.
    std::stop_source stop;
    stop.request_stop();
    EXPECT_FALSE(engine.Generate(prompts, options, &groups, stop.get_token()));
    ASSERT_TRUE(engine.Generate(prompts, options, &groups));
    EXPECT_EQ(Bytes(groups[2]), Bytes(expected[2]));
  }
}

}  // namespace
}  // namespace grouper
