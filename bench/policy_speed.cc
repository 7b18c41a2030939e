#include "bench/policy_speed.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "bench/machine_peak.h"
#include "kernels/dispatch.h"
#include "policy/init.h"
#include "proto/textproto.h"
#include "rl/learner/learner.h"
#include "rollout/engine/engine.h"

namespace grouper::bench {
namespace {

constexpr int64_t kPromptTokens = 16;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

PolicyConfig Parse(const std::string& text) {
  PolicyConfig config;
  MergeTextproto(text, "bench policy", &config);
  return config;
}

int32_t RandomId(int64_t vocab, uint64_t object, uint32_t element) {
  const PhiloxWords words = PhiloxAt(1, RandomStream::kDataOrder, object, element);
  return static_cast<int32_t>(3 + words[0] % static_cast<uint32_t>(vocab - 3));
}

std::vector<TrainSequence> TrainBatch(const PolicyCase& policy) {
  std::vector<TrainSequence> sequences(static_cast<size_t>(policy.sequences));
  for (size_t s = 0; s < sequences.size(); ++s) {
    sequences[s].rollout_id = s;
    for (int64_t t = 0; t <= policy.tokens; ++t) {
      sequences[s].ids.push_back(RandomId(policy.config.vocab_size(), s, static_cast<uint32_t>(t)));
      if (t > 0) sequences[s].targets.push_back(static_cast<int32_t>(t));
    }
  }
  return sequences;
}

// Seconds inside each operator so far.
std::map<std::string, double> OpSeconds() {
  std::map<std::string, double> seconds;
  for (const OpTotal& op : OpTotals()) seconds[op.name] = op.seconds;
  return seconds;
}

bool IsProduct(const std::string& op) { return op.find("Matmul") != std::string::npos; }

void MeasureTraining(const PolicyCase& policy, int rounds, int64_t micro_batch, Policy* weights,
                     Stream& stream, PolicySpeed* speed) {
  Config config;
  *config.mutable_policy() = policy.config;
  config.mutable_batch()->set_max_tokens_per_micro_batch(
      micro_batch > 0 ? micro_batch : policy.tokens * policy.sequences);
  Learner learner(weights, config, stream);
  const std::vector<TrainSequence> batch = TrainBatch(policy);
  learner.UpdateSupervised(batch, 1e-4);  // memory, pages
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    speed->peak_gflops = std::max(speed->peak_gflops, MeasureFmaPeak(stream));
    const double begin = Now();
    for (int i = 0; i < policy.calls; ++i) learner.UpdateSupervised(batch, 1e-4);
    best = std::min(best, (Now() - begin) / policy.calls);
  }
  // Once more with the operators' clocks on.
  CountOps(true);
  const std::map<std::string, double> before = OpSeconds();
  const double begin = Now();
  learner.UpdateSupervised(batch, 1e-4);
  double rest = Now() - begin, products = 0;
  CountOps(false);
  for (const auto& [name, seconds] : OpSeconds()) {
    const auto old = before.find(name);
    const double spent = seconds - (old == before.end() ? 0 : old->second);
    if (spent <= 0) continue;
    speed->train_split.push_back({name, spent});
    rest -= spent;
    if (IsProduct(name)) products += spent;
  }
  speed->train_split.push_back({"rest", rest});
  std::sort(speed->train_split.begin(), speed->train_split.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  const double tokens = static_cast<double>(policy.tokens * policy.sequences);
  // Two operations a multiply-add; forward, gradient of the input, gradient of the weight.
  const double gflops = 6e-9 * static_cast<double>(ActiveParameterCount(policy.config)) * tokens;
  speed->train_tok_s = tokens / best;
  speed->train_share_of_peak = gflops / best / speed->peak_gflops;
  speed->gemm_share_of_peak = gflops / products / speed->peak_gflops;
}

double MeasureDecode(const PolicyCase& policy, int64_t sequences, int rounds, const Policy& weights,
                     const Stream& stream) {
  const auto tokenizer = Tokenizer::Numbers(policy.config.vocab_size());
  const int64_t positions = kPromptTokens + policy.new_tokens;
  RolloutConfig rollout;
  rollout.set_kv_cache_bytes((2 * sequences * KvCache::BlocksFor(positions) + 4) *
                             KvCache::BlockBytes(policy.config, DType::kFloat32));
  Engine engine(weights, *tokenizer, rollout, stream);
  std::vector<Prompt> prompts(static_cast<size_t>(sequences));
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].set_ordinal(i);
    for (uint32_t t = 0; t < kPromptTokens; ++t) {
      prompts[i].add_ids(static_cast<uint32_t>(RandomId(policy.config.vocab_size(), i, 1000 + t)));
    }
  }
  GenerateOptions options;
  options.group_size = 1;
  std::vector<Group> groups;
  options.max_new_tokens = 4;
  engine.Generate(prompts, options, &groups);
  options.max_new_tokens = policy.new_tokens;
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    const double begin = Now();
    engine.Generate(prompts, options, &groups);
    best = std::min(best, Now() - begin);
  }
  return static_cast<double>(sequences * policy.new_tokens) / best;
}

}  // namespace

const std::vector<PolicyCase>& PolicyCases() {
  static const std::vector<PolicyCase> cases = {
      {"0.4M",
       Parse("vocab_size: 123 width: 64 layers: 3 max_positions: 256 "
             "attention { heads: 4 kv_heads: 2 head_dim: 16 } "
             "moe { experts: 8 experts_per_token: 2 width: 64 shared_width: 64 }"),
       386368, 40, 26, 56, 5},
      {"10M",
       Parse("vocab_size: 8192 width: 256 layers: 8 dense_width: 768 tied_head: true "
             "max_positions: 2048 attention { heads: 8 kv_heads: 4 head_dim: 32 } "
             "moe { experts: 0 }"),
       8392960, 128, 8, 64, 5},
      {"100M",
       Parse("vocab_size: 32000 width: 768 layers: 12 dense_width: 2048 tied_head: true "
             "max_positions: 2048 attention { heads: 12 kv_heads: 4 head_dim: 64 } "
             "moe { experts: 0 }"),
       100092672, 128, 8, 24, 1}};
  return cases;
}

PolicySpeed MeasurePolicy(const PolicyCase& policy, int rounds, int64_t micro_batch,
                          Stream& stream) {
  CHECK(ParameterCount(policy.config) == policy.parameters,
        "[bench_policy] the policy does not have the number of parameters that its case states",
        Named("policy", policy.name), Named("parameters", ParameterCount(policy.config)),
        Named("stated", policy.parameters));
  Policy weights(policy.config, DType::kFloat32);
  InitRandom(1, &weights.weights(), stream);
  PolicySpeed speed;
  speed.peak_gflops = MeasureFmaPeak(stream);
  speed.decode64_tok_s = MeasureDecode(policy, 64, rounds, weights, stream);
  speed.decode1_tok_s = MeasureDecode(policy, 1, rounds, weights, stream);
  MeasureTraining(policy, rounds, micro_batch, &weights, stream, &speed);
  return speed;
}

}  // namespace grouper::bench
