#include "rl/run/settings_check.h"

#include <memory>

#include "base/error.h"
#include "policy/memory/kv_cache.h"
#include "policy/policy_config.h"
#include "proto/check/range_check.h"
#include "rl/run/session.h"

namespace grouper {

void CheckSessionSettings(const Config& config, int64_t most_new_tokens) {
  CheckRanges(config);
  Config resolved = config;
  const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer(&resolved);
  const PolicyConfig& policy = resolved.policy();
  CheckPolicyConfig(policy);
  StopIdsOf(config.sampling(), *tokenizer);
  // Beside the completion there is a prompt of one token or more, and a block that is being filled.
  const int64_t blocks = most_new_tokens > 0 ? KvCache::BlocksFor(most_new_tokens + 1) + 1 : 1;
  KvCache::CheckBudget(policy, DType::kFloat32, config.rollout().kv_cache_bytes(), blocks);
}

}  // namespace grouper
