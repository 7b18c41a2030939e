#include "policy/checkpoint/file_tensors.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "kernels/gemm/matmul.h"
#include "kernels/numerics.h"

namespace grouper {
namespace {

// Element (k, column) of a packed [in, out] weight.
int64_t PackedIndex(int64_t in, int64_t k, int64_t column) {
  constexpr int64_t kColumns = numerics::kPanelColumns;
  return (column / kColumns * in + k) * kColumns + column % kColumns;
}

// Calls visit(place in the packed parameter, place in the file) for every element.
template <typename Visit>
void ForEachPlace(const FileTensor& tensor, const Visit& visit) {
  const int64_t out = tensor.shape[0], in = tensor.shape[1];
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t k = 0; k < in; ++k) {
      visit(PackedIndex(in, k, tensor.first_column + row), row * in + k);
    }
  }
}

template <typename T>
void Unpack(const FileTensor& tensor, const void* packed, void* file) {
  ForEachPlace(tensor, [from = static_cast<const T*>(packed), to = static_cast<T*>(file)](
                           int64_t in_packed, int64_t in_file) { to[in_file] = from[in_packed]; });
}

template <typename T>
void Pack(const FileTensor& tensor, const void* file, void* packed) {
  ForEachPlace(tensor, [from = static_cast<const T*>(file), to = static_cast<T*>(packed)](
                           int64_t in_packed, int64_t in_file) { to[in_packed] = from[in_file]; });
}

// Lists the tensors of one policy, each with its place in the parameters.
class Lister {
 public:
  explicit Lister(const Weights& layout) : config_(layout.config()) {
    for (const Parameter& p : layout.parameters()) offsets_[p.name] = p.offset;
  }

  std::vector<FileTensor> All() {
    const int64_t d = config_.width();
    if (config_.tied_head()) {
      Packed("model.embed_tokens.weight", config_.vocab_size(), d, "embedding", 0, 0);
    } else {
      Plain("model.embed_tokens.weight", {config_.vocab_size(), d}, "embedding");
      Packed("lm_head.weight", config_.vocab_size(), d, "head", 0, 0);
    }
    for (int64_t i = 0; i < config_.layers(); ++i) {
      const std::string from = "layers." + std::to_string(i) + ".";
      const std::string to = "model." + from;
      Attention(to, from);
      if (IsMoeLayer(config_, i)) {
        Moe(to + "mlp.", from, i);
      } else {
        Mlp(to + "mlp.", from + "dense_gate_up", from + "dense_down", config_.dense_width(), 0);
      }
    }
    Plain("model.norm.weight", {d}, "final_norm");
    std::sort(tensors_.begin(), tensors_.end(),
              [](const FileTensor& a, const FileTensor& b) { return a.name < b.name; });
    return std::move(tensors_);
  }

 private:
  int64_t OffsetOf(const std::string& parameter) const {
    const auto found = offsets_.find(parameter);
    CHECK(found != offsets_.end(), "[weights] there is no parameter of this name",
          Named("name", parameter));
    return found->second;
  }

  void Plain(const std::string& name, std::vector<int64_t> shape, const std::string& from) {
    tensors_.push_back({.name = name, .shape = std::move(shape), .offset = OffsetOf(from)});
  }

  void Packed(const std::string& name, int64_t out, int64_t in, const std::string& from,
              int64_t first_column, int64_t skip) {
    tensors_.push_back({.name = name,
                        .shape = {out, in},
                        .offset = OffsetOf(from) + skip,
                        .packed = true,
                        .first_column = first_column});
  }

  void Attention(const std::string& to, const std::string& from) {
    const int64_t d = config_.width(), q = QueryWidth(config_), kv = KvWidth(config_);
    Plain(to + "input_layernorm.weight", {d}, from + "input_norm");
    Plain(to + "post_attention_layernorm.weight", {d}, from + "post_norm");
    Packed(to + "self_attn.q_proj.weight", q, d, from + "qkv", 0, 0);
    Packed(to + "self_attn.k_proj.weight", kv, d, from + "qkv", q, 0);
    Packed(to + "self_attn.v_proj.weight", kv, d, from + "qkv", q + kv, 0);
    Packed(to + "self_attn.o_proj.weight", d, q, from + "out_proj", 0, 0);
  }

  // Gate and up rows of one fused [in -> gate, up] weight and the down projection.
  void Mlp(const std::string& to, const std::string& gate_up, const std::string& down,
           int64_t width, int64_t expert) {
    const int64_t d = config_.width(), skip = expert * PackedElements(d, 2 * width);
    Packed(to + "gate_proj.weight", width, d, gate_up, 0, skip);
    Packed(to + "up_proj.weight", width, d, gate_up, width, skip);
    Packed(to + "down_proj.weight", d, width, down, 0, expert * PackedElements(width, d));
  }

  void Moe(const std::string& to, const std::string& from, int64_t layer) {
    const MoeConfig& moe = config_.moe();
    Packed(to + "gate.weight", moe.experts(), config_.width(), from + "router", 0, 0);
    if (moe.choice_bias()) {
      tensors_.push_back({.name = to + "gate.e_score_correction_bias",
                          .shape = {moe.experts()},
                          .offset = (layer - config_.dense_layers()) * moe.experts(),
                          .router_bias = true});
    }
    if (moe.shared_width() > 0) {
      Mlp(to + "shared_experts.", from + "shared_gate_up", from + "shared_down", moe.shared_width(),
          0);
    }
    for (int64_t e = 0; e < moe.experts(); ++e) {
      Mlp(to + "experts." + std::to_string(e) + ".", from + "expert_gate_up", from + "expert_down",
          moe.width(), e);
    }
  }

  const PolicyConfig& config_;
  std::unordered_map<std::string, int64_t> offsets_;  // of the parameters, by name
  std::vector<FileTensor> tensors_;
};

}  // namespace

int64_t FileTensor::elements() const {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

FileTensors::FileTensors(const Weights& layout)
    : dtype_(layout.dtype()), tensors_(Lister(layout).All()) {}

size_t FileTensors::FileBytes(const FileTensor& tensor) const {
  return static_cast<size_t>(tensor.elements()) * SizeOf(dtype_);
}

void FileTensors::Read(const FileTensor& tensor, const Weights& weights, void* file) const {
  if (tensor.router_bias) return ReadFrom(tensor, weights.router_bias().data, file);
  Read(tensor, weights.values(), file);
}

void FileTensors::Read(const FileTensor& tensor, const Buffer& flat, void* file) const {
  CHECK(!tensor.router_bias, "[weights] the flat buffer holds no router bias",
        Named("tensor", tensor.name));
  ReadFrom(tensor, flat.data(), file);
}

void FileTensors::Write(const FileTensor& tensor, const void* file, Weights* weights) const {
  if (tensor.router_bias) return WriteTo(tensor, file, weights->router_bias().data);
  Write(tensor, file, &weights->values());
}

void FileTensors::Write(const FileTensor& tensor, const void* file, Buffer* flat) const {
  CHECK(!tensor.router_bias, "[weights] the flat buffer holds no router bias",
        Named("tensor", tensor.name));
  WriteTo(tensor, file, flat->data());
}

void FileTensors::ReadFrom(const FileTensor& tensor, const void* memory, void* file) const {
  const char* at =
      static_cast<const char*>(memory) + tensor.offset * static_cast<int64_t>(SizeOf(dtype_));
  if (!tensor.packed) {
    std::memcpy(file, at, FileBytes(tensor));
  } else if (dtype_ == DType::kFloat32) {
    Unpack<float>(tensor, at, file);
  } else {
    Unpack<double>(tensor, at, file);
  }
}

void FileTensors::WriteTo(const FileTensor& tensor, const void* file, void* memory) const {
  char* at = static_cast<char*>(memory) + tensor.offset * static_cast<int64_t>(SizeOf(dtype_));
  if (!tensor.packed) {
    std::memcpy(at, file, FileBytes(tensor));
  } else if (dtype_ == DType::kFloat32) {
    Pack<float>(tensor, file, at);
  } else {
    Pack<double>(tensor, file, at);
  }
}

std::string WeightsSha256(const Weights& weights) {
  const FileTensors form(weights);
  Sha256 hash;
  std::vector<char> bytes;
  for (const FileTensor& tensor : form.tensors()) {
    bytes.resize(form.FileBytes(tensor));
    form.Read(tensor, weights, bytes.data());
    hash.Update(bytes.data(), bytes.size());
  }
  return hash.FinishHex();
}

}  // namespace grouper
