#include "rollout/engine/engine_bytes.h"

#include <algorithm>
#include <vector>

#include "kernels/memory.h"
#include "policy/memory/activation_bytes.h"
#include "policy/memory/kv_cache.h"

namespace grouper {
namespace {

// The most a step runs: tokens, those of them that sample, and tokens of its largest item.
struct LargestStep {
  int64_t tokens, rows, item;
};

std::vector<LargestStep> LargestSteps(const PolicyConfig& policy, DType dtype,
                                      const RolloutConfig& config, const RolloutShape& shape) {
  const int64_t running = std::min(config.max_running(), shape.completions);
  const int64_t prefix = shape.longest_prompt - 1;  // the last token is fed by each completion
  const int64_t prefill = std::min(config.prefill_tokens(), shape.prompts * prefix);
  std::vector<LargestStep> steps{{running, running, 1}};
  if (prefix == 0) return steps;
  steps.push_back({prefill, 0, std::min(prefill, prefix)});
  const int64_t blocks = config.kv_cache_bytes() / KvCache::BlockBytes(policy, dtype);
  const bool all_fit = blocks >= running * (KvCache::BlocksFor(shape.longest_sequence) + 1) +
                                     shape.prompts * KvCache::BlocksFor(prefix);
  if (!all_fit) {
    // A preempted completion is recomputed in a step in which the others decode.
    const int64_t again = std::min(config.prefill_tokens(), shape.longest_sequence);
    steps.push_back({running + std::max(again, prefill), running, std::max(again, prefix)});
  } else if (shape.completions > running || shape.prompts * prefix > config.prefill_tokens()) {
    // Later prompts are prefilled in steps in which completions of earlier ones decode.
    steps.push_back({running + prefill, running, std::min(prefill, prefix)});
  }
  return steps;
}

}  // namespace

// Follows Engine::RunStep: a step that is mostly one item runs as a whole in the first slice,
// others are divided into slices of about equal token counts.
int64_t EngineActivationBytes(const PolicyConfig& policy, DType dtype, const RolloutConfig& config,
                              const RolloutShape& shape, int threads) {
  int64_t whole = 0, share = 0;
  for (const LargestStep& step : LargestSteps(policy, dtype, config, shape)) {
    const auto bytes = [&](int64_t tokens, int64_t scratch = 0) {
      return ActivationBytesOf(policy, dtype,
                               {.tokens = tokens,
                                .logit_rows = std::min(tokens, step.rows),
                                .attention_scratch = scratch})
          .total;
    };
    if (threads > 1) {
      const int64_t few = std::min<int64_t>(step.tokens, 2 * threads);
      whole = std::max(
          whole, bytes(few, MostAttentionScratch(policy, threads, few, shape.longest_sequence)));
    }
    whole = std::max(
        whole, bytes(threads == 1 ? step.tokens : std::min(step.tokens, step.item * threads - 1)));
    const int64_t equal = (step.tokens + threads - 1) / threads;
    share = std::max(share, bytes(std::min(step.tokens, equal + std::min(step.item, equal) - 1)));
  }
  const auto footprint = [](int64_t bytes) {
    return static_cast<int64_t>(Buffer::Footprint(static_cast<size_t>(bytes)));
  };
  return footprint(std::max(whole, threads == 1 ? 0 : share)) + (threads - 1) * footprint(share);
}

}  // namespace grouper
