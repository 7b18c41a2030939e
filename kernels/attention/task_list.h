// How attention is divided into tasks. Every division gives the same bits: a task computes whole
// rows, whole chains, or the state of one split of keys, and states are merged in the order of the
// splits. So the number of threads may decide.
#pragma once

#include <cstdint>

#include "kernels/numerics.h"
#include "kernels/tensor.h"

namespace grouper::cpu {

// Query rows of a tile: tokens of one run times query heads of one kv head.
inline constexpr int64_t kMaxRows = 48;

// The forward pass. Enough tasks are at least two per thread, or one for each.
struct ForwardTasks {
  int64_t tokens = 1;        // of a task
  bool heads_apart = false;  // a task has one kv head, not all
  int64_t splits = 1;        // above 1: a task has one split of the keys
  GROUPER_INLINE int64_t Count(int64_t all_tokens, int64_t kv_heads) const {
    return (all_tokens + tokens - 1) / tokens * (heads_apart ? kv_heads : 1) * splits;
  }
};

// `longest`: the most keys that a token of the batch sees. Tiles of a few tokens are slower for
// each of them than large ones, so they are divided only if there are too few; the splits of keys
// come last, since they need scratch memory.
GROUPER_INLINE ForwardTasks DivideForward(int64_t all_tokens, int64_t heads, int64_t kv_heads,
                                          int64_t longest, int64_t threads, bool may_split) {
  const int64_t share = heads / kv_heads;
  ForwardTasks tasks{.tokens = share < kMaxRows ? kMaxRows / share : 1};
  const auto enough = [&] {
    const int64_t count = tasks.Count(all_tokens, kv_heads);
    return count >= 2 * threads || (count >= threads && count % threads == 0);
  };
  if (threads == 1) tasks.tokens = all_tokens > 0 ? all_tokens : 1;
  if (threads == 1 || enough()) return tasks;
  tasks.heads_apart = true;
  while (!enough() && tasks.tokens > 1) tasks.tokens = (tasks.tokens + 1) / 2;
  if (!enough() && may_split) {
    tasks.splits = (longest + numerics::kKeySplit - 1) / numerics::kKeySplit;
  }
  return tasks;
}

// The backward pass. Fused: a task takes all rows and keys of one kv head of a family, which is a
// sequence or neighbours that share a prefix; it computes five products per pair of query and key.
// Not fused: one list of tasks takes query rows, for dq, and another takes blocks of keys, for dk
// and dv; together they compute seven products, but there are many more of them.
GROUPER_INLINE bool FuseBackward(int64_t families, int64_t kv_heads, int64_t threads) {
  const int64_t tasks = families * kv_heads;
  const int64_t rounds = (tasks + threads - 1) / threads;
  return 5 * rounds * threads <= 7 * tasks;
}

}  // namespace grouper::cpu
