#include "policy/weights.h"

#include <algorithm>
#include <cstring>

#include "base/digest.h"
#include "base/error.h"
#include "kernels/gemm/matmul.h"

namespace grouper {
namespace {

// Element (k, column) of a packed [in, out] weight.
int64_t PackedIndex(int64_t in, int64_t k, int64_t column) {
  return (column / 32 * in + k) * 32 + column % 32;
}

template <typename T>
void CopyPacked(const FileTensor& tensor, T* packed, T* file, bool to_file) {
  const int64_t out = tensor.shape[0], in = tensor.shape[1];
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t k = 0; k < in; ++k) {
      T& a = packed[PackedIndex(in, k, tensor.first_column + row)];
      T& b = file[row * in + k];
      (to_file ? b : a) = to_file ? a : b;
    }
  }
}

}  // namespace

// Walks all parameters in a fixed order and places views on `base`; `transposed` swaps in and out
// of packed tensors and leaves plain ones empty.
PolicyTensors Weights::Layout(char* base, bool transposed, bool record) {
  int64_t used = 0;
  const int64_t d = config_.width();
  const auto place = [&](const std::string& name, int64_t n, bool decays) {
    char* at = base == nullptr ? nullptr : base + used * static_cast<int64_t>(SizeOf(dtype_));
    if (record) parameters_.push_back({name, used, n, decays});
    used += n;
    return at;
  };
  const auto plain = [&](const std::string& name, int64_t n) {
    if (transposed) return Tensor();
    return Tensor::Vector(place(name, n, false), dtype_, n);
  };
  const auto packed = [&](const std::string& name, int64_t experts, int64_t in, int64_t out,
                          bool decays = true) {
    if (in == 0 || out == 0 || experts == 0) return Tensor();
    if (transposed) std::swap(in, out);
    char* at = place(name, experts * PackedElements(in, out), decays);
    return Tensor::Block(at, dtype_, experts, PackedPanels(out), in, 32);
  };
  const auto dense = [&](const std::string& name, int64_t in, int64_t out, bool decays = true) {
    Tensor t = packed(name, 1, in, out, decays);
    return t.rank == 0 ? t : Tensor::Cube(t.data, dtype_, t.shape[1], t.shape[2], 32);
  };

  PolicyTensors views;
  if (!transposed && !config_.tied_head()) {
    views.embedding = Tensor::Matrix(place("embedding", config_.vocab_size() * d, false), dtype_,
                                     config_.vocab_size(), d);
  }
  for (int64_t i = 0; i < config_.layers(); ++i) {
    const std::string at = "layers." + std::to_string(i) + ".";
    LayerTensors layer;
    layer.input_norm = plain(at + "input_norm", d);
    layer.qkv = dense(at + "qkv", d, QkvWidth(config_));
    layer.out_proj = dense(at + "out_proj", QueryWidth(config_), d);
    layer.post_norm = plain(at + "post_norm", d);
    if (IsMoeLayer(config_, i)) {
      const MoeConfig& moe = config_.moe();
      layer.router = dense(at + "router", d, moe.experts());
      layer.shared_gate_up = dense(at + "shared_gate_up", d, 2 * moe.shared_width());
      layer.shared_down = dense(at + "shared_down", moe.shared_width(), d);
      layer.expert_gate_up = packed(at + "expert_gate_up", moe.experts(), d, 2 * moe.width());
      layer.expert_down = packed(at + "expert_down", moe.experts(), moe.width(), d);
    } else {
      layer.dense_gate_up = dense(at + "dense_gate_up", d, 2 * config_.dense_width());
      layer.dense_down = dense(at + "dense_down", config_.dense_width(), d);
    }
    views.layers.push_back(layer);
  }
  views.final_norm = plain("final_norm", d);
  // A head that is the embedding too does not decay, as no embedding does.
  views.head = config_.tied_head() ? dense("embedding", d, config_.vocab_size(), false)
                                   : dense("head", d, config_.vocab_size());
  if (record) elements_ = used;
  return views;
}

Weights::Weights(const PolicyConfig& config, DType dtype, Unallocated)
    : config_(config), dtype_(dtype) {
  CheckPolicyConfig(config);
  Layout(nullptr, false, true);
}

Weights::Bytes Weights::BytesOfBuffers() {
  // A transposed tensor has other padding, so its own size.
  int64_t transposed_elements = PackedElements(config_.vocab_size(), config_.width());
  const PolicyTensors shapes = Layout(nullptr, true, false);
  for (const LayerTensors& layer : shapes.layers) {
    for (const Tensor& t :
         {layer.qkv, layer.out_proj, layer.dense_gate_up, layer.dense_down, layer.router,
          layer.shared_gate_up, layer.shared_down, layer.expert_gate_up, layer.expert_down}) {
      transposed_elements += t.rank == 0 ? 0 : t.elements();
    }
  }
  const int64_t biases =
      std::max<int64_t>(MoeLayers(config_), 1) * std::max<int64_t>(config_.moe().experts(), 1);
  const int64_t size = static_cast<int64_t>(SizeOf(dtype_));
  return {.values = static_cast<int64_t>(flat_bytes()),
          .transposed = transposed_elements * size,
          .router_bias = biases * size};
}

Weights::Bytes Weights::BytesOf(const PolicyConfig& config, DType dtype) {
  return Weights(config, dtype, Unallocated{}).BytesOfBuffers();
}

Weights::Weights(const PolicyConfig& config, DType dtype) : Weights(config, dtype, Unallocated{}) {
  const Bytes bytes = BytesOfBuffers();
  values_ = Buffer(static_cast<size_t>(bytes.values));
  tensors_ = Layout(static_cast<char*>(values_.data()), false, false);
  transposed_values_ = Buffer(static_cast<size_t>(bytes.transposed));
  transposed_ = Layout(static_cast<char*>(transposed_values_.data()), true, false);
  router_bias_ = Buffer(static_cast<size_t>(bytes.router_bias));
  ListFileTensors();
}

PolicyTensors Weights::ViewsOf(const Buffer& buffer) const {
  CHECK(buffer.bytes() == flat_bytes(), "[weights] buffer has another size", buffer.bytes(),
        flat_bytes());
  return const_cast<Weights*>(this)->Layout(static_cast<char*>(buffer.data()), false, false);
}

Tensor Weights::router_bias() const {
  return Tensor::Matrix(router_bias_.data(), dtype_, MoeLayers(config_), config_.moe().experts());
}

Tensor Weights::RouterBias(int64_t layer) const {
  if (!IsMoeLayer(config_, layer) || !config_.moe().choice_bias()) return {};
  const Tensor row = router_bias().Rows(layer - config_.dense_layers(), 1);
  return Tensor::Vector(row.data, dtype_, config_.moe().experts());
}

void Weights::CopyFrom(const Weights& other) {
  CHECK(other.elements_ == elements_ && other.dtype_ == dtype_,
        "[weights] a copy between two layouts (elements, elements)", elements_, other.elements_);
  const auto copy = [](const Buffer& from, Buffer* to) {
    if (from.bytes() > 0) std::memcpy(to->data(), from.data(), from.bytes());
  };
  copy(other.values_, &values_);
  copy(other.transposed_values_, &transposed_values_);
  copy(other.router_bias_, &router_bias_);
}

void Weights::RefreshTransposed(Stream& stream) {
  const auto refresh = [&](const Tensor& weight, const Tensor& transposed) {
    if (weight.empty()) return;
    const auto block = [](const Tensor& t) {
      return t.rank == 4 ? t
                         : Tensor::Block(t.data, t.dtype, 1, t.shape[0], t.shape[1], t.shape[2]);
    };
    const Tensor w = block(weight), t = block(transposed);
    TransposePacked(stream, {.weight = w, .transposed = t, .in = w.shape[2], .out = t.shape[2]});
  };
  for (size_t i = 0; i < tensors_.layers.size(); ++i) {
    const LayerTensors &w = tensors_.layers[i], &t = transposed_.layers[i];
    refresh(w.qkv, t.qkv);
    refresh(w.out_proj, t.out_proj);
    refresh(w.dense_gate_up, t.dense_gate_up);
    refresh(w.dense_down, t.dense_down);
    refresh(w.router, t.router);
    refresh(w.shared_gate_up, t.shared_gate_up);
    refresh(w.shared_down, t.shared_down);
    refresh(w.expert_gate_up, t.expert_gate_up);
    refresh(w.expert_down, t.expert_down);
  }
  refresh(tensors_.head, transposed_.head);
}

void Weights::ListFileTensors() {
  const int64_t d = config_.width(), q = QueryWidth(config_), kv = KvWidth(config_);
  const auto offset_of = [&](const std::string& name) {
    for (const Parameter& p : parameters_) {
      if (p.name == name) return p.offset;
    }
    ThrowInternal("[weights] no parameter of this name", name);
  };
  const auto add = [&](const std::string& name, int64_t out, int64_t in, const std::string& from,
                       int64_t first_column, int64_t skip) {
    file_tensors_.push_back({name, {out, in}, offset_of(from) + skip, true, first_column, false});
  };
  const auto add_plain = [&](const std::string& name, std::vector<int64_t> shape,
                             const std::string& from) {
    file_tensors_.push_back({name, std::move(shape), offset_of(from), false, 0, false});
  };
  // Gate and up rows of one fused [in -> gate, up] weight and the down projection.
  const auto add_mlp = [&](const std::string& at, const std::string& gate_up,
                           const std::string& down, int64_t width, int64_t expert) {
    const int64_t skip_gu = expert * PackedElements(d, 2 * width);
    add(at + "gate_proj.weight", width, d, gate_up, 0, skip_gu);
    add(at + "up_proj.weight", width, d, gate_up, width, skip_gu);
    add(at + "down_proj.weight", d, width, down, 0, expert * PackedElements(width, d));
  };

  if (config_.tied_head()) {
    add("model.embed_tokens.weight", config_.vocab_size(), d, "embedding", 0, 0);
  } else {
    add_plain("model.embed_tokens.weight", {config_.vocab_size(), d}, "embedding");
    add("lm_head.weight", config_.vocab_size(), d, "head", 0, 0);
  }
  for (int64_t i = 0; i < config_.layers(); ++i) {
    const std::string from = "layers." + std::to_string(i) + ".";
    const std::string to = "model." + from;
    add_plain(to + "input_layernorm.weight", {d}, from + "input_norm");
    add_plain(to + "post_attention_layernorm.weight", {d}, from + "post_norm");
    add(to + "self_attn.q_proj.weight", q, d, from + "qkv", 0, 0);
    add(to + "self_attn.k_proj.weight", kv, d, from + "qkv", q, 0);
    add(to + "self_attn.v_proj.weight", kv, d, from + "qkv", q + kv, 0);
    add(to + "self_attn.o_proj.weight", d, q, from + "out_proj", 0, 0);
    if (!IsMoeLayer(config_, i)) {
      add_mlp(to + "mlp.", from + "dense_gate_up", from + "dense_down", config_.dense_width(), 0);
      continue;
    }
    const MoeConfig& moe = config_.moe();
    add(to + "mlp.gate.weight", moe.experts(), d, from + "router", 0, 0);
    if (moe.choice_bias()) {
      const int64_t row = (i - config_.dense_layers()) * moe.experts();
      file_tensors_.push_back(
          {to + "mlp.gate.e_score_correction_bias", {moe.experts()}, row, false, 0, true});
    }
    if (moe.shared_width() > 0) {
      add_mlp(to + "mlp.shared_experts.", from + "shared_gate_up", from + "shared_down",
              moe.shared_width(), 0);
    }
    for (int64_t e = 0; e < moe.experts(); ++e) {
      add_mlp(to + "mlp.experts." + std::to_string(e) + ".", from + "expert_gate_up",
              from + "expert_down", moe.width(), e);
    }
  }
  add_plain("model.norm.weight", {d}, "final_norm");
  std::sort(file_tensors_.begin(), file_tensors_.end(),
            [](const FileTensor& a, const FileTensor& b) { return a.name < b.name; });
}

void Weights::ToFile(const FileTensor& tensor, const Buffer& flat, void* out) const {
  const Buffer& from = tensor.router_bias ? router_bias_ : flat;
  char* at = static_cast<char*>(from.data()) + tensor.offset * static_cast<int64_t>(SizeOf(dtype_));
  int64_t n = 1;
  for (int64_t extent : tensor.shape) n *= extent;
  if (!tensor.packed) {
    std::memcpy(out, at, static_cast<size_t>(n) * SizeOf(dtype_));
  } else if (dtype_ == DType::kFloat32) {
    CopyPacked(tensor, reinterpret_cast<float*>(at), static_cast<float*>(out), true);
  } else {
    CopyPacked(tensor, reinterpret_cast<double*>(at), static_cast<double*>(out), true);
  }
}

void Weights::FromFile(const FileTensor& tensor, const void* in, Buffer* flat) const {
  const Buffer& to = tensor.router_bias ? router_bias_ : *flat;
  char* at = static_cast<char*>(to.data()) + tensor.offset * static_cast<int64_t>(SizeOf(dtype_));
  int64_t n = 1;
  for (int64_t extent : tensor.shape) n *= extent;
  void* file = const_cast<void*>(in);
  if (!tensor.packed) {
    std::memcpy(at, in, static_cast<size_t>(n) * SizeOf(dtype_));
  } else if (dtype_ == DType::kFloat32) {
    CopyPacked(tensor, reinterpret_cast<float*>(at), static_cast<float*>(file), false);
  } else {
    CopyPacked(tensor, reinterpret_cast<double*>(at), static_cast<double*>(file), false);
  }
}

std::string Weights::Sha256() const {
  grouper::Sha256 hash;
  std::vector<char> bytes;
  for (const FileTensor& tensor : file_tensors_) {
    size_t n = SizeOf(dtype_);
    for (int64_t extent : tensor.shape) n *= static_cast<size_t>(extent);
    bytes.resize(n);
    ToFile(tensor, values_, bytes.data());
    hash.Update(bytes.data(), bytes.size());
  }
  return hash.FinishHex();
}

uint64_t Weights::Digest() const {
  return WordSumDigest(values_.data(), flat_bytes()) +
         WordSumDigest(router_bias_.data(), router_bias_.bytes(), flat_bytes());
}

}  // namespace grouper
