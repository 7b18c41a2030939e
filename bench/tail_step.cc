#include "bench/tail_step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/random.h"
#include "policy/init.h"
#include "rl/learner/learner.h"
#include "rollout/engine/engine.h"

namespace grouper::bench {
namespace {

constexpr int64_t kPromptTokens = 8160, kNewTokens = 64;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

TailStep MeasureTail(const PolicyCase& policy, int rounds, Stream& stream) {
  Config config;
  *config.mutable_policy() = policy.config;
  config.mutable_policy()->set_max_positions(kPromptTokens + kNewTokens);
  const uint32_t vocab = static_cast<uint32_t>(policy.config.vocab_size());
  Policy weights(config.policy(), DType::kFloat32);
  InitRandom(1, &weights.weights(), stream);
  Prompt prompt;
  TrainSequence sequence;
  for (uint32_t t = 0; t < kPromptTokens; ++t) {
    const PhiloxWords words = PhiloxAt(1, RandomStream::kDataOrder, 0, t);
    prompt.add_ids(3 + words[0] % (vocab - 3));
    sequence.ids.push_back(static_cast<int32_t>(prompt.ids(static_cast<int>(t))));
  }
  for (int32_t t = kPromptTokens - kNewTokens; t < kPromptTokens; ++t) {
    sequence.targets.push_back(t);
  }

  TailStep result;
  std::vector<double> tokens, updates;
  {
    RolloutConfig rollout;
    rollout.set_kv_cache_bytes((KvCache::BlocksFor(kPromptTokens + kNewTokens) + 8) * 2 *
                               KvCache::BlockBytes(config.policy(), DType::kFloat32));
    const auto tokenizer = Tokenizer::Numbers(config.policy().vocab_size());
    Engine engine(weights, *tokenizer, rollout, stream);
    GenerateOptions options;
    options.group_size = 1;
    options.max_new_tokens = kNewTokens;
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
  result.token = Median(tokens);
  result.update = Median(updates);
  return result;
}

}  // namespace grouper::bench
