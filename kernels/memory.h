// A Buffer owns bytes. An Arena hands out named pieces of buffers, front to back, and is reset as a
// whole; the names make the table of memory. An Arena is for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace grouper {

// Zeroed memory, aligned to 64 bytes. The bytes of all live buffers are counted, so that a run's
// plan of memory can be compared with what it took.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  // Bytes that a buffer of this size takes from the system: large ones take whole pages of 2 MiB.
  static size_t Footprint(size_t bytes);
  // The sum of the footprints of all live buffers, and its maximum since ForgetMost. Any thread.
  static size_t LiveBytes();
  static size_t MostBytes();
  static void ForgetMost();

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// An arena adds a chunk when it is asked for more than it has, so a mistake in the plan costs time
// but no crash. Reset joins the chunks into one, so that later rounds allocate nothing.
class Arena {
 public:
  explicit Arena(std::string name, size_t bytes = 0);

  Tensor Vector(std::string_view name, DType dtype, int64_t n);
  Tensor Matrix(std::string_view name, DType dtype, int64_t rows, int64_t columns);
  Tensor Cube(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c);
  Tensor Block(std::string_view name, DType dtype, int64_t a, int64_t b, int64_t c, int64_t d);
  // Uninitialised bytes, 64-byte aligned.
  void* Allocate(std::string_view name, size_t bytes);
  // Bytes that a piece of this size takes in the arena.
  static size_t PieceBytes(size_t bytes);
  void Reset();
  // Only after Reset: makes room for so many bytes of pieces in one chunk, so that none is added.
  void Reserve(size_t bytes);

  // Scratch memory as a stack: ReturnTo(mark) frees all pieces that were taken after mark().
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
