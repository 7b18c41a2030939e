// Storage types of tensors. fp32 is the CPU default; fp64 exists on the scalar path only, for
// golden numbers and finite differences.
#pragma once

#include <cstddef>
#include <cstdint>

namespace grouper {

enum class DType : uint8_t { kFloat32, kFloat64, kInt32, kUint64 };

constexpr size_t SizeOf(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : 8;
}
constexpr const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "fp32";
    case DType::kFloat64:
      return "fp64";
    case DType::kInt32:
      return "int32";
    case DType::kUint64:
      return "uint64";
  }
  return "?";
}

}  // namespace grouper
