// Keys and values in blocks of 64 positions, one pool for all layers, with reference counts so that
// the completions of a group share their prompt's full blocks. It changes no bit in
// which block a position lies. One thread owns the cache; forward passes only read the tensors and
// write blocks of their own sequences. Invariants: (1) a block is free iff its count is 0; (2) a
// block with a count above 1 is never written.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/memory.h"
#include "kernels/numerics.h"
#include "policy/policy_config.h"

namespace grouper {

class KvCache {
 public:
  // As many blocks as fit into budget_bytes; kUser when that is fewer than `least_blocks`.
  KvCache(const PolicyConfig& config, DType dtype, int64_t budget_bytes, int64_t least_blocks = 1);

  // The check of the constructor, and that the budget is not beyond the numbers of blocks.
  static void CheckBudget(const PolicyConfig& config, DType dtype, int64_t budget_bytes,
                          int64_t least_blocks);

  static int64_t BlocksFor(int64_t positions) {
    return (positions + numerics::kKeyBlock - 1) / numerics::kKeyBlock;
  }
  static int64_t BlockBytes(const PolicyConfig& config, DType dtype);

  int64_t blocks() const { return static_cast<int64_t>(counts_.size()); }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  // -1 when none is free.
  int32_t Take();
  void Share(int32_t block) { ++counts_[static_cast<size_t>(block)]; }
  void Release(int32_t block);
  // Makes all blocks free.
  void Clear();
  // Keys and values of positions 0..used-1 of a block, all layers.
  void Copy(int32_t from, int32_t to);

  Tensor keys(int64_t layer) const;    // [blocks, kv_heads, head_dim, 64]
  Tensor values(int64_t layer) const;  // [blocks, kv_heads, 64, head_dim]

 private:
  int64_t kv_heads_, head_dim_, layers_;
  DType dtype_;
  Buffer memory_;
  std::vector<int32_t> counts_;
  std::vector<int32_t> free_;
};

}  // namespace grouper
