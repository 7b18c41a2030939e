// The float64 reference of a whole tiny policy: logits, log-probs, entropies, experts and every
// gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/io/file.h"
#include "base/io/json.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/optimizer.h"
#include "rl/learner/packed_pass.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

// Row-major numbers of a nested list.
void Flatten(const Json& json, std::vector<double>* out) {
  if (json.IsNumber()) out->push_back(json.number);
  for (const Json& item : json.items) Flatten(item, out);
}

class Golden {
 public:
  Golden()
      : json_(ParseJson(ReadFile(GROUPER_TEST_GOLDEN "/tiny_policy.json", "golden"), "golden")) {}
  const Json& At(const std::string& key) const { return json_.At(key, "golden"); }
  std::vector<double> Numbers(const std::string& key) const {
    std::vector<double> out;
    Flatten(At(key), &out);
    return out;
  }
  std::vector<double> Tensor(const std::string& group, const std::string& name) const {
    std::vector<double> out;
    Flatten(At(group).At(name, group), &out);
    return out;
  }

 private:
  Json json_;
};

PolicyConfig Shape() {
  return testing::ParsePolicy(
      "vocab_size: 13 width: 8 layers: 2 max_positions: 64 "
      "attention { heads: 4 kv_heads: 2 head_dim: 4 } "
      "moe { experts: 4 experts_per_token: 2 width: 4 shared_width: 4 score: SIGMOID }");
}

// Where a published tensor lies in the reference's fused W[in][out] matrices.
struct Place {
  std::string name;
  int64_t columns = 0;  // of the fused matrix; 0: a plain vector or the embedding
  int64_t first = 0;
  int64_t expert = 0;
};

Place PlaceOf(const std::string& name) {
  if (name == "model.embed_tokens.weight") return {"emb"};
  if (name == "model.norm.weight") return {"gf"};
  if (name == "lm_head.weight") return {"head", 13};
  const std::string layer = "l" + name.substr(std::string("model.layers.").size(), 1) + ".";
  const std::string rest = name.substr(std::string("model.layers.0.").size());
  static const std::map<std::string, Place> places = {
      {"input_layernorm.weight", {"g1"}},
      {"post_attention_layernorm.weight", {"g2"}},
      {"self_attn.q_proj.weight", {"wqkv", 32, 0}},
      {"self_attn.k_proj.weight", {"wqkv", 32, 16}},
      {"self_attn.v_proj.weight", {"wqkv", 32, 24}},
      {"self_attn.o_proj.weight", {"wo", 8}},
      {"mlp.gate.weight", {"wr", 4}},
      {"mlp.shared_experts.gate_proj.weight", {"s_gu", 8, 0}},
      {"mlp.shared_experts.up_proj.weight", {"s_gu", 8, 4}},
      {"mlp.shared_experts.down_proj.weight", {"s_d", 8}},
  };
  Place place;
  if (const auto found = places.find(rest); found != places.end()) {
    place = found->second;
  } else {
    const int64_t expert = rest[std::string("mlp.experts.").size()] - '0';
    if (rest.find("gate_proj") != std::string::npos) place = {"e_gu", 8, 0, expert};
    if (rest.find("up_proj") != std::string::npos) place = {"e_gu", 8, 4, expert};
    if (rest.find("down_proj") != std::string::npos) place = {"e_d", 8, 0, expert};
  }
  place.name = layer + place.name;
  return place;
}

// The reference's numbers for a file tensor, in file form [out][in].
std::vector<double> FileNumbers(const Golden& golden, const std::string& group,
                                const FileTensor& tensor) {
  const Place place = PlaceOf(tensor.name);
  const std::vector<double> all = golden.Tensor(group, place.name);
  if (place.columns == 0) return all;
  std::vector<double> out;
  const int64_t in = tensor.shape[1];
  for (int64_t row = 0; row < tensor.shape[0]; ++row) {
    for (int64_t k = 0; k < in; ++k) {
      out.push_back(
          all[static_cast<size_t>((place.expert * in + k) * place.columns + place.first + row)]);
    }
  }
  return out;
}

void Put(DType dtype, const std::vector<double>& numbers, void* out) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (dtype == DType::kFloat32) {
      static_cast<float*>(out)[i] = static_cast<float>(numbers[i]);
    } else {
      static_cast<double*>(out)[i] = numbers[i];
    }
  }
}

double GetAt(DType dtype, const void* data, size_t i) {
  return dtype == DType::kFloat32 ? static_cast<double>(static_cast<const float*>(data)[i])
                                  : static_cast<const double*>(data)[i];
}

void LoadGolden(const Golden& golden, Policy* policy, Stream& stream) {
  Weights& weights = policy->weights();
  const FileTensors form(weights);
  for (const FileTensor& tensor : form.tensors()) {
    const std::vector<double> numbers = [&] {
      if (!tensor.router_bias) return FileNumbers(golden, "params", tensor);
      const std::vector<double> all = golden.Numbers("bias");
      return std::vector<double>(all.begin() + tensor.offset, all.begin() + tensor.offset + 4);
    }();
    Buffer file(numbers.size() * 8);
    Put(policy->dtype(), numbers, file.data());
    form.Write(tensor, file.data(), &weights);
  }
  weights.RefreshTransposed(stream);
}

std::vector<TrainSequence> Sequences(const Golden& golden) {
  std::vector<TrainSequence> sequences;
  const Json& lengths = golden.At("prompt_len");
  for (size_t i = 0; i < golden.At("seqs").items.size(); ++i) {
    TrainSequence s;
    for (const Json& id : golden.At("seqs").items[i].items) {
      s.ids.push_back(static_cast<int32_t>(id.integer));
    }
    for (int32_t t = static_cast<int32_t>(lengths.items[i].integer);
         t < static_cast<int32_t>(s.ids.size()); ++t) {
      s.targets.push_back(t);
    }
    sequences.push_back(std::move(s));
  }
  return sequences;
}

void RunGolden(Stream stream, DType dtype, double tolerance, double gradient_tolerance) {
  const Golden golden;
  Policy policy(Shape(), dtype);
  LoadGolden(golden, &policy, stream);
  const std::vector<TrainSequence> sequences = Sequences(golden);
  PackedPass pass(&policy, stream);
  pass.Forward(sequences, SamplingRule{}, true);

  // The reference lists logits of every row, the pass those of rows with a target.
  const std::vector<double> logits = golden.Numbers("logits"), rows = golden.Numbers("rows");
  const Tensor ours = pass.activations().logits;
  ASSERT_EQ(static_cast<size_t>(ours.shape[0]), rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t v = 0; v < 13; ++v) {
      EXPECT_NEAR(GetAt(dtype, ours.data, r * 13 + v),
                  logits[static_cast<size_t>(rows[r]) * 13 + v], tolerance * 5);
    }
  }
  const std::vector<double> log_probs = golden.Numbers("logp"),
                            entropies = golden.Numbers("entropy");
  for (size_t i = 0; i < log_probs.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(pass.log_probs()[i]), log_probs[i], 1e-5);
    EXPECT_NEAR(static_cast<double>(pass.entropies()[i]), entropies[i], 1e-5);
  }
  const std::vector<double> experts = golden.Numbers("expert_idx");
  for (size_t layer = 0, at = 0; layer < 2; ++layer) {
    const Tensor& chosen = pass.activations().layers[layer].experts;
    for (int64_t i = 0; i < chosen.elements(); ++i) {
      EXPECT_EQ(chosen.as<int32_t>()[i], static_cast<int32_t>(experts[at++]));
    }
  }

  Optimizer optimizer(&policy.weights());
  optimizer.ClearGrads();
  const std::vector<double> upstream = golden.Numbers("dloss_dlogp");
  const std::vector<double> dentropies(upstream.size(), -0.02);
  pass.Backward(upstream, dentropies, optimizer.grad_tensors());
  const FileTensors form(policy.weights());
  for (const FileTensor& tensor : form.tensors()) {
    if (tensor.router_bias) continue;
    const std::vector<double> expected = FileNumbers(golden, "grads", tensor);
    Buffer file(expected.size() * 8);
    form.Read(tensor, optimizer.grads(), file.data());
    double largest = 1e-3;
    for (double x : expected) largest = std::max(largest, std::fabs(x));
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(GetAt(dtype, file.data(), i), expected[i], gradient_tolerance * largest)
          << tensor.name << " " << i;
    }
  }
}

TEST(GoldenPolicy, Fp64) { RunGolden({cpu::Isa::kScalar, nullptr}, DType::kFloat64, 1e-10, 1e-10); }

TEST(GoldenPolicy, Fp32OnEveryInstructionSet) {
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    RunGolden({isa, nullptr}, DType::kFloat32, 1e-5, 1e-4);
  }
}

}  // namespace
}  // namespace grouper
