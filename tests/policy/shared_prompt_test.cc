// Groups whose prompt is computed once, against the same sequences with a copy of the prompt each:
// equal log-probs, bit for bit, and in fp64 the same gradient but for rounding. And against finite
// differences, whole and divided into parts.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "policy/init.h"
#include "policy/optimizer.h"
#include "rl/learner/packed_pass.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

constexpr int64_t kVocab = 11;

// Prompts of 70, 2 and 1 tokens with completions of several lengths; the first fills one block of
// the KV cache and begins another.
struct Data {
  std::vector<Group> groups;
  std::vector<TrainSequence> shared, whole;

  Data() {
    const std::vector<std::vector<int>> completions = {{3, 9, 5}, {4, 2}, {1, 7}};
    const std::vector<int> prompts = {70, 2, 1};
    groups.resize(prompts.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      *groups[g].mutable_prompt() = testing::MakePrompts({prompts[g]}, kVocab)[0];
      for (size_t i = 0; i < completions[g].size(); ++i) {
        Completion* c = groups[g].add_completions();
        c->set_rollout_id(10 * (g + 1) + i);
        for (int t = 0; t < completions[g][i]; ++t) {
          c->add_ids(static_cast<uint32_t>((5 * t + 3 * static_cast<int>(i) + 1) % kVocab));
        }
      }
      for (int i = 0; i < groups[g].completions_size(); ++i) {
        shared.push_back(SequenceOf(groups[g], i));
      }
    }
    SortCanonically(&shared);
    whole = shared;
    for (TrainSequence& s : whole) s.shared_tokens = 0;
  }
};

std::vector<double> Upstream(const std::vector<TrainSequence>& sequences, uint64_t object) {
  std::vector<double> values;
  for (const TrainSequence& s : sequences) {
    for (int32_t target : s.targets) {
      values.push_back(PhiloxAt(1, RandomStream::kDataOrder, object + s.rollout_id,
                                static_cast<uint32_t>(target))[0] *
                           0x1p-31 -
                       1);
    }
  }
  return values;
}

struct Result {
  std::vector<float> log_probs;
  std::vector<double> gradient;
  int64_t tokens = 0;
};

Result Pass(Policy* policy, const Stream& stream, const std::vector<TrainSequence>& sequences,
            int64_t max_tokens) {
  Optimizer optimizer(&policy->weights());
  optimizer.ClearGrads();
  PackedPass pass(policy, stream);
  Result result;
  for (const Cut& cut : CutMicroBatches(sequences, max_tokens)) {
    const std::vector<TrainSequence> micro(
        sequences.begin() + static_cast<std::ptrdiff_t>(cut.begin),
        sequences.begin() + static_cast<std::ptrdiff_t>(cut.end));
    pass.Forward(micro, SamplingRule{}, true, Routing::kLive, cut.part);
    result.log_probs.insert(result.log_probs.end(), pass.log_probs().begin(),
                            pass.log_probs().end());
    result.tokens += pass.tokens();
    pass.Backward(Upstream(micro, 0), Upstream(micro, 1000), optimizer.grad_tensors());
  }
  for (int64_t i = 0; i < policy->weights().elements(); ++i) {
    result.gradient.push_back(policy->dtype() == DType::kFloat64
                                  ? static_cast<const double*>(optimizer.grads().data())[i]
                                  : static_cast<const float*>(optimizer.grads().data())[i]);
  }
  return result;
}

TEST(SharedPrompt, LogProbsAreThoseOfWholeSequencesAndGradientsTheirSum) {
  const Data data;
  int64_t own = 0;
  for (const TrainSequence& s : data.shared) own += s.own_tokens();
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) {
    SCOPED_TRACE(name);
    Stream stream{cpu::Isa::kScalar, nullptr};
    for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
      Policy policy(config, dtype);
      InitRandom(5, &policy.weights(), stream);
      const Result whole = Pass(&policy, stream, data.whole, 100000);
      for (int64_t max_tokens : {1, 12, 80, 100000}) {
        SCOPED_TRACE(max_tokens);
        const Result shared = Pass(&policy, stream, data.shared, max_tokens);
        EXPECT_EQ(shared.tokens, own + 69 + 1) << "each prompt once";
        EXPECT_EQ(shared.log_probs, whole.log_probs);
        double largest = 0, most = 0;
        for (size_t i = 0; i < whole.gradient.size(); ++i) {
          largest = std::max(largest, std::fabs(whole.gradient[i]));
          most = std::max(most, std::fabs(whole.gradient[i] - shared.gradient[i]));
        }
        EXPECT_GT(largest, 0.1);
        EXPECT_LE(most, (dtype == DType::kFloat64 ? 1e-13 : 1e-5) * largest);
      }
    }
  }
}

// Records the experts that the router chooses now, so that no difference turns a choice.
void RecordExperts(Policy* policy, const Stream& stream, Data* data) {
  PackedPass pass(policy, stream);
  pass.Forward(data->shared, SamplingRule{}, false);
  for (const ComputedTokens& computed : pass.computed()) {
    Group& group = data->groups[static_cast<size_t>(computed.sequence->group - &data->groups[0])];
    std::string experts;
    for (int64_t i = 0; i < computed.tokens; ++i) {
      for (const LayerActivations& layer : computed.activations->layers) {
        if (layer.experts.empty()) continue;
        const int64_t k = layer.experts.shape[1];
        const int32_t* ids = layer.experts.as<int32_t>() + (computed.first_row + i) * k;
        for (int64_t slot = 0; slot < k; ++slot) experts.push_back(static_cast<char>(ids[slot]));
      }
    }
    if (computed.first_token < computed.sequence->shared_tokens) {
      group.set_prompt_experts(experts);
    } else {
      group.mutable_completions(static_cast<int>(computed.sequence->rollout_id % 10))
          ->set_experts(experts);
    }
  }
}

TEST(SharedPrompt, GradientsMatchFiniteDifferencesInEveryTensor) {
  Data data;
  for (const auto& [name, config] : testing::PolicyShapes(kVocab)) {
    Stream stream{cpu::Isa::kScalar, nullptr};
    Policy policy(config, DType::kFloat64);
    InitRandom(5, &policy.weights(), stream);
    RecordExperts(&policy, stream, &data);
    const std::vector<double> u = Upstream(data.shared, 0), e = Upstream(data.shared, 1000);
    const Result result = Pass(&policy, stream, data.shared, 12);
    PackedPass pass(&policy, stream);
    double* values = static_cast<double*>(policy.weights().values().data());
    // sum of u log p + e H in fp64, from the logits.
    const auto loss_at = [&](double* x, double value) {
      const double kept = *x;
      *x = value;
      if (config.tied_head()) policy.weights().RefreshTransposed(stream);
      pass.Forward(data.shared, SamplingRule{}, false, Routing::kReplay);
      double loss = 0;
      size_t row = 0;
      for (const TrainSequence& s : data.shared) {
        for (int32_t target : s.targets) {
          const double* z =
              pass.activations().logits.as<double>() + static_cast<int64_t>(row) * kVocab;
          double sum = 0, weighted = 0;
          for (int64_t v = 0; v < kVocab; ++v) sum += std::exp(z[v]);
          const double lse = std::log(sum);
          for (int64_t v = 0; v < kVocab; ++v) weighted += std::exp(z[v] - lse) * z[v];
          loss +=
              u[row] * (z[s.ids[static_cast<size_t>(target)]] - lse) + e[row] * (lse - weighted);
          ++row;
        }
      }
      *x = kept;
      return loss;
    };
    for (const Parameter& p : policy.weights().parameters()) {
      const int64_t stride = std::max<int64_t>(1, p.elements / 5);
      for (int64_t i = p.offset; i < p.offset + p.elements; i += stride) {
        constexpr double kStep = 1e-5;
        const double at = values[i], grad = result.gradient[static_cast<size_t>(i)];
        const double numeric =
            (loss_at(values + i, at + kStep) - loss_at(values + i, at - kStep)) / (2 * kStep);
        const double scale = std::max({1e-1, std::fabs(numeric), std::fabs(grad)});
        ASSERT_NEAR(grad, numeric, 1e-6 * scale)
            << name << ": " << p.name << "[" << i - p.offset << "]";
      }
    }
  }
}

TEST(SharedPrompt, AWrongOrderOfPartsIsRefused) {
  const Data data;
  Stream stream{cpu::Isa::kScalar, nullptr};
  Policy policy(testing::PolicyShapes(kVocab)[0].second, DType::kFloat32);
  PackedPass pass(&policy, stream);
  const std::vector<TrainSequence>& s = data.shared;  // 1-token prompt twice, 2, 2, 70 three times
  const GroupPart opens{.opens = true, .ends = false, .blocks = 8}, later{};
  EXPECT_THROW(pass.Forward({&s[4], 1}, {}, false, Routing::kLive, later), Error);
  pass.Forward({&s[4], 1}, {}, false, Routing::kLive, opens);
  pass.Forward({&s[5], 1}, {}, false, Routing::kLive, later);
  EXPECT_THROW(pass.Forward({&s[2], 1}, {}, false, Routing::kLive, later), Error) << "other group";
  EXPECT_THROW(pass.Forward({&s[0], 1}, {}, false, Routing::kLive, opens), Error) << "no prompt";
  EXPECT_THROW(pass.Forward({&s[3], 2}, {}, false, Routing::kLive, opens), Error) << "two groups";
  pass.Forward(s, {}, false);
  EXPECT_THROW(pass.Forward({&s[5], 1}, {}, false, Routing::kLive, later), Error)
      << "the prompt is no longer in the cache";
  TrainSequence early = s[4];
  early.targets.insert(early.targets.begin(), 3);
  EXPECT_THROW(pass.Forward({&early, 1}, {}, false), Error) << "a target inside the prompt";
}

}  // namespace
}  // namespace grouper
