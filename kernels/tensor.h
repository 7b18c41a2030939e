// A view of elements that a Buffer or an Arena owns. Row-major, the last dimension contiguous; rows
// of a rank-2 view may lie row_stride elements apart, as columns of a wider matrix do. Members are
// forced inline, because this header is compiled under several instruction sets.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"

#define GROUPER_INLINE inline __attribute__((always_inline))

namespace grouper {

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int rank = 0;
  int64_t shape[4] = {0, 0, 0, 0};
  int64_t row_stride = 0;  // elements between rows of dimension 0

  GROUPER_INLINE bool empty() const { return data == nullptr; }
  GROUPER_INLINE int64_t dim(int i) const { return i < rank ? shape[i] : 1; }
  GROUPER_INLINE int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  GROUPER_INLINE bool contiguous() const {
    return rank < 2 || row_stride == elements() / (shape[0] > 0 ? shape[0] : 1);
  }
  template <typename T>
  GROUPER_INLINE T* as() const {
    return static_cast<T*>(data);
  }

  static Tensor Vector(void* data, DType dtype, int64_t n) {
    return {data, dtype, 1, {n, 0, 0, 0}, 1};
  }
  static Tensor Matrix(void* data, DType dtype, int64_t rows, int64_t columns,
                       int64_t row_stride = 0) {
    return {data, dtype, 2, {rows, columns, 0, 0}, row_stride > 0 ? row_stride : columns};
  }
  static Tensor Cube(void* data, DType dtype, int64_t a, int64_t b, int64_t c) {
    return {data, dtype, 3, {a, b, c, 0}, b * c};
  }
  static Tensor Block(void* data, DType dtype, int64_t a, int64_t b, int64_t c, int64_t d) {
    return {data, dtype, 4, {a, b, c, d}, b * c * d};
  }

  // Rows [begin, begin + count) of dimension 0.
  Tensor Rows(int64_t begin, int64_t count) const {
    Tensor view = *this;
    view.data = static_cast<char*>(data) +
                begin * (rank == 1 ? 1 : row_stride) * static_cast<int64_t>(SizeOf(dtype));
    view.shape[0] = count;
    return view;
  }
  // Columns [begin, begin + count) of a rank-2 view.
  Tensor Columns(int64_t begin, int64_t count) const {
    Tensor view = *this;
    view.data = static_cast<char*>(data) + begin * static_cast<int64_t>(SizeOf(dtype));
    view.shape[1] = count;
    return view;
  }
};

}  // namespace grouper
