#include "policy/weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "kernels/gemm/matmul.h"
#include "kernels/numerics.h"

namespace grouper {
namespace {

// Places the tensors of the values one after another from `base`, and lists them. With base nullptr
// the views have shapes but no data.
class ValuePlacer {
 public:
  ValuePlacer(DType dtype, void* base) : dtype_(dtype), base_(static_cast<char*>(base)) {}

  Tensor Vector(const std::string& name, int64_t n) {
    return Tensor::Vector(Place(name, n, false), dtype_, n);
  }
  Tensor Matrix(const std::string& name, int64_t rows, int64_t columns) {
    return Tensor::Matrix(Place(name, rows * columns, false), dtype_, rows, columns);
  }
  Tensor Packed(const std::string& name, int64_t experts, int64_t in, int64_t out, bool decays) {
    char* at = Place(name, experts * PackedElements(in, out), decays);
    return Tensor::Block(at, dtype_, experts, PackedPanels(out), in, numerics::kPanelColumns);
  }
  int64_t elements() const { return used_; }
  std::vector<Parameter> TakeParameters() { return std::move(parameters_); }

 private:
  char* Place(const std::string& name, int64_t n, bool decays) {
    char* at = base_ == nullptr ? nullptr : base_ + used_ * static_cast<int64_t>(SizeOf(dtype_));
    parameters_.push_back({name, used_, n, decays});
    used_ += n;
    return at;
  }

  DType dtype_;
  char* base_;
  int64_t used_ = 0;
  std::vector<Parameter> parameters_;
};

// The same walk for the transposed packing: inputs and outputs are exchanged, and tensors that are
// not packed have no place in it. The padding differs, so its size does too.
class TransposedPlacer {
 public:
  TransposedPlacer(DType dtype, void* base) : values_(dtype, base) {}

  Tensor Vector(const std::string&, int64_t) { return {}; }
  Tensor Matrix(const std::string&, int64_t, int64_t) { return {}; }
  Tensor Packed(const std::string& name, int64_t experts, int64_t in, int64_t out, bool decays) {
    return values_.Packed(name, experts, out, in, decays);
  }
  int64_t elements() const { return values_.elements(); }

 private:
  ValuePlacer values_;
};

template <typename Placer>
Tensor PlaceExperts(const std::string& name, int64_t experts, int64_t in, int64_t out,
                    Placer* placer) {
  if (in == 0 || out == 0 || experts == 0) return {};
  return placer->Packed(name, experts, in, out, true);
}

template <typename Placer>
Tensor PlacePacked(const std::string& name, int64_t in, int64_t out, bool decays, Placer* placer) {
  if (in == 0 || out == 0) return {};
  const Tensor t = placer->Packed(name, 1, in, out, decays);
  return Tensor::Cube(t.data, t.dtype, t.shape[1], t.shape[2], t.shape[3]);
}

template <typename Placer>
LayerTensors PlaceLayer(const PolicyConfig& config, int64_t index, Placer* placer) {
  const std::string at = "layers." + std::to_string(index) + ".";
  const int64_t d = config.width();
  const auto packed = [&](const char* name, int64_t in, int64_t out) {
    return PlacePacked(at + name, in, out, true, placer);
  };
  LayerTensors layer;
  layer.input_norm = placer->Vector(at + "input_norm", d);
  layer.qkv = packed("qkv", d, QkvWidth(config));
  layer.out_proj = packed("out_proj", QueryWidth(config), d);
  layer.post_norm = placer->Vector(at + "post_norm", d);
  if (!IsMoeLayer(config, index)) {
    layer.dense_gate_up = packed("dense_gate_up", d, 2 * config.dense_width());
    layer.dense_down = packed("dense_down", config.dense_width(), d);
    return layer;
  }
  const MoeConfig& moe = config.moe();
  layer.router = packed("router", d, moe.experts());
  layer.shared_gate_up = packed("shared_gate_up", d, 2 * moe.shared_width());
  layer.shared_down = packed("shared_down", moe.shared_width(), d);
  layer.expert_gate_up =
      PlaceExperts(at + "expert_gate_up", moe.experts(), d, 2 * moe.width(), placer);
  layer.expert_down = PlaceExperts(at + "expert_down", moe.experts(), moe.width(), d, placer);
  return layer;
}

// Walks all parameters in the fixed order of the flat buffer.
template <typename Placer>
PolicyTensors PlaceAll(const PolicyConfig& config, Placer* placer) {
  const int64_t d = config.width(), vocab = config.vocab_size();
  PolicyTensors views;
  if (!config.tied_head()) views.embedding = placer->Matrix("embedding", vocab, d);
  for (int64_t i = 0; i < config.layers(); ++i) {
    views.layers.push_back(PlaceLayer(config, i, placer));
  }
  views.final_norm = placer->Vector("final_norm", d);
  // A head that is the embedding too does not decay, as no embedding does.
  views.head = config.tied_head() ? PlacePacked("embedding", d, vocab, false, placer)
                                  : PlacePacked("head", d, vocab, true, placer);
  return views;
}

}  // namespace

Weights::Bytes Weights::BytesOf(const PolicyConfig& config, DType dtype) {
  CheckPolicyConfig(config);
  ValuePlacer values(dtype, nullptr);
  TransposedPlacer transposed(dtype, nullptr);
  PlaceAll(config, &values);
  PlaceAll(config, &transposed);
  const int64_t biases =
      std::max<int64_t>(MoeLayers(config), 1) * std::max<int64_t>(config.moe().experts(), 1);
  const int64_t size = static_cast<int64_t>(SizeOf(dtype));
  return {.values = values.elements() * size,
          .transposed = transposed.elements() * size,
          .router_bias = biases * size};
}

Weights::Weights(const PolicyConfig& config, DType dtype) : config_(config), dtype_(dtype) {
  const Bytes bytes = BytesOf(config, dtype);
  values_ = Buffer(static_cast<size_t>(bytes.values));
  transposed_values_ = Buffer(static_cast<size_t>(bytes.transposed));
  router_bias_ = Buffer(static_cast<size_t>(bytes.router_bias));
  ValuePlacer values(dtype, values_.data());
  TransposedPlacer transposed(dtype, transposed_values_.data());
  tensors_ = PlaceAll(config_, &values);
  transposed_ = PlaceAll(config_, &transposed);
  elements_ = values.elements();
  parameters_ = values.TakeParameters();
}

PolicyTensors Weights::ViewsOf(const Buffer& buffer) const {
  CHECK(buffer.bytes() == flat_bytes(),
        "[weights] the buffer does not have the size of the weights",
        Named("buffer_bytes", buffer.bytes()), Named("weights_bytes", flat_bytes()));
  ValuePlacer placer(dtype_, buffer.data());
  return PlaceAll(config_, &placer);
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
        "[weights] a copy needs two weights of one layout", Named("elements", elements_),
        Named("other_elements", other.elements_));
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

uint64_t Weights::Digest() const {
  return WordSumDigest(values_.data(), flat_bytes()) +
         WordSumDigest(router_bias_.data(), router_bias_.bytes(), flat_bytes());
}

}  // namespace grouper
