#include "bench/long_sequences.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "kernels/attention/attention.h"
#include "policy/init.h"
#include "rl/learner/learner.h"
#include "rollout/engine/engine.h"

namespace grouper::bench {
namespace {

constexpr int64_t kPrompts = 2, kPromptTokens = 512, kSamples = 16, kNewTokens = 64;
// The tail: decoded after a prompt; and a sequence that is trained on.
constexpr int64_t kTailPrompt = 8160, kTailTokens = 64, kTrained = 4096;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Prompt RandomPrompt(size_t ordinal, int64_t tokens, int64_t vocab) {
  Prompt prompt;
  prompt.set_ordinal(ordinal);
  for (uint32_t t = 0; t < tokens; ++t) {
    const PhiloxWords words = PhiloxAt(1, RandomStream::kDataOrder, ordinal, t);
    prompt.add_ids(3 + words[0] % static_cast<uint32_t>(vocab - 3));
  }
  return prompt;
}

// Every completion has a reward of its own, so all are trained on.
void GiveAdvantages(std::vector<Group>* groups) {
  for (Group& group : *groups) {
    for (int i = 0; i < group.completions_size(); ++i) {
      group.add_scores()->set_status(reward::v1::ScoreResult::SCORED);
      group.add_advantages(i % 2 == 0 ? 1 : -1);
    }
  }
}

}  // namespace

PromptStep MeasurePromptStep(const PolicyCase& policy, int rounds, Stream& stream) {
  Config config;
  *config.mutable_policy() = policy.config;
  config.mutable_policy()->set_max_positions(kPromptTokens + kNewTokens);
  config.mutable_batch()->set_max_tokens_per_micro_batch(4096);
  Policy weights(config.policy(), DType::kFloat32);
  InitRandom(1, &weights.weights(), stream);
  const int64_t blocks =
      kPrompts * (kSamples * 2 + KvCache::BlocksFor(kPromptTokens + kNewTokens) + 1);
  RolloutConfig rollout;
  rollout.set_kv_cache_bytes(2 * blocks * KvCache::BlockBytes(config.policy(), DType::kFloat32));
  const auto tokenizer = Tokenizer::Numbers(config.policy().vocab_size());
  Engine engine(weights, *tokenizer, rollout, stream);
  Learner learner(&weights, config, stream);
  GenerateOptions options;
  options.group_size = kSamples;
  options.max_new_tokens = kNewTokens;

  std::vector<Prompt> prompts;
  for (size_t i = 0; i < kPrompts; ++i) {
    prompts.push_back(RandomPrompt(i, kPromptTokens, config.policy().vocab_size()));
  }
  PromptStep result;
  std::vector<double> generate, shared, whole;
  for (int round = 0; round <= rounds; ++round) {  // the first one only warms up
    std::vector<Group> groups;
    double begin = Now();
    engine.Generate(prompts, options, &groups);
    if (round > 0) generate.push_back(Now() - begin);
    GiveAdvantages(&groups);
    const std::vector<TrainSequence> sequences = SequencesOf(groups);
    std::vector<TrainSequence> copies = sequences;
    int64_t sampled = 0;
    for (TrainSequence& s : copies) {
      s.shared_tokens = 0;
      sampled += s.completion->ids_size();
    }
    result.mean_new_tokens = static_cast<double>(sampled) / static_cast<double>(copies.size());
    // A learning rate of 0 leaves the weights as they are, so every round does the same work and
    // every token is compared.
    begin = Now();
    result.shared_tokens = learner.Update(sequences, {.lr = 0}).tokens.forwarded;
    if (round > 0) shared.push_back(Now() - begin);
    begin = Now();
    result.whole_tokens = learner.Update(copies, {.lr = 0}).tokens.forwarded;
    if (round > 0) whole.push_back(Now() - begin);
  }
  result.generate = Median(generate);
  result.train_shared = Median(shared);
  result.train_whole = Median(whole);
  return result;
}

namespace {

void MeasureTailAttention(const PolicyConfig& config, Stream& stream, TailStep* result) {
  const AttentionConfig& a = config.attention();
  const int64_t blocks = KvCache::BlocksFor(kTailPrompt), width = a.heads() * a.head_dim();
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  Arena arena("bench");
  const auto real = [&](const Tensor& t) {
    for (int64_t i = 0; i < t.elements(); ++i) {
      t.as<float>()[i] = static_cast<float>(i * 7919 % 1000) * 1e-3f - 0.5f;
    }
    return t;
  };
  const auto ints = [&](int64_t n) { return arena.Vector("ints", DType::kInt32, n); };
  const DType f = DType::kFloat32;
  AttentionArgs args{.q = real(arena.Matrix("q", f, 1, width)),
                     .sequence = ints(1),
                     .positions = ints(1),
                     .block_table = arena.Matrix("table", DType::kInt32, 1, blocks),
                     .k_cache = real(arena.Block("k", f, blocks, a.kv_heads(), a.head_dim(), 64)),
                     .v_cache = real(arena.Block("v", f, blocks, a.kv_heads(), 64, a.head_dim())),
                     .out = arena.Matrix("out", f, 1, width),
                     .max_and_sum = {},
                     .splits = arena.Vector("splits", f,
                                            AttentionScratch(threads, 1, kTailPrompt, a.heads(),
                                                             a.kv_heads(), a.head_dim())),
                     .heads = a.heads(),
                     .scale = 0.1};
  args.sequence.as<int32_t>()[0] = 0;
  args.positions.as<int32_t>()[0] = kTailPrompt - 1;
  for (int32_t b = 0; b < blocks; ++b) args.block_table.as<int32_t>()[b] = b;
  Stream serial{stream.isa, nullptr};
  result->attention_one_thread = result->attention_shared = 1e30;
  // Several calls in a row, as the pool's threads sleep when they have nothing to do.
  for (int i = 0; i < 200; ++i) {
    for (const bool shared : {false, true}) {
      double* least = shared ? &result->attention_shared : &result->attention_one_thread;
      for (int call = 0; call < 20; ++call) {
        const double begin = Now();
        Attention(shared ? stream : serial, args);
        *least = std::min(*least, Now() - begin);
      }
    }
  }
}

}  // namespace

TailStep MeasureTail(const PolicyCase& policy, int rounds, Stream& stream) {
  Config config;
  *config.mutable_policy() = policy.config;
  config.mutable_policy()->set_max_positions(kTailPrompt + kTailTokens);
  Policy weights(config.policy(), DType::kFloat32);
  InitRandom(1, &weights.weights(), stream);
  const Prompt prompt = RandomPrompt(0, kTailPrompt, policy.config.vocab_size());
  TrainSequence sequence;
  sequence.ids.assign(prompt.ids().begin(), prompt.ids().begin() + kTrained);
  for (int32_t t = kTrained - kTailTokens; t < kTrained; ++t) sequence.targets.push_back(t);

  TailStep result;
  std::vector<double> tokens, updates;
  {
    RolloutConfig rollout;
    rollout.set_kv_cache_bytes((KvCache::BlocksFor(kTailPrompt + kTailTokens) + 8) * 2 *
                               KvCache::BlockBytes(config.policy(), DType::kFloat32));
    const auto tokenizer = Tokenizer::Numbers(config.policy().vocab_size());
    Engine engine(weights, *tokenizer, rollout, stream);
    GenerateOptions options;
    options.group_size = 1;
    options.max_new_tokens = kTailTokens;
    double last = 0;
    options.on_token = [&](const Completion& completion) {
      const double now = Now();
      if (completion.ids_size() > 1) tokens.push_back(now - last);
      last = now;
    };
    std::vector<Group> groups;
    for (int round = 0; round < rounds; ++round) engine.Generate({&prompt, 1}, options, &groups);
  }
  Learner learner(&weights, config, stream);
  for (int round = 0; round <= rounds; ++round) {  // the first one only warms up
    const double begin = Now();
    learner.UpdateSupervised({&sequence, 1}, 1e-6);
    if (round > 0) updates.push_back(Now() - begin);
  }
  MeasureTailAttention(config.policy(), stream, &result);
  result.token = *std::min_element(tokens.begin(), tokens.end());
  result.update = *std::min_element(updates.begin(), updates.end());
  return result;
}

}  // namespace grouper::bench
