// The whole backward against central differences in fp64, every parameter tensor of every shape.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"
#include "policy/init.h"
#include "policy/optimizer.h"
#include "rl/learner/packed_pass.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int kLengths[] = {3, 6, 9};

// For each sequence a record of experts that no router would choose.
std::vector<Group> Records(const PolicyConfig& config) {
  const auto ids = [&](int positions, int first) {
    std::string bytes;
    for (int64_t i = 0; i < positions * MoeLayers(config); ++i) {
      for (int64_t slot = 0; slot < config.moe().experts_per_token(); ++slot) {
        bytes.push_back(static_cast<char>((first + 5 * i + slot) % config.moe().experts()));
      }
    }
    return bytes;
  };
  std::vector<Group> records;
  for (int length : kLengths) {
    Group& group = records.emplace_back();
    group.set_prompt_experts(ids(length / 2 - 1, length));
    Completion* completion = group.add_completions();
    for (int t = length / 2; t < length; ++t) completion->add_ids(0);  // the count matters alone
    completion->set_experts(ids(length - length / 2, length + 1));
  }
  return records;
}

std::vector<TrainSequence> Sequences(int64_t vocab, const std::vector<Group>& records) {
  std::vector<TrainSequence> sequences;
  for (int length : kLengths) {
    TrainSequence s;
    s.group = &records[sequences.size()];
    s.completion = &s.group->completions(0);
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

// Each switch of the mixture on and off, in addition to the shapes that other tests share.
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

void ExpectFiniteDifferences(const std::string& name, const PolicyConfig& config, Routing routing,
                             std::set<std::string>* tensors) {
  Stream stream{cpu::Isa::kScalar, nullptr};
  Policy policy(config, DType::kFloat64);
  InitRandom(5, &policy.weights(), stream);
  // A bias that changes choices; no gradient flows through it.
  const Tensor bias = policy.weights().router_bias();
  for (int64_t i = 0; i < bias.elements(); ++i) {
    bias.as<double>()[i] = 0.4 * std::sin(static_cast<double>(3 * i + 1));
  }
  const std::vector<Group> records = Records(config);
  const std::vector<TrainSequence> sequences = Sequences(11, records);
  std::vector<double> u, e;
  for (uint32_t i = 0; i < 10; ++i) {
    u.push_back(PhiloxAt(1, RandomStream::kDataOrder, 1, i)[0] * 0x1p-31 - 1);
    e.push_back(PhiloxAt(1, RandomStream::kDataOrder, 2, i)[0] * 0x1p-31 - 1);
  }
  PackedPass pass(&policy, stream);
  pass.Forward(sequences, SamplingRule{}, true, routing);
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
    pass.Forward(sequences, SamplingRule{}, false, routing);
    const double loss = Loss(pass, sequences, u, e);
    *x = kept;
    return loss;
  };
  for (const Parameter& p : policy.weights().parameters()) {
    tensors->insert(p.name.substr(p.name.rfind('.') + 1));
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

TEST(PolicyGradient, MatchesFiniteDifferencesInEveryTensor) {
  std::set<std::string> tensors;
  for (const auto& [name, config] : Shapes(11)) {
    ExpectFiniteDifferences(name, config, Routing::kLive, &tensors);
  }
  EXPECT_EQ(tensors, (std::set<std::string>{"embedding", "input_norm", "qkv", "out_proj",
                                            "post_norm", "dense_gate_up", "dense_down", "router",
                                            "shared_gate_up", "shared_down", "expert_gate_up",
                                            "expert_down", "final_norm", "head"}));
}

TEST(PolicyGradient, MatchesFiniteDifferencesUnderReplayedRouting) {
  for (const auto& [name, config] : testing::PolicyShapes(11)) {
    if (MoeLayers(config) == 0) continue;
    std::set<std::string> tensors;
    ExpectFiniteDifferences(name, config, Routing::kReplay, &tensors);
    EXPECT_TRUE(tensors.contains("router")) << name;
  }
}

}  // namespace
}  // namespace grouper
