// The whole backward against central differences in fp64, every parameter tensor of every shape.
#include <gtest/gtest.h>

#include <cmath>

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

TEST(PolicyGradient, MatchesFiniteDifferencesInEveryTensor) {
  for (const auto& [name, config] : testing::PolicyShapes(11)) {
    Stream stream{cpu::Isa::kScalar, nullptr};
    Policy policy(config, DType::kFloat64);
    InitRandom(5, &policy.weights(), stream);
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
      pass.Forward(sequences, SamplingRule{}, false);
      const double loss = Loss(pass, sequences, u, e);
      *x = kept;
      return loss;
    };
    for (const Parameter& p : policy.weights().parameters()) {
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
}

}  // namespace
}  // namespace grouper
