// What the engine samples does not depend on how it was batched, and the learner recomputes it bit
// for bit.
#include "rollout/engine/engine.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/task_list.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "rl/learner/learner.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 123;

struct Setting {
  cpu::Isa isa = cpu::AvailableIsas().front();
  int threads = 1;
  int64_t kv_blocks = 200;
  int64_t max_running = 256;
  int64_t prefill_tokens = 1024;
};

std::vector<Group> Sample(const PolicyConfig& config, const Setting& setting,
                          const std::vector<Prompt>& prompts, const GenerateOptions& options,
                          GeneratorStats* stats = nullptr) {
  std::unique_ptr<cpu::ThreadPool> pool;
  if (setting.threads > 1) pool = std::make_unique<cpu::ThreadPool>(setting.threads);
  Stream stream{setting.isa, pool.get()};
  Policy policy(config, DType::kFloat32);
  InitRandom(9, &policy.weights(), stream);
  const auto tokenizer = Tokenizer::Make("words");
  RolloutConfig rollout;
  rollout.set_kv_cache_bytes(setting.kv_blocks * KvCache::BlockBytes(config, DType::kFloat32));
  rollout.set_max_running(static_cast<int32_t>(setting.max_running));
  rollout.set_prefill_tokens(setting.prefill_tokens);
  Engine engine(policy, *tokenizer, rollout, stream);
  std::vector<Group> groups;
  EXPECT_TRUE(engine.Generate(prompts, options, &groups));
  if (stats != nullptr) *stats = engine.stats();
  return groups;
}

std::string Bytes(const std::vector<Group>& groups) {
  std::string bytes;
  for (const Group& group : groups) bytes += group.SerializeAsString() + "|";
  return bytes;
}

TEST(Engine, ResultsDoNotDependOnBatchingThreadsMemoryOrInstructionSet) {
  const std::vector<Prompt> prompts =
      testing::MakePrompts({1, 2, 30, 64, 65, 66, 100, 128, 129}, kVocab);
  GenerateOptions options;
  options.group_size = 5;
  options.max_new_tokens = 70;
  options.rule.temperature = 0.9;
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) {
    const std::string reference = Bytes(Sample(config, {}, prompts, options));
    GeneratorStats tight;
    for (const Setting& setting : std::vector<Setting>{{.threads = 2},
                                                       {.threads = 3, .prefill_tokens = 7},
                                                       {.max_running = 3},
                                                       {.max_running = 1, .prefill_tokens = 1}}) {
      EXPECT_EQ(Bytes(Sample(config, setting, prompts, options)), reference) << name;
    }
    EXPECT_EQ(Bytes(Sample(config, {.threads = 2, .kv_blocks = 9, .prefill_tokens = 50}, prompts,
                           options, &tight)),
              reference)
        << name;
    EXPECT_GT(tight.preemptions, 0) << "the tight cache must preempt";
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      EXPECT_EQ(Bytes(Sample(config, {.isa = isa}, prompts, options)), reference)
          << name << " " << cpu::NameOf(isa);
    }
  }
}

TEST(Engine, APromptAloneGivesWhatItGivesInABatch) {
  const auto shapes = testing::PolicyShapes(kVocab);
  const std::vector<Prompt> prompts = testing::MakePrompts({12, 40, 90}, kVocab);
  GenerateOptions options;
  options.group_size = 3;
  options.max_new_tokens = 40;
  const std::vector<Group> together = Sample(shapes[1].second, {}, prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::vector<Group> alone = Sample(shapes[1].second, {}, {prompts[i]}, options);
    EXPECT_EQ(alone[0].SerializeAsString(), together[i].SerializeAsString());
  }
}

TEST(Engine, LearnerRecomputesEveryTokenAndExpertBitForBit) {
  const std::vector<Prompt> prompts = testing::MakePrompts({1, 5, 63, 64, 65, 120}, kVocab);
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) {
    for (const SamplingRule& rule : std::vector<SamplingRule>{
             {},
             {.temperature = 0.7},
             {.temperature = 1.3, .top_k = 20, .top_p = 0.9, .min_p = 0.01}}) {
      cpu::ThreadPool pool(2);
      Stream stream{cpu::AvailableIsas().front(), &pool};
      Policy policy(config, DType::kFloat32);
      InitRandom(9, &policy.weights(), stream);
      const auto tokenizer = Tokenizer::Make("words");
      Engine engine(policy, *tokenizer, RolloutConfig(), stream);
      GenerateOptions options;
      options.group_size = 4;
      options.max_new_tokens = 70;
      options.rule = rule;
      std::vector<Group> groups;
      ASSERT_TRUE(engine.Generate(prompts, options, &groups));
      for (const Group& group : groups) {
        for (const Completion& c : group.completions()) {
          EXPECT_EQ(c.kept_sizes_size(), rule.filtered() ? c.ids_size() : 0);
          for (uint32_t size : c.kept_sizes()) EXPECT_TRUE(size >= 1 && size <= 20);
        }
      }
      testing::ScoreByIndex(&groups);
      Config run;
      run.mutable_sampling()->set_temperature(rule.temperature);
      run.mutable_sampling()->set_top_k(static_cast<int32_t>(rule.top_k));
      run.mutable_sampling()->set_top_p(rule.top_p);
      run.mutable_sampling()->set_min_p(rule.min_p);
      run.mutable_batch()->set_max_tokens_per_micro_batch(150);
      Learner learner(&policy, run, stream);
      const UpdateResult update = learner.Update(groups, 1e-3);
      EXPECT_EQ(update.check.total(), 0) << name << ": " << update.check.first;
      EXPECT_EQ(update.check.tokens, engine.stats().sampled_tokens) << name;
      EXPECT_TRUE(update.updated);
    }
  }
}

// The tail: fewer sequences than threads, each over several splits of 512 keys. Threads share the
// splits while sampling, and the rows and blocks of keys while training.
TEST(Engine, ThreadsThatShareALongTailChangeNoBit) {
  PolicyConfig config = testing::PolicyShapes(kVocab)[1].second;
  config.set_max_positions(2048);
  const std::vector<Prompt> prompts = testing::MakePrompts({1100, 520}, kVocab);
  GenerateOptions options;
  options.group_size = 2;
  options.max_new_tokens = 12;
  std::string completions, weights;
  for (const int threads : {1, 2, 7}) {
    SCOPED_TRACE(threads);
    cpu::ThreadPool pool(threads);
    Stream stream{cpu::AvailableIsas().front(), threads > 1 ? &pool : nullptr};
    Policy policy(config, DType::kFloat32);
    InitRandom(9, &policy.weights(), stream);
    const auto tokenizer = Tokenizer::Make("words");
    Engine engine(policy, *tokenizer, RolloutConfig(), stream);
    std::vector<Group> groups;
    ASSERT_TRUE(engine.Generate(prompts, options, &groups));
    const std::string bytes = Bytes(groups);
    testing::ScoreByIndex(&groups);
    Learner learner(&policy, Config(), stream);
    const UpdateResult update = learner.Update(groups, 1e-3);
    EXPECT_EQ(update.check.total(), 0) << update.check.first;
    EXPECT_TRUE(update.updated);
    if (completions.empty()) {
      completions = bytes;
      weights = WeightsSha256(policy.weights());
    }
    EXPECT_EQ(bytes, completions);
    EXPECT_EQ(WeightsSha256(policy.weights()), weights);
  }
  EXPECT_GT(AttentionScratch(7, 4, 1100, config.attention().heads(), 2, 8), 0)
      << "seven threads share no splits of four rows";
  EXPECT_FALSE(cpu::FuseBackward(2, 2, 7));
}

TEST(Engine, StopsAtTheEndTokenAndAtTheCap) {
  const auto config = testing::PolicyShapes(kVocab)[1].second;
  GenerateOptions options;
  options.group_size = 8;
  options.max_new_tokens = 100;
  const auto tokenizer = Tokenizer::Make("words");
  int stopped = 0, cut = 0;
  for (const Group& group : Sample(config, {}, testing::MakePrompts({4, 9}, kVocab), options)) {
    for (const Completion& c : group.completions()) {
      const bool ended = static_cast<int32_t>(c.ids(c.ids_size() - 1)) == tokenizer->eos();
      EXPECT_EQ(ended, c.finish_reason() == Completion::STOP);
      EXPECT_TRUE(ended || c.ids_size() == 100);
      (ended ? stopped : cut) += 1;
      ASSERT_EQ(c.ids_size(), c.text_ends_size());
      std::string text;
      for (int i = 0; i < c.ids_size(); ++i) {
        if (!(ended && i + 1 == c.ids_size())) {
          text += tokenizer->Bytes(static_cast<int32_t>(c.ids(i)));
        }
        EXPECT_EQ(c.text_ends(i), text.size());
      }
      EXPECT_EQ(c.text(), text);
    }
  }
  EXPECT_GT(stopped, 0);
  EXPECT_GT(cut, 0);
}

TEST(Engine, FurtherStopTokensCutTheSameCompletionsEarlier) {
  const auto config = testing::PolicyShapes(kVocab)[1].second;
  const auto tokenizer = Tokenizer::Make("words");
  SamplingConfig sampling;
  sampling.add_stop_tokens("+");
  sampling.add_stop_tokens("</think>");
  GenerateOptions options;
  options.group_size = 8;
  options.max_new_tokens = 60;
  const auto prompts = testing::MakePrompts({4, 9}, kVocab);
  const std::vector<Group> whole = Sample(config, {}, prompts, options);
  options.stop_ids = StopIdsOf(sampling, *tokenizer);
  const std::vector<Group> cut = Sample(config, {}, prompts, options);
  int stopped = 0;
  for (size_t g = 0; g < cut.size(); ++g) {
    for (int m = 0; m < cut[g].completions_size(); ++m) {
      const Completion &c = cut[g].completions(m), &w = whole[g].completions(m);
      ASSERT_LE(c.ids_size(), w.ids_size());
      for (int i = 0; i < c.ids_size(); ++i) {
        EXPECT_EQ(c.ids(i), w.ids(i));
        const std::string_view piece = tokenizer->Bytes(static_cast<int32_t>(c.ids(i)));
        EXPECT_EQ(piece == "+" || piece == "</think>",
                  i + 1 == c.ids_size() && c.ids_size() < w.ids_size());
      }
      if (c.ids_size() == w.ids_size()) continue;
      ++stopped;
      EXPECT_EQ(c.finish_reason(), Completion::STOP);
      EXPECT_EQ(c.text(), w.text().substr(0, w.text_ends(c.ids_size() - 1)));
    }
  }
  EXPECT_GT(stopped, 3);
  sampling.add_stop_tokens("1+");
  EXPECT_THROW(StopIdsOf(sampling, *tokenizer), Error);
}

TEST(Engine, HandsOutEveryGroupOnceWhenItIsComplete) {
  const auto config = testing::PolicyShapes(kVocab)[1].second;
  const std::vector<Prompt> prompts = testing::MakePrompts({3, 40, 1, 90, 7}, kVocab);
  for (const Setting& setting : std::vector<Setting>{{}, {.threads = 2, .kv_blocks = 9}}) {
    GenerateOptions options;
    options.group_size = 4;
    options.max_new_tokens = 50;
    std::vector<std::string> handed(prompts.size());
    options.on_group = [&](size_t place, const Group& group) {
      EXPECT_EQ(handed.at(place), "") << "twice";
      handed[place] = group.SerializeAsString();
    };
    const std::vector<Group> groups = Sample(config, setting, prompts, options);
    for (size_t i = 0; i < groups.size(); ++i) {
      EXPECT_EQ(handed[i], groups[i].SerializeAsString()) << "nothing may change behind it";
    }
  }
}

TEST(Engine, RefusesWhatCannotFit) {
  const auto config = testing::PolicyShapes(kVocab)[0].second;
  GenerateOptions options;
  options.max_new_tokens = 10;
  EXPECT_THROW(Sample(config, {}, testing::MakePrompts({250}, kVocab), options), Error);
  EXPECT_THROW(Sample(config, {.kv_blocks = 1}, testing::MakePrompts({100}, kVocab), options),
               Error);
}

}  // namespace
}  // namespace grouper
