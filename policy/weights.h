// The one working copy of a policy's parameters, in packed order, that rollout and learner share.
// All trainable numbers lie in one flat buffer; gradients and Adam moments have the same layout, so
// the optimizer sees plain arrays. policy/checkpoint/file_tensors.h has their form in files.
// With tied_head the embedding is the head: one packed parameter named "embedding".
// Invariants: (1) after RefreshTransposed(), `transposed()` equals the transpose of the values; (2)
// padded columns of packed tensors are zero, and stay zero because their gradients are zero.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/memory.h"
#include "kernels/stream.h"
#include "policy/policy_config.h"

namespace grouper {

// Views of one layer; tensors a layer does not have are empty. Packed: [panels, in, 32].
struct LayerTensors {
  Tensor input_norm;      // [width]
  Tensor qkv;             // packed [width -> q, k, v]
  Tensor out_proj;        // packed [heads * head_dim -> width]
  Tensor post_norm;       // [width]
  Tensor dense_gate_up;   // packed [width -> gate, up]
  Tensor dense_down;      // packed [dense_width -> width]
  Tensor router;          // packed [width -> experts]
  Tensor shared_gate_up;  // packed
  Tensor shared_down;     // packed
  Tensor expert_gate_up;  // [experts, panels, width, 32]
  Tensor expert_down;     // [experts, panels, moe width, 32]
};
struct PolicyTensors {
  Tensor embedding;  // [vocab, width]; empty with tied_head: then the head's transposed packing is
                     // read
  std::vector<LayerTensors> layers;
  Tensor final_norm;  // [width]
  Tensor head;        // packed [width -> vocab]
};

// One tensor of the flat buffer.
struct Parameter {
  std::string name;
  int64_t offset = 0;  // elements
  int64_t elements = 0;
  bool decays = false;
};

class Weights {
 public:
  Weights(const PolicyConfig& config, DType dtype);

  // The bytes of the buffers of such weights, known before anything is allocated.
  struct Bytes {
    int64_t values = 0;  // also of gradients and of each Adam moment
    int64_t transposed = 0;
    int64_t router_bias = 0;
  };
  static Bytes BytesOf(const PolicyConfig& config, DType dtype);

  const PolicyConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  int64_t elements() const { return elements_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }

  const PolicyTensors& tensors() const { return tensors_; }
  const PolicyTensors& transposed() const { return transposed_; }
  Tensor flat() const { return Tensor::Vector(values_.data(), dtype_, elements_); }
  // Choice bias of the routers, [moe layers, experts] dtype; moved by balance, not by gradient.
  Tensor router_bias() const;
  Tensor RouterBias(int64_t layer) const;  // [experts], empty when off

  // Views over a buffer of the same layout (gradients).
  PolicyTensors ViewsOf(const Buffer& buffer) const;
  size_t flat_bytes() const { return static_cast<size_t>(elements_) * SizeOf(dtype_); }

  // Values, choice bias and transposed packing of other weights of the same layout.
  void CopyFrom(const Weights& other);

  // After values changed: rebuilds the transposed packing that dX = dY * W^T reads.
  void RefreshTransposed(Stream& stream);

  Buffer& values() { return values_; }
  const Buffer& values() const { return values_; }

  // Order-free digest of the flat buffer and the router bias: cheap, for every rollout.
  uint64_t Digest() const;

 private:
  PolicyConfig config_;
  DType dtype_;
  int64_t elements_ = 0;
  std::vector<Parameter> parameters_;
  Buffer values_, transposed_values_, router_bias_;
  PolicyTensors tensors_, transposed_;
};

}  // namespace grouper
