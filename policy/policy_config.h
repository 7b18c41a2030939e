// Checks of a PolicyConfig and the sizes that follow from it. The message itself is the config:
// there is no second struct.
#pragma once

#include <cstdint>
#include <string>

#include "proto/expert_ids.h"
#include "proto/policy.pb.h"

namespace grouper {

// kUser naming the field when a value cannot be built: out of its range, head counts that do not
// divide, odd head_dim, more experts per token than experts, groups that do not divide, 0
// vocabulary.
void CheckPolicyConfig(const PolicyConfig& config);

inline int64_t QueryWidth(const PolicyConfig& c) {
  return c.attention().heads() * c.attention().head_dim();
}
inline int64_t KvWidth(const PolicyConfig& c) {
  return c.attention().kv_heads() * c.attention().head_dim();
}
inline int64_t QkvWidth(const PolicyConfig& c) { return QueryWidth(c) + 2 * KvWidth(c); }
inline bool IsMoeLayer(const PolicyConfig& c, int64_t layer) {
  return c.moe().experts() > 0 && layer >= c.dense_layers();
}
int64_t MoeLayers(const PolicyConfig& config);
// The bytes in which a trace stores the experts of a token (proto/expert_ids.h).
inline uint64_t ExpertBytes(const PolicyConfig& c) {
  const int64_t layers = MoeLayers(c), experts = c.moe().experts_per_token();
  return layers > 0 && experts > 0
             ? static_cast<uint64_t>(layers * experts) * ExpertIdBytes(c.moe().experts())
             : 0;
}
// The number of trainable numbers, and of those that one token uses (k routed experts per layer,
// and no embedding unless it is also the head).
int64_t ParameterCount(const PolicyConfig& config);
int64_t ActiveParameterCount(const PolicyConfig& config);

}  // namespace grouper
