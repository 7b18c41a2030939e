// The whole backward against central differences in fp64, every parameter tensor of every shape.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"
#include "policy/optimizer.h"
#include "rl/packed_pass.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

std::vector<TrainSequence> Sequences(int64_t vocab) {
  std::vector<TrainSequence> sequences;
  for (int length : {3, 6, 9}) {
    TrainSequence s;
    for (int t = 0; t < length; ++t)
      s.ids.push_back(static_cast<int32_t>((t * 5 + length) % vocab));
    for (int32_t t = length / 2; t < length; ++t) s.targets.push_back(t);
    sequences.push_back(std::move(s));
  }
  return sequences;
}

// sum of u_i log p(target_i) + e_i H_i, from the pass's fp64 logits.
double Loss(const PackedPass& pass, const std::vector<TrainSequence>& sequences,
            const std::vector<double>& u, const std::vector<double>& e) {
  const Tensor logits = pass.activations().logits;
  const int64_t vocab = logits.shape[1];
  double loss = 0;
  size_t row = 0;
  for (const TrainSequence& s : sequences) {
    for (int32_t target : s.targets) {
      const double* z = logits.as<double>() + static_cast<int64_t>(row) * vocab;
      double sum = 0, weighted = 0;
      for (int64_t v = 0; v < vocab; ++v) sum += std::exp(z[v]);
      const double lse = std::log(sum);
      for (int64_t v = 0; v < vocab; ++v) weighted += std::exp(z[v] - lse) * z[v];
      loss += u[row] * (z[s.ids[static_cast<size_t>(target)]] - lse) + e[row] * (lse - weighted);
      ++row;
    }
  }
  return loss;
}

// Each switch of the mixture both ways, beside the shapes that other tests share.
std::vector<std::pair<std::string, PolicyConfig>> Shapes(int64_t vocab) {
  std::vector<std::pair<std::string, PolicyConfig>> shapes = testing::PolicyShapes(vocab);
  const std::string head = "vocab_size: " + std::to_string(vocab) +
                           " max_positions: 64 width: 12 layers: 1 "
                           "attention { heads: 2 kv_heads: 1 head_dim: 6 } ";
  for (const char* score : {"SOFTMAX", "SIGMOID"}) {
    for (const char* groups : {"", "groups: 4 top_groups: 2 group_score: MAX ",
                               "groups: 4 top_groups: 2 group_score: TOP2_SUM "}) {
      for (const char* renormalize : {"true", "false"}) {
        for (const char* shared : {"0", "5"}) {
          const std::string moe = std::string("moe { experts: 8 experts_per_token: 3 width: 6 ") +
                                  "shared_width: " + shared + " score: " + score + " " + groups +
                                  "renormalize: " + renormalize + " scale: 1.5 }";
          shapes.push_back({moe, testing::ParsePolicy(head + moe)});
        }
      }
    }
  }
  shapes.push_back(
      {"dense, large eps",
       testing::ParsePolicy(head + "dense_width: 10 moe { experts: 0 } " + "rms_norm_eps: 0.1")});
  return shapes;
}

TEST(PolicyGradient, MatchesFiniteDifferencesInEveryTensor) {
  std::set<std::string> tensors;
  for (const auto& [name, config] : Shapes(11)) {
    Stream stream{cpu::Isa::kScalar, nullptr};
    Policy policy(config, DType::kFloat64);
    InitRandom(5, &policy.weights(), stream);
    // A bias that turns choices round; no gradient flows through it.
    const Tensor bias = policy.weights().router_bias();
    for (int64_t i = 0; i < bias.elements(); ++i) {
      bias.as<double>()[i] = 0.4 * std::sin(static_cast<double>(3 * i + 1));
    }
    const std::vector<TrainSequence> sequences = Sequences(11);
    std::vector<double> u, e;
    for (uint32_t i = 0; i < 10; ++i) {
      u.push_back(PhiloxAt(1, RandomStream::kDataOrder, 1, i)[0] * 0x1p-31 - 1);
      e.push_back(PhiloxAt(1, RandomStream::kDataOrder, 2, i)[0] * 0x1p-31 - 1);
    }
    PackedPass pass(&policy, stream);
    pass.Forward(sequences, SamplingRule{}, true);
    u.resize(pass.log_probs().size(), 0.3);
    e.resize(pass.log_probs().size(), -0.2);
    Optimizer optimizer(&policy.weights());
    optimizer.ClearGrads();
    pass.Backward(u, e, optimizer.grad_tensors());
    double* values = static_cast<double*>(policy.weights().values().data());
    const double* grads = static_cast<const double*>(optimizer.grads().data());
    const auto loss_at = [&](double* x, double value) {
      const double kept = *x;
      *x = value;
      if (config.tied_head()) policy.weights().RefreshTransposed(stream);  // the lookup reads it
      pass.Forward(sequences, SamplingRule{}, false);
      const double loss = Loss(pass, sequences, u, e);
      *x = kept;
      return loss;
    };
    for (const Parameter& p : policy.weights().parameters()) {
      tensors.insert(p.name.substr(p.name.rfind('.') + 1));
      // Up to 40 elements of each tensor, spread over it; padding must have no gradient.
      const int64_t stride = std::max<int64_t>(1, p.elements / 40);
      for (int64_t i = p.offset; i < p.offset + p.elements; i += stride) {
        const double step = 1e-5;
        const double numeric =
            (loss_at(values + i, values[i] + step) - loss_at(values + i, values[i] - step)) /
            (2 * step);
        const double scale = std::max({1e-2, std::fabs(numeric), std::fabs(grads[i])});
        ASSERT_NEAR(grads[i], numeric, 1e-6 * scale)
            << name << ": " << p.name << "[" << i - p.offset << "]";
      }
    }
  }
  EXPECT_EQ(tensors, (std::set<std::string>{"embedding", "input_norm", "qkv", "out_proj",
                                            "post_norm", "dense_gate_up", "dense_down", "router",
                                            "shared_gate_up", "shared_down", "expert_gate_up",
                                            "expert_down", "final_norm", "head"}));
}

}  // namespace
}  // namespace grouper
