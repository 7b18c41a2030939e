// A head that is the embedding: one parameter and one file tensor, the stated chain of both uses
// bit by bit, independent of cuts, threads and instruction sets; saved and loaded as it is.
#include <gtest/gtest.h>

#include <cstring>

#include "base/io/file.h"
#include "kernels/embed/embedding.h"
#include "kernels/embed/packed_embedding.h"
#include "kernels/gemm/matmul.h"
#include "policy/checkpoint/checkpoint.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/checkpoint/safetensors.h"
#include "policy/init.h"
#include "policy/layers/tied_gradient.h"
#include "proto/textproto.h"
#include "rl/learner/packed_pass.h"
#include "tests/testing/kernel_case.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

using testing::Normal;
using testing::Owned;
using testing::SameBits;

constexpr int64_t kVocab = 77, kWidth = 40;

PolicyConfig Tied(bool tied = true) {
  PolicyConfig config = testing::ParsePolicy(
      "vocab_size: 77 width: 40 layers: 2 max_positions: 64 dense_width: 24 "
      "attention { heads: 4 kv_heads: 2 head_dim: 6 } moe { experts: 0 }");
  config.set_tied_head(tied);
  return config;
}

Owned Ids(std::vector<int32_t> ids) {
  Owned t(DType::kInt32, {static_cast<int64_t>(ids.size())});
  std::copy(ids.begin(), ids.end(), t.view.as<int32_t>());
  return t;
}

TEST(PackedEmbedding, ReadsTheRowsOfThePlainTable) {
  const Owned table = Normal(DType::kFloat32, {kVocab, kWidth}, 1);
  Owned packed(DType::kFloat32, {2, kVocab, 32});
  for (int64_t v = 0; v < kVocab; ++v) {
    for (int64_t i = 0; i < kWidth; ++i)
      packed.Put((i / 32 * kVocab + v) * 32 + i % 32, table.Get(v * kWidth + i));
  }
  const Owned ids = Ids({0, 76, 31, 32, 31, 5});
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    Stream stream{isa, nullptr};
    Owned plain(DType::kFloat32, {6, kWidth}), out(DType::kFloat32, {6, kWidth});
    Embedding(stream, {.ids = ids, .table = table, .out = plain});
    PackedEmbedding(stream, {.ids = ids, .table = packed, .out = out});
    EXPECT_TRUE(SameBits(out, plain)) << cpu::NameOf(isa);
  }
  Stream stream = testing::BestStream();
  Owned out(DType::kFloat32, {1, kWidth});
  EXPECT_THROW(PackedEmbedding(stream, {.ids = Ids({77}), .table = packed, .out = out}), Error);
  EXPECT_THROW(PackedEmbedding(stream, {.ids = Ids({-1}), .table = packed, .out = out}), Error);
}

// Three sequences of 5, 1 and 9 tokens; the second has no logit row. Ids repeat on purpose.
struct Case {
  Owned ids = Ids({3, 70, 3, 3, 64, 70, 0, 76, 3, 3, 31, 32, 33, 3, 70});
  Owned logit_rows = Ids({1, 2, 4, 8, 9, 10, 14});
  Owned offsets = Ids({0, 5, 6, 15});
  Owned normed = Normal(DType::kFloat32, {7, kWidth}, 2);
  Owned dlogits = Normal(DType::kFloat32, {7, kVocab}, 3);
  Owned dx = Normal(DType::kFloat32, {15, kWidth}, 4);
  Owned start = Normal(DType::kFloat32, {3, kWidth, 32}, 5);
};

Owned Gradient(const Case& c, Stream stream, std::vector<std::pair<int64_t, int64_t>> cuts) {
  Owned grad = c.start.Clone();
  for (const auto& [first, last] : cuts) {  // sequences [first, last)
    const int32_t* offsets = c.offsets.view.as<int32_t>();
    const int32_t begin = offsets[first], end = offsets[last];
    std::vector<int32_t> cut_offsets, rows;
    for (int64_t s = first; s <= last; ++s) cut_offsets.push_back(offsets[s] - begin);
    int64_t first_row = 0;
    for (int64_t r = 0; r < 7; ++r) {
      const int32_t token = c.logit_rows.view.as<int32_t>()[r];
      if (token < begin) first_row = r + 1;
      if (token >= begin && token < end) rows.push_back(token - begin);
    }
    const int64_t n = static_cast<int64_t>(rows.size());
    TiedGradient(stream, {.ids = c.ids.view.Rows(begin, end - begin),
                          .logit_rows = Ids(rows),
                          .sequence_offsets = Ids(cut_offsets),
                          .normed = c.normed.view.Rows(first_row, n),
                          .dlogits = c.dlogits.view.Rows(first_row, n),
                          .dx = c.dx.view.Rows(begin, end - begin),
                          .grad = grad});
  }
  return grad;
}

TEST(TiedGradient, IsTheStatedChainHoweverItIsCut) {
  const Case c;
  Owned expected = c.start.Clone();
  const int32_t *offsets = c.offsets.view.as<int32_t>(), *rows = c.logit_rows.view.as<int32_t>();
  for (int64_t v = 0; v < kVocab; ++v) {
    for (int64_t i = 0; i < kWidth; ++i) {
      float& g = expected.view.as<float>()[(v / 32 * kWidth + i) * 32 + v % 32];
      for (int64_t s = 0; s < 3; ++s) {
        for (int64_t r = 0; r < 7; ++r) {
          if (rows[r] < offsets[s] || rows[r] >= offsets[s + 1]) continue;
          g = std::fma(c.normed.view.as<float>()[r * kWidth + i],
                       c.dlogits.view.as<float>()[r * kVocab + v], g);
        }
        for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
          if (c.ids.view.as<int32_t>()[t] == v) g = g + c.dx.view.as<float>()[t * kWidth + i];
        }
      }
    }
  }
  // Columns past the vocabulary keep what they hold.
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    for (int threads : {1, 2, 3}) {
      cpu::ThreadPool pool(threads);
      const Stream stream{isa, threads > 1 ? &pool : nullptr};
      EXPECT_TRUE(SameBits(Gradient(c, stream, {{0, 3}}), expected)) << cpu::NameOf(isa) << threads;
      EXPECT_TRUE(SameBits(Gradient(c, stream, {{0, 1}, {1, 3}}), expected)) << cpu::NameOf(isa);
      EXPECT_TRUE(SameBits(Gradient(c, stream, {{0, 2}, {2, 3}}), expected)) << cpu::NameOf(isa);
    }
  }
}

TEST(TiedHead, IsOneParameterAndOneFileTensor) {
  const Weights tied(Tied(), DType::kFloat32), apart(Tied(false), DType::kFloat32);
  EXPECT_EQ(ParameterCount(Tied()) + kVocab * kWidth, ParameterCount(Tied(false)));
  EXPECT_EQ(ActiveParameterCount(Tied()), ActiveParameterCount(Tied(false)));
  EXPECT_EQ(tied.parameters().size() + 1, apart.parameters().size());
  const FileTensors tied_form(tied), apart_form(apart);
  EXPECT_EQ(tied_form.tensors().size() + 1, apart_form.tensors().size());
  for (const FileTensor& tensor : tied_form.tensors()) EXPECT_NE(tensor.name, "lm_head.weight");
  for (const Parameter& p : tied.parameters()) {
    EXPECT_FALSE(p.name == "embedding" && p.decays);
  }
}

// The same numbers in a policy whose head and embedding lie apart give the same logits, alone and
// in a batch, and gradients that add up to the tied one.
TEST(TiedHead, LogitsAndGradientsAreThoseOfTwoEqualMatrices) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    Stream stream{cpu::AvailableIsas().front(), nullptr};
    Policy tied(Tied(), dtype), apart(Tied(false), dtype);
    InitRandom(8, &tied.weights(), stream);
    const FileTensors tied_form(tied.weights()), apart_form(apart.weights());
    for (const FileTensor& to : apart_form.tensors()) {
      for (const FileTensor& from : tied_form.tensors()) {
        if (from.name != to.name &&
            !(to.name == "lm_head.weight" && from.name == "model.embed_tokens.weight"))
          continue;
        std::vector<double> bytes(static_cast<size_t>(to.elements()));
        tied_form.Read(from, tied.weights(), bytes.data());
        apart_form.Write(to, bytes.data(), &apart.weights());
      }
    }
    apart.weights().RefreshTransposed(stream);
    std::vector<TrainSequence> sequences(3);
    for (size_t s = 0; s < 3; ++s) {
      for (int t = 0; t < 6 + static_cast<int>(s); ++t)
        sequences[s].ids.push_back(static_cast<int32_t>((7 * t + 31 * static_cast<int>(s)) % 77));
      sequences[s].targets = {2, 3, 5};
    }
    PackedPass a(&tied, stream), b(&apart, stream);
    a.Forward(sequences, SamplingRule{}, true);
    b.Forward(sequences, SamplingRule{}, true);
    ASSERT_EQ(0, std::memcmp(a.activations().logits.data, b.activations().logits.data,
                             static_cast<size_t>(9 * kVocab) * SizeOf(dtype)));
    Optimizer one(&tied.weights()), two(&apart.weights());
    const std::vector<double> upstream(9, -0.25);
    a.Backward(upstream, {}, one.grad_tensors());
    b.Backward(upstream, {}, two.grad_tensors());
    const auto grad_of = [&](const Weights& weights, const Buffer& grads, const std::string& name) {
      const FileTensors form(weights);
      for (const FileTensor& tensor : form.tensors()) {
        if (tensor.name != name) continue;
        std::vector<double> out(static_cast<size_t>(kVocab * kWidth));
        form.Read(tensor, grads, out.data());
        if (dtype == DType::kFloat64) return out;
        const std::vector<float> narrow(
            reinterpret_cast<const float*>(out.data()),
            reinterpret_cast<const float*>(out.data()) + kVocab * kWidth);
        return std::vector<double>(narrow.begin(), narrow.end());
      }
      return std::vector<double>();
    };
    const auto sum = grad_of(tied.weights(), one.grads(), "model.embed_tokens.weight");
    const auto in = grad_of(apart.weights(), two.grads(), "model.embed_tokens.weight");
    const auto out = grad_of(apart.weights(), two.grads(), "lm_head.weight");
    const double tolerance = dtype == DType::kFloat64 ? 1e-14 : 1e-5;
    for (size_t i = 0; i < sum.size(); ++i) ASSERT_NEAR(sum[i], in[i] + out[i], tolerance) << i;
  }
}

TEST(TiedHead, CheckpointsHoldNoHeadAndComeBackBitForBit) {
  const testing_support::TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "step-1");
  Stream stream = testing::BestStream();
  Policy saved(Tied(), DType::kFloat32), loaded(Tied(), DType::kFloat32);
  InitRandom(1, &saved.weights(), stream);
  InitRandom(2, &loaded.weights(), stream);
  Optimizer moments(&saved.weights()), back(&loaded.weights());
  float* grads = static_cast<float*>(moments.grads().data());
  const float* values = static_cast<const float*>(saved.weights().values().data());
  for (int64_t i = 0; i < saved.weights().elements(); ++i) grads[i] = values[i] * 0.5f;
  moments.Update(stream, {}, 1e-2);
  SaveCheckpoint(folder, saved, &moments, Manifest());
  const std::string model = JoinPath(folder, "model.safetensors");
  const std::string bytes = ReadFile(model, "model");
  const SafetensorsFile file =
      ReadSafetensors({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, model);
  EXPECT_EQ(file.Find("lm_head.weight"), nullptr);
  ASSERT_NE(file.Find("model.embed_tokens.weight"), nullptr);
  EXPECT_EQ(file.Find("model.embed_tokens.weight")->shape, (std::vector<int64_t>{77, 40}));
  LoadCheckpoint(folder, &loaded, &back);
  loaded.weights().RefreshTransposed(stream);
  EXPECT_EQ(WeightsSha256(loaded.weights()), WeightsSha256(saved.weights()));
  EXPECT_EQ(0, std::memcmp(back.m().data(), moments.m().data(), back.m().bytes()));
  EXPECT_EQ(0, std::memcmp(back.v().data(), moments.v().data(), back.v().bytes()));
  Policy other(Tied(false), DType::kFloat32);
  EXPECT_NE(testing_support::UserErrorOf([&] { LoadCheckpoint(folder, &other, nullptr); }), "");
}

}  // namespace
}  // namespace grouper
