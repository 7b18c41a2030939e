// What the engine knows of a prompt and of each completion while it is sampled. Ids, log-probs and
// experts are written directly into the trace messages; these structs hold only what scheduling and
// the cache need.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

// The cache blocks of one owner, and how many of their positions are filled.
struct CachedTokens {
  std::vector<int32_t> blocks;
  int64_t cached = 0;
};

// A prompt that is being sampled. Its first p - 1 tokens are prefilled once and shared by the
// completions. Every completion feeds the last prompt token itself, so its first token is sampled
// in the same way as the later ones.
struct GroupState {
  Group* group = nullptr;  // not owned; filled while completions are sampled
  size_t place = 0;        // index among the prompts
  std::vector<int32_t> prompt_ids;
  CachedTokens prefix;
  bool prefix_started = false;
  int next_member = 0;  // members [next_member, size) wait for admission
  int unfinished = 0;
  int64_t prefix_tokens() const { return static_cast<int64_t>(prompt_ids.size()) - 1; }
  bool prefix_ready() const { return prefix_started && prefix.cached == prefix_tokens(); }
};

struct Sequence {
  GroupState* group = nullptr;
  Completion* completion = nullptr;  // not owned
  std::vector<int32_t> ids;          // the prompt and the sampled tokens
  CachedTokens kv;
  uint64_t rollout_id = 0;
};

// Tokens [begin, begin + count) of one owner in an engine step.
struct WorkItem {
  GroupState* prefix = nullptr;  // prompt prefill, or
  Sequence* sequence = nullptr;  // decode, or recomputation after a preemption
  int64_t begin = 0;
  int64_t count = 0;
  bool samples = false;  // the last token's logits give the next token

  // The next `count` tokens of a prompt that are not in the cache yet.
  static WorkItem Prefill(GroupState* group, int64_t count) {
    return {.prefix = group, .begin = group->prefix.cached, .count = count};
  }
  // The next `count` tokens of a completion that are not in the cache yet. It samples when they are
  // all that are missing.
  static WorkItem Decode(Sequence* sequence, int64_t count) {
    const int64_t begin = sequence->kv.cached;
    return {.sequence = sequence,
            .begin = begin,
            .count = count,
            .samples = begin + count == static_cast<int64_t>(sequence->ids.size())};
  }
  const std::vector<int32_t>& ids() const {
    return prefix != nullptr ? prefix->prompt_ids : sequence->ids;
  }
  CachedTokens& kv() const { return prefix != nullptr ? prefix->prefix : sequence->kv; }
};

}  // namespace grouper
