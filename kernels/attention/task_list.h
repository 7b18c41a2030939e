// How attention is divided into tasks. Every division gives the same bits: a task computes whole
// rows, whole chains, or the state of one split of keys, and states are merged in the order of the
// splits. So the number of threads may decide.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace grouper::cpu {

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
