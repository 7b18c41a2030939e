#include "kernels/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace grouper {
namespace {
constexpr size_t kAlign = 64;
// Large buffers use pages of 2 MiB: weights and caches are read across far more memory than the
// processor's address cache covers with small pages.
constexpr size_t kHugePage = size_t{2} << 20;
size_t RoundUp(size_t n, size_t align = kAlign) { return (n + align - 1) / align * align; }
bool IsHuge(size_t bytes) { return bytes >= 2 * kHugePage; }

std::atomic<size_t> live_bytes = 0, most_bytes = 0;

void Count(size_t bytes) {
  const size_t live = live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  size_t most = most_bytes.load(std::memory_order_relaxed);
  while (live > most && !most_bytes.compare_exchange_weak(most, live, std::memory_order_relaxed)) {
  }
}
}  // namespace

// aligned_alloc takes whole multiples of the alignment only.
size_t Buffer::Footprint(size_t bytes) {
  return RoundUp(bytes, IsHuge(bytes) ? kHugePage : kAlign);
}
size_t Buffer::LiveBytes() { return live_bytes.load(std::memory_order_relaxed); }
size_t Buffer::MostBytes() { return most_bytes.load(std::memory_order_relaxed); }
void Buffer::ForgetMost() { most_bytes.store(LiveBytes(), std::memory_order_relaxed); }

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const bool huge = IsHuge(bytes);
  const size_t align = huge ? kHugePage : kAlign, size = Footprint(bytes);
  data_ = std::aligned_alloc(align, size);
  if (data_ == nullptr)
    ThrowInternal(
        "[memory] out of memory; lower rollout.kv_cache_bytes or batch.max_tokens_per_micro_batch",
        Named("bytes", bytes));
  // An operating system without large pages refuses this advice, and small pages are used.
  if (huge) static_cast<void>(madvise(data_, size, MADV_HUGEPAGE));
  std::memset(data_, 0, size);
  Count(size);
}
Buffer::~Buffer() {
  if (data_ == nullptr) return;
  live_bytes.fetch_sub(Footprint(bytes_), std::memory_order_relaxed);
  std::free(data_);
}
Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Arena::Arena(std::string name, size_t bytes) : name_(std::move(name)) {
  if (bytes > 0) chunks_.emplace_back(RoundUp(bytes));
}

size_t Arena::PieceBytes(size_t bytes) { return RoundUp(std::max<size_t>(bytes, 1)); }

void* Arena::Allocate(std::string_view name, size_t bytes) {
  const size_t need = PieceBytes(bytes);
  while (chunk_ < chunks_.size() && used_ + need > chunks_[chunk_].bytes()) {
    before_ += chunks_[chunk_].bytes();
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const size_t last = chunks_.empty() ? 0 : chunks_.back().bytes();
    chunks_.emplace_back(std::max(need, last * 2));
  }
  void* piece = static_cast<char*>(chunks_[chunk_].data()) + used_;
  used_ += need;
  high_water_ = std::max(high_water_, before_ + used_);
  const auto found = sizes_.find(name);
  if (found == sizes_.end()) {
    sizes_.emplace(std::string(name), bytes);
  } else {
    found->second = std::max(found->second, bytes);
  }
  return piece;
}

void Arena::Reset() {
  if (chunks_.size() > 1) {
    size_t total = 0;
    for (const Buffer& chunk : chunks_) total += chunk.bytes();
    chunks_.clear();
    chunks_.emplace_back(total);
  }
  chunk_ = used_ = before_ = 0;
}

void Arena::Reserve(size_t bytes) {
  CHECK(chunk_ == 0 && used_ == 0,
        "[memory] an arena can be reserved only while nothing is allocated in it",
        Named("arena", name_));
  if (chunks_.size() == 1 && chunks_[0].bytes() >= bytes) return;
  chunks_.clear();  // first, so that old and new memory never exist at the same time
  if (bytes > 0) chunks_.emplace_back(RoundUp(bytes));
}

void Arena::ReturnTo(Mark mark) {
  while (chunk_ > mark.chunk) before_ -= chunks_[--chunk_].bytes();
  used_ = mark.used;
}

Tensor Arena::Vector(std::string_view name, DType dtype, int64_t n) {
  return Tensor::Vector(Allocate(name, static_cast<size_t>(n) * SizeOf(dtype)), dtype, n);
}
Tensor Arena::Matrix(std::string_view name, DType dtype, int64_t rows, int64_t columns) {
  return Tensor::Matrix(Allocate(name, static_cast<size_t>(rows * columns) * SizeOf(dtype)), dtype,
                        rows, columns);
}
Tensor Arena::Cube(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c) {
  return Tensor::Cube(Allocate(name, static_cast<size_t>(a * b * c) * SizeOf(dtype)), dtype, a, b,
                      c);
}
Tensor Arena::Block(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c,
                    int64_t d) {
  return Tensor::Block(Allocate(name, static_cast<size_t>(a * b * c * d) * SizeOf(dtype)), dtype, a,
                       b, c, d);
}

}  // namespace grouper
