// Buffer owns bytes; Arena hands out named pieces of one Buffer, front to back, and is reset as a
// whole. Every allocation has a name: the memory table and the high-water mark come from them. One
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace grouper {

// 64-byte aligned host memory, zeroed. Every live byte of the process is counted: the memory plan
// is compared with what was really taken.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  // What a buffer takes from the system: whole pages of 2 MiB where it is large.
  static size_t Footprint(size_t bytes);
  // Footprints of all buffers that live, and the most they came to since ForgetMost. Any thread.
  static size_t LiveBytes();
  static size_t MostBytes();
  static void ForgetMost();

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Grows by chunks when asked for more than it holds, so a plan error costs time, never a crash;
// Reset joins the chunks into one. After the first rounds no allocation happens.
class Arena {
 public:
  explicit Arena(std::string name, size_t bytes = 0);

  Tensor Vector(std::string_view name, DType dtype, int64_t n);
  Tensor Matrix(std::string_view name, DType dtype, int64_t rows, int64_t columns);
  Tensor Cube(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c);
  Tensor Block(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c, int64_t d);
  // Uninitialised bytes, 64-byte aligned.
  void* Allocate(std::string_view name, size_t bytes);
  // What a piece takes of the arena.
  static size_t PieceBytes(size_t bytes);
  void Reset();
  // After Reset: makes room for that many bytes of pieces in one chunk, so that none is added.
  void Reserve(size_t bytes);

  // Marks and returns to a place: scratch as a stack.
  struct Mark {
    size_t chunk, used;
  };
  Mark mark() const { return {chunk_, used_}; }
  void ReturnTo(Mark mark);

  size_t high_water_bytes() const { return high_water_; }
  const std::string& name() const { return name_; }
  // Largest size asked for under each name since construction.
  const std::map<std::string, size_t, std::less<>>& sizes() const { return sizes_; }

 private:
  std::string name_;
  std::vector<Buffer> chunks_;
  size_t chunk_ = 0;
  size_t used_ = 0;
  size_t before_ = 0;  // bytes in the chunks before chunk_
  size_t high_water_ = 0;
  std::map<std::string, size_t, std::less<>> sizes_;
};

}  // namespace grouper
