// The memory of the engine's passes, known before anything is sampled: a bound that the largest
// steps reach. Pure, any thread.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"
#include "policy/policy_config.h"
#include "proto/config.pb.h"

namespace grouper {

// The prompts and completions of one call of Engine::Generate.
struct RolloutShape {
  int64_t prompts = 0;
  int64_t completions = 0;       // of all prompts
  int64_t longest_prompt = 1;    // tokens
  int64_t longest_sequence = 1;  // prompt and completion
};

// Activations of all threads' slices. The KV cache is rollout.kv_cache_bytes in whole blocks.
int64_t EngineActivationBytes(const PolicyConfig& policy, DType dtype, const RolloutConfig& config,
                              const RolloutShape& shape, int threads);

}  // namespace grouper
