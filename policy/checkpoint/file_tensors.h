// The file form of weights: dense row-major tensors [out, in] under the published names, in order
// of name. Checkpoints store it and weights_sha256 hashes it. In memory the same numbers lie packed
// in one flat buffer (policy/weights.h); this class knows where each tensor of the file form lies
// there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/memory.h"
#include "policy/weights.h"

namespace grouper {

// One tensor of the file form: rows [out], columns [in], cut from a parameter.
struct FileTensor {
  std::string name;            // published name
  std::vector<int64_t> shape;  // [out, in] or [n]
  int64_t offset = 0;          // of the parameter (and expert) in the flat buffer
  bool packed = false;
  int64_t first_column = 0;  // packed: column of the first row
  bool router_bias = false;  // lies in router_bias(), not in the flat buffer
  int64_t elements() const;
};

// Holds the layout alone, so one object serves every buffer of the same layout. The `file` of Read
// and Write has FileBytes(tensor) bytes and is aligned for the dtype.
class FileTensors {
 public:
  explicit FileTensors(const Weights& layout);

  const std::vector<FileTensor>& tensors() const { return tensors_; }  // in order of name
  const char* dtype_name() const { return dtype_ == DType::kFloat32 ? "F32" : "F64"; }
  size_t FileBytes(const FileTensor& tensor) const;

  // The weights themselves. After Write, the transposed packing is the caller's to refresh.
  void Read(const FileTensor& tensor, const Weights& weights, void* file) const;
  void Write(const FileTensor& tensor, const void* file, Weights* weights) const;
  // Gradients or moments: a flat buffer of the same layout, which holds no router bias.
  void Read(const FileTensor& tensor, const Buffer& flat, void* file) const;
  void Write(const FileTensor& tensor, const void* file, Buffer* flat) const;

 private:
  void ReadFrom(const FileTensor& tensor, const void* memory, void* file) const;
  void WriteTo(const FileTensor& tensor, const void* file, void* memory) const;

  DType dtype_;
  std::vector<FileTensor> tensors_;
};

// SHA-256 over the file form, tensors in order of name, in hexadecimal: weights_sha256.
std::string WeightsSha256(const Weights& weights);

}  // namespace grouper
