#include "policy/memory/kv_cache.h"

#include <cstring>

#include "base/error.h"

namespace grouper {

int64_t KvCache::BlockBytes(const PolicyConfig& c, DType dtype) {
  return 2 * c.layers() * KvWidth(c) * numerics::kKeyBlock * static_cast<int64_t>(SizeOf(dtype));
}

void KvCache::CheckBudget(const PolicyConfig& c, DType dtype, int64_t budget_bytes,
                          int64_t least_blocks) {
  const int64_t blocks = budget_bytes / BlockBytes(c, dtype);
  USER_CHECK(
      blocks >= least_blocks,
      "[kv_cache] rollout.kv_cache_bytes holds fewer blocks than one sequence needs; raise it "
      "to bytes_needed",
      Named("blocks", blocks), Named("blocks_needed", least_blocks),
      Named("bytes_needed", least_blocks * BlockBytes(c, dtype)));
  USER_CHECK(blocks < (int64_t{1} << 30),
             "[kv_cache] rollout.kv_cache_bytes is too large; lower it",
             Named("rollout.kv_cache_bytes", budget_bytes));
}

KvCache::KvCache(const PolicyConfig& c, DType dtype, int64_t budget_bytes, int64_t least_blocks)
    : kv_heads_(c.attention().kv_heads()),
      head_dim_(c.attention().head_dim()),
      layers_(c.layers()),
      dtype_(dtype) {
  CheckBudget(c, dtype, budget_bytes, least_blocks);
  const int64_t blocks = budget_bytes / BlockBytes(c, dtype);
  memory_ = Buffer(static_cast<size_t>(blocks * BlockBytes(c, dtype)));
  counts_.resize(static_cast<size_t>(blocks));
  Clear();
}

void KvCache::Clear() {
  free_.clear();
  for (int64_t block = blocks() - 1; block >= 0; --block) {
    counts_[static_cast<size_t>(block)] = 0;
    free_.push_back(static_cast<int32_t>(block));
  }
}

int32_t KvCache::Take() {
  if (free_.empty()) return -1;
  const int32_t block = free_.back();
  free_.pop_back();
  counts_[static_cast<size_t>(block)] = 1;
  return block;
}

void KvCache::Release(int32_t block) {
  int32_t& count = counts_[static_cast<size_t>(block)];
  CHECK(count > 0, "[kv_cache] a free block was released", Named("block", block));
  if (--count == 0) free_.push_back(block);
}

Tensor KvCache::keys(int64_t layer) const {
  const int64_t per_layer = blocks() * kv_heads_ * head_dim_ * numerics::kKeyBlock;
  char* at = static_cast<char*>(memory_.data()) +
             2 * layer * per_layer * static_cast<int64_t>(SizeOf(dtype_));
  return Tensor::Block(at, dtype_, blocks(), kv_heads_, head_dim_, numerics::kKeyBlock);
}

Tensor KvCache::values(int64_t layer) const {
  const int64_t per_layer = blocks() * kv_heads_ * head_dim_ * numerics::kKeyBlock;
  char* at = static_cast<char*>(memory_.data()) +
             (2 * layer + 1) * per_layer * static_cast<int64_t>(SizeOf(dtype_));
  return Tensor::Block(at, dtype_, blocks(), kv_heads_, numerics::kKeyBlock, head_dim_);
}

void KvCache::Copy(int32_t from, int32_t to) {
  const size_t bytes =
      static_cast<size_t>(kv_heads_ * head_dim_ * numerics::kKeyBlock) * SizeOf(dtype_);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (const Tensor& t : {keys(layer), values(layer)}) {
      std::memcpy(t.Rows(to, 1).data, t.Rows(from, 1).data, bytes);
    }
  }
}

}  // namespace grouper
