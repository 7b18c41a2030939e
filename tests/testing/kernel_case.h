// What every operator test needs: streams of each instruction set, owned random tensors from
// Philox, and comparisons by bits and by tolerance.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"
#include "kernels/memory.h"

namespace grouper::testing {

inline Stream SerialStream(cpu::Isa isa) { return Stream{isa, nullptr}; }
inline Stream BestStream() { return SerialStream(cpu::AvailableIsas().front()); }

// A tensor with its memory.
class Owned {
 public:
  Owned() = default;
  Owned(DType dtype, std::vector<int64_t> shape) {
    view.dtype = dtype;
    view.rank = static_cast<int>(shape.size());
    int64_t n = 1;
    for (size_t i = 0; i < shape.size(); ++i) n *= view.shape[i] = shape[i];
    view.row_stride = shape.size() < 2 ? 1 : n / (shape[0] > 0 ? shape[0] : 1);
    buffer_ = std::make_shared<Buffer>(static_cast<size_t>(n > 0 ? n : 1) * SizeOf(dtype));
    view.data = buffer_->data();
  }
  operator const Tensor&() const { return view; }
  double Get(int64_t i) const {
    switch (view.dtype) {
      case DType::kFloat32:
        return view.as<float>()[i];
      case DType::kFloat64:
        return view.as<double>()[i];
      case DType::kInt32:
        return view.as<int32_t>()[i];
      case DType::kUint64:
        return static_cast<double>(view.as<uint64_t>()[i]);
    }
    return 0;
  }
  void Put(int64_t i, double x) {
    switch (view.dtype) {
      case DType::kFloat32:
        view.as<float>()[i] = static_cast<float>(x);
        break;
      case DType::kFloat64:
        view.as<double>()[i] = x;
        break;
      case DType::kInt32:
        view.as<int32_t>()[i] = static_cast<int32_t>(x);
        break;
      case DType::kUint64:
        view.as<uint64_t>()[i] = static_cast<uint64_t>(x);
        break;
    }
  }
  // A copy with its own memory, in another real type if asked.
  Owned Clone() const { return As(view.dtype); }
  Owned As(DType dtype) const {
    Owned copy(dtype, {view.shape, view.shape + view.rank});
    for (int64_t i = 0; i < view.elements(); ++i) copy.Put(i, Get(i));
    return copy;
  }
  size_t bytes() const { return static_cast<size_t>(view.elements()) * SizeOf(view.dtype); }

  Tensor view;

 private:
  std::shared_ptr<Buffer> buffer_;
};

// Normal numbers of deviation `scale`, a function of (seed, object, element) alone.
inline Owned Normal(DType dtype, std::vector<int64_t> shape, uint64_t object, double scale = 1) {
  Owned t(dtype, std::move(shape));
  for (int64_t i = 0; i < t.view.elements(); ++i) {
    const PhiloxWords w =
        PhiloxAt(12345, RandomStream::kInitialWeights, object, static_cast<uint32_t>(i));
    const double u = (w[0] + 1.0) * 0x1p-32, a = w[1] * 0x1p-32;
    // Through fp32, so that fp32 and fp64 cases start from the same numbers.
    t.Put(i, static_cast<float>(scale * std::sqrt(-2 * std::log(u)) * std::cos(6.283185307 * a)));
  }
  return t;
}

inline bool SameBits(const Owned& a, const Owned& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.view.data, b.view.data, a.bytes()) == 0;
}

// |a - b| <= tolerance * max(1, largest |b|) everywhere.
inline ::testing::AssertionResult Near(const Owned& a, const Owned& b, double tolerance) {
  if (a.view.elements() != b.view.elements())
    return ::testing::AssertionFailure() << "sizes differ";
  double largest = 1;
  for (int64_t i = 0; i < b.view.elements(); ++i) largest = std::max(largest, std::fabs(b.Get(i)));
  for (int64_t i = 0; i < b.view.elements(); ++i) {
    if (!(std::fabs(a.Get(i) - b.Get(i)) <= tolerance * largest)) {
      return ::testing::AssertionFailure()
             << "element " << i << ": " << a.Get(i) << " against " << b.Get(i);
    }
  }
  return ::testing::AssertionSuccess();
}

// Central difference of loss() with respect to every element of x against grad, relative tolerance
// (to the larger of 1e-3 and the element); everything in fp64.
template <typename Loss>
::testing::AssertionResult GradientMatches(Owned& x, const Owned& grad, Loss&& loss,
                                           double tolerance = 1e-6, double step = 1e-5) {
  for (int64_t i = 0; i < x.view.elements(); ++i) {
    const double at = x.Get(i);
    x.Put(i, at + step);
    const double above = loss();
    x.Put(i, at - step);
    const double below = loss();
    x.Put(i, at);
    const double numeric = (above - below) / (2 * step);
    const double scale = std::max({1e-3, std::fabs(numeric), std::fabs(grad.Get(i))});
    if (!(std::fabs(numeric - grad.Get(i)) <= tolerance * scale)) {
      return ::testing::AssertionFailure()
             << "element " << i << ": difference " << numeric << ", backward " << grad.Get(i);
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace grouper::testing
