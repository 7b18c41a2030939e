// Dispatch of an operator to its instruction set, and the checks of its arguments. With
// GROUPER_LOG_OPS=1, calls and seconds are summed per operator and printed when the process ends.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/op.h"

// dtype: that of the arithmetic; fp64 has one form for all instruction sets. The optional last
// argument is a check of what tensors hold (kernels/cpu/check_values.h): it runs on the CPU only,
// because the host cannot read values that lie in the memory of a device.
#define GROUPER_DISPATCH(Name, stream, args, dtype, ...)                  \
  do {                                                                    \
    const ::grouper::OpTimer timer(#Name);                                \
    __VA_ARGS__;                                                          \
    if ((dtype) == ::grouper::DType::kFloat64) {                          \
      CHECK(&cpu::fp64::Name != nullptr,                                  \
            "[" #Name                                                     \
            "] this program is linked without the fp64 form, which only " \
            "tests have");                                                \
      return cpu::fp64::Name(stream, args);                               \
    }                                                                     \
    switch ((stream).isa) {                                               \
      case ::grouper::cpu::Isa::kAvx512:                                  \
        return cpu::avx512::Name(stream, args);                           \
      case ::grouper::cpu::Isa::kAvx2:                                    \
        return cpu::avx2::Name(stream, args);                             \
      case ::grouper::cpu::Isa::kScalar:                                  \
        return cpu::scalar::Name(stream, args);                           \
    }                                                                     \
  } while (false)

namespace grouper {

// Adds its lifetime to the operator's total while operators are counted.
class OpTimer {
 public:
  explicit OpTimer(const char* name);
  ~OpTimer();

 private:
  const char* name_ = nullptr;
  int64_t begin_ = 0;
};

// For benchmarks: switches the counting that GROUPER_LOG_OPS=1 switches on at the start, and
// returns the totals so far.
struct OpTotal {
  std::string name;
  int64_t calls = 0;
  double seconds = 0;  // calls that run at the same time on several threads are added up
};
void CountOps(bool on);
std::vector<OpTotal> OpTotals();

// "[2, 3]" for messages.
std::string ShapeOf(const Tensor& tensor);
// kInternal unless tensor has this dtype and shape (-1: any extent). `what` reads "[rms_norm]
// gain".
void CheckTensor(const char* what, const Tensor& tensor, DType dtype, int rank,
                 const int64_t* shape);
inline void CheckVector(const char* what, const Tensor& tensor, DType dtype, int64_t n) {
  CheckTensor(what, tensor, dtype, 1, &n);
}
inline void CheckMatrix(const char* what, const Tensor& tensor, DType dtype, int64_t rows,
                        int64_t columns) {
  const int64_t shape[2] = {rows, columns};
  CheckTensor(what, tensor, dtype, 2, shape);
}
inline void CheckReal(const char* what, const Tensor& tensor) {
  CHECK(tensor.dtype == DType::kFloat32 || tensor.dtype == DType::kFloat64,
        std::string(what) + " must be fp32 or fp64", Named("dtype", NameOf(tensor.dtype)));
}

}  // namespace grouper
