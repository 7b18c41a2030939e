// Config, initial weights, optimizer, balance of the routers, rope table and cache blocks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "policy/layers/rope_table.h"
#include "policy/layers/router_stats.h"
#include "policy/memory/kv_cache.h"
#include "policy/optimizer.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

PolicyConfig ConfigOf(const std::string& change) {
  PolicyConfig config;
  MergeTextproto(
      "vocab_size: 9 width: 8 layers: 2 dense_layers: 1 dense_width: 12 max_positions: 32 "
      "attention { heads: 4 kv_heads: 2 head_dim: 4 } "
      "moe { experts: 4 experts_per_token: 2 width: 6 shared_width: 5 }",
      "test policy", &config);
  MergeTextproto(change, "change", &config);
  return config;
}

struct Trained {
  explicit Trained(DType dtype = DType::kFloat32)
      : weights(ConfigOf(""), dtype), optimizer(&weights) {
    InitRandom(3, &weights, stream);
  }
  float* values() { return static_cast<float*>(weights.values().data()); }
  float* grads() { return static_cast<float*>(optimizer.grads().data()); }
  Stream stream{cpu::Isa::kScalar, nullptr};
  Weights weights;
  Optimizer optimizer;
};

// Published totals of the families that this policy can express.
TEST(PolicyConfig, CountsTheParametersOfPublishedShapes) {
  const PolicyConfig mixtral = ConfigOf(
      "vocab_size: 32000 width: 4096 layers: 32 dense_layers: 0 "
      "attention { heads: 32 kv_heads: 8 head_dim: 128 } "
      "moe { width: 14336 experts: 8 experts_per_token: 2 shared_width: 0 choice_bias: false }");
  EXPECT_EQ(ParameterCount(mixtral), 46702792704);
  EXPECT_EQ((ActiveParameterCount(mixtral) + 5000000) / 10000000, 1275);
  const PolicyConfig llama = ConfigOf(
      "vocab_size: 128256 width: 4096 layers: 32 dense_layers: 32 dense_width: 14336 "
      "attention { heads: 32 kv_heads: 8 head_dim: 128 } moe { experts: 0 }");
  EXPECT_EQ(ParameterCount(llama), 8030261248);
  // The flat buffer holds as many numbers and also the padding of its panels.
  const Weights weights(ConfigOf(""), DType::kFloat32);
  int64_t in_files = 0;
  const FileTensors form(weights);
  for (const FileTensor& tensor : form.tensors()) {
    in_files += tensor.router_bias ? 0 : tensor.elements();
  }
  EXPECT_EQ(in_files, ParameterCount(ConfigOf("")));
  EXPECT_GE(weights.elements(), in_files);
}

struct BadPolicy {
  const char* name;
  const char* change;
  const char* field;  // named in the message
};

class BadPolicyTest : public ::testing::TestWithParam<BadPolicy> {};

TEST_P(BadPolicyTest, IsRefusedByTheNameOfTheField) {
  const BadPolicy& bad = GetParam();
  const std::string message =
      testing_support::UserErrorOf([&] { CheckPolicyConfig(ConfigOf(bad.change)); });
  EXPECT_NE(message.find(bad.field), std::string::npos) << bad.change << ": " << message;
}

INSTANTIATE_TEST_SUITE_P(
    PolicyConfig, BadPolicyTest,
    ::testing::Values(
        BadPolicy{"NoVocabulary", "vocab_size: 0", "vocab_size"},
        BadPolicy{"NoWidth", "width: 0", "width"},
        BadPolicy{"NegativeLayers", "layers: -1", "layers"},
        BadPolicy{"TooManyLayers", "layers: 100000", "layers"},
        BadPolicy{"NoPositions", "max_positions: 0", "max_positions"},
        BadPolicy{"NoHeads", "attention { heads: 0 }", "heads"},
        BadPolicy{"KvHeadsDoNotDivide", "attention { kv_heads: 3 }", "kv_heads"},
        BadPolicy{"OddHeadDim", "attention { head_dim: 5 }", "head_dim"},
        BadPolicy{"HeadDimTooLarge", "attention { head_dim: 258 }", "head_dim"},
        BadPolicy{"EpsIsZero", "rms_norm_eps: 0", "rms_norm_eps"},
        BadPolicy{"EpsIsNegative", "rms_norm_eps: -1e-6", "rms_norm_eps"},
        BadPolicy{"EpsIsNan", "rms_norm_eps: nan", "rms_norm_eps"},
        BadPolicy{"ThetaIsNegative", "attention { rope_theta: -10000 }", "rope_theta"},
        BadPolicy{"ThetaIsZero", "attention { rope_theta: 0 }", "rope_theta"},
        BadPolicy{"ThetaIsInfinite", "attention { rope_theta: inf }", "rope_theta"},
        BadPolicy{"ScaleIsZero", "moe { scale: 0 }", "moe.scale"},
        BadPolicy{"ScaleIsNan", "moe { scale: nan }", "moe.scale"},
        BadPolicy{"MoreDenseLayersThanLayers", "dense_layers: 3", "dense_layers"},
        BadPolicy{"NegativeDenseLayers", "dense_layers: -1", "dense_layers"},
        BadPolicy{"NoDenseWidth", "dense_width: 0", "dense_width"},
        BadPolicy{"NegativeExperts", "moe { experts: -1 }", "experts"},
        BadPolicy{"TooManyExperts", "moe { experts: 1025 }", "experts"},
        BadPolicy{"MoreExpertsPerTokenThanExperts", "moe { experts_per_token: 5 }",
                  "experts_per_token"},
        BadPolicy{"NoExpertsPerToken", "moe { experts_per_token: 0 }", "experts_per_token"},
        BadPolicy{"NoExpertWidth", "moe { width: 0 }", "width"},
        BadPolicy{"NegativeSharedWidth", "moe { shared_width: -1 }", "shared_width"},
        BadPolicy{"GroupsDoNotDivide", "moe { groups: 3 }", "groups"},
        BadPolicy{"NoGroups", "moe { groups: 0 }", "groups"},
        BadPolicy{"MoreTopGroupsThanGroups", "moe { groups: 2 top_groups: 3 }", "top_groups"},
        BadPolicy{"TopGroupsHoldTooFewExperts", "moe { groups: 4 top_groups: 1 group_score: MAX }",
                  "top_groups"},
        BadPolicy{"Top2OfOneExpert", "moe { groups: 4 top_groups: 2 }", "TOP2_SUM"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(PolicyConfig, TakesAnythingInWhatNoLayerUses) {
  EXPECT_NO_THROW(CheckPolicyConfig(ConfigOf("")));
  EXPECT_NO_THROW(CheckPolicyConfig(ConfigOf("dense_layers: 2 moe { width: 0 groups: 3 }")));
  EXPECT_NO_THROW(CheckPolicyConfig(ConfigOf("dense_layers: 0 dense_width: 0")));
  EXPECT_NO_THROW(CheckPolicyConfig(ConfigOf("moe { groups: 4 top_groups: 2 group_score: MAX }")));
}

TEST(InitRandom, FollowsTheStatedDeviationsByNameAndElement) {
  const PolicyConfig config = ConfigOf(
      "vocab_size: 90 width: 48 attention { head_dim: 16 } dense_width: 64 moe { width: 40 }");
  Stream stream{cpu::Isa::kScalar, nullptr};
  Weights weights(config, DType::kFloat32), wide(config, DType::kFloat64);
  InitRandom(3, &weights, stream);
  InitRandom(3, &wide, stream);
  std::map<std::string, std::vector<float>> first;
  const FileTensors form(weights), wide_form(wide);
  for (const FileTensor& tensor : form.tensors()) {
    const size_t n = static_cast<size_t>(tensor.elements());
    std::vector<float> x(n);
    std::vector<double> y(n);
    form.Read(tensor, weights, x.data());
    wide_form.Read(tensor, wide, y.data());
    double squares = 0;
    for (size_t i = 0; i < n; ++i) {
      squares += y[i] * y[i];
      ASSERT_EQ(static_cast<double>(x[i]), y[i]) << tensor.name;
    }
    first[tensor.name] = x;
    const std::string& name = tensor.name;
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    double expected = 1;
    if (tensor.router_bias) {
      expected = 0;
    } else if (has("embed_tokens")) {
      expected = 0.3;
    } else if (tensor.shape.size() == 2) {
      expected = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
      if (has("lm_head")) expected *= 0.5;
      if (has("o_proj") || has("down_proj")) expected /= std::sqrt(2.0 * 2);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(n));
    EXPECT_NEAR(deviation, expected, tensor.shape.size() == 2 ? 0.15 * expected : 0) << name;
  }
  // Numbers belong to (seed, name, element): other tensors and other seeds do not share them.
  EXPECT_NE(first["model.layers.0.self_attn.k_proj.weight"],
            first["model.layers.1.self_attn.k_proj.weight"]);
  PolicyConfig deeper = config;
  deeper.set_layers(3);
  Weights more(deeper, DType::kFloat32);
  for (uint64_t seed : {3, 4}) {
    InitRandom(seed, &more, stream);
    const FileTensors more_form(more);
    for (const FileTensor& tensor : more_form.tensors()) {
      if (tensor.name != "model.layers.1.self_attn.k_proj.weight") continue;
      std::vector<float> x(first[tensor.name].size());
      more_form.Read(tensor, more, x.data());
      EXPECT_EQ(x == first[tensor.name], seed == 3);
    }
  }
}

TEST(Optimizer, DecaysMatricesButNoNormNoEmbeddingAndNoBias) {
  Trained t;
  t.weights.router_bias().as<float>()[1] = 0.75f;
  const std::vector<float> before(t.values(), t.values() + t.weights.elements());
  t.optimizer.Update(t.stream, {.weight_decay = 0.5}, 0.25);  // no gradient: decay alone
  std::set<std::string> kept, decayed;
  for (const Parameter& p : t.weights.parameters()) {
    const std::string kind = p.name.substr(p.name.rfind('.') + 1);
    for (int64_t i = p.offset; i < p.offset + p.elements; ++i) {
      const float old = before[static_cast<size_t>(i)], now = t.values()[i];
      if (now == old) {
        if (old != 0) kept.insert(kind);
      } else {
        decayed.insert(kind);
        ASSERT_NEAR(now, old * (1 - 0.25 * 0.5), 1e-7 * std::fabs(old)) << p.name;
      }
    }
  }
  EXPECT_EQ(kept, (std::set<std::string>{"embedding", "input_norm", "post_norm", "final_norm"}));
  EXPECT_EQ(decayed, (std::set<std::string>{"qkv", "out_proj", "dense_gate_up", "dense_down",
                                            "router", "shared_gate_up", "shared_down",
                                            "expert_gate_up", "expert_down", "head"}));
  EXPECT_EQ(t.weights.router_bias().as<float>()[1], 0.75f);
}

TEST(Optimizer, FollowsAdamWWithClippingAndRefreshesTheTransposedWeights) {
  Trained t;
  const int64_t n = t.weights.elements();
  std::vector<double> p(t.values(), t.values() + n), m(p.size()), v(p.size());
  for (int update = 1; update <= 3; ++update) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) {
      t.grads()[i] = t.values()[i] == 0
                         ? 0
                         : static_cast<float>(std::sin(7.0 * update * static_cast<double>(i + 1)));
      squares += static_cast<double>(t.grads()[i]) * t.grads()[i];
    }
    const double norm = t.optimizer.Update(t.stream, {.max_grad_norm = 2}, 1e-2);
    EXPECT_NEAR(norm, std::sqrt(squares), 1e-9 * norm);
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = static_cast<double>(t.grads()[i]) * (2 / (norm + 1e-6));
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.95 * v[i] + 0.05 * g * g;
      p[i] -= 1e-2 * (m[i] / (1 - std::pow(0.9, update))) /
              (std::sqrt(v[i] / (1 - std::pow(0.95, update))) + 1e-8);
      ASSERT_NEAR(t.values()[i], p[i], 2e-6) << update << " " << i;
    }
  }
  EXPECT_EQ(t.optimizer.updates(), 3);
  Weights fresh(ConfigOf(""), DType::kFloat32);
  std::memcpy(fresh.values().data(), t.values(), fresh.flat_bytes());
  fresh.RefreshTransposed(t.stream);
  const Tensor a = fresh.transposed().head, b = t.weights.transposed().head;
  EXPECT_EQ(0, std::memcmp(a.data, b.data, static_cast<size_t>(a.elements()) * 4));
  t.optimizer.ClearMoments();
  EXPECT_EQ(t.optimizer.updates(), 0);
  EXPECT_EQ(static_cast<float*>(t.optimizer.m().data())[0], 0);
}

Tensor Chosen(std::vector<int32_t>* ids) {
  return Tensor::Matrix(ids->data(), DType::kInt32, static_cast<int64_t>(ids->size()) / 2, 2);
}

TEST(RouterStats, MovesTheBiasByTheSignOfMeanMinusLoad) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const PolicyConfig config = ConfigOf("dense_layers: 0");
    Weights weights(config, dtype);
    RouterStats stats(config);
    const auto bias = [&](int64_t i) {
      const Tensor t = weights.router_bias();
      return dtype == DType::kFloat32 ? static_cast<double>(t.as<float>()[i]) : t.as<double>()[i];
    };
    stats.MoveBias(0.25, &weights);
    for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(bias(i), 0) << "without counts nothing moves";
    std::vector<int32_t> first = {0, 1, 0, 1, 0, 2, 0, 3}, second = {3, 2, 1, 0};
    stats.Count(0, Chosen(&first));  // loads 4 2 1 1, mean 2
    stats.Count(1, Chosen(&second));
    EXPECT_EQ(stats.loads(), (std::vector<int64_t>{4, 2, 1, 1, 1, 1, 1, 1}));
    EXPECT_NEAR(stats.MaxViolation(), ((4 / 2.0 - 1) + 0) / 2, 1e-15);
    EXPECT_NEAR(stats.LeastShare(), (1 / 2.0 + 1) / 2, 1e-15);
    stats.MoveBias(0, &weights);
    EXPECT_EQ(bias(0), 0);
    stats.MoveBias(0.25, &weights);
    stats.MoveBias(0.25, &weights);
    const double expected[8] = {-0.5, 0, 0.5, 0.5, 0, 0, 0, 0};
    for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(bias(i), expected[i]) << i;
    // A mean between two integers: 5 choices over 4 experts.
    stats.Clear();
    std::vector<int32_t> uneven = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3};
    stats.Count(1, Chosen(&uneven));  // 4 2 2 2, mean 2.5
    stats.MoveBias(0.25, &weights);
    EXPECT_EQ(bias(4), -0.25);
    for (int64_t i : {5, 6, 7}) EXPECT_EQ(bias(i), 0.25);
    EXPECT_EQ(bias(0), -0.5) << "the first layer has no counts now";
  }
  const PolicyConfig off = ConfigOf("moe { choice_bias: false }");
  Weights weights(off, DType::kFloat32);
  RouterStats stats(off);
  std::vector<int32_t> ids = {0, 1};
  stats.Count(0, Chosen(&ids));
  const uint64_t before = weights.Digest();
  stats.MoveBias(0.25, &weights);
  EXPECT_EQ(weights.Digest(), before);
}

TEST(RopeTable, HoldsTheStatedRoundingsAndItsHashNamesEveryEntry) {
  const PolicyConfig config = ConfigOf("max_positions: 300 attention { head_dim: 6 }");
  const RopeTable table(config, DType::kFloat32), wide(config, DType::kFloat64);
  for (int64_t p = 0; p < 300; ++p) {
    for (int64_t i = 0; i < 3; ++i) {
      const double inv = std::pow(10000.0, -static_cast<double>(i) / 3);
      const float angle = static_cast<float>(p) * static_cast<float>(inv);
      EXPECT_EQ(table.cos().as<float>()[p * 3 + i], static_cast<float>(std::cos(double{angle})));
      EXPECT_EQ(table.sin().as<float>()[p * 3 + i], static_cast<float>(std::sin(double{angle})));
      EXPECT_EQ(wide.cos().as<double>()[p * 3 + i], std::cos(static_cast<double>(p) * inv));
      EXPECT_EQ(wide.sin().as<double>()[p * 3 + i], std::sin(static_cast<double>(p) * inv));
    }
  }
  const std::string hash = table.Sha256();
  EXPECT_EQ(hash, RopeTable(config, DType::kFloat32).Sha256());
  EXPECT_NE(hash, wide.Sha256());
  for (const char* other : {"attention { rope_theta: 10001 head_dim: 6 }",
                            "max_positions: 301 attention { head_dim: 6 }"}) {
    PolicyConfig changed = config;
    changed.MergeFrom(ConfigOf(other));
    EXPECT_NE(hash, RopeTable(changed, DType::kFloat32).Sha256()) << other;
  }
  for (int64_t at : {int64_t{0}, int64_t{450}, int64_t{899}}) {
    float& entry = table.sin().as<float>()[at];
    const float kept = entry;
    entry = std::nextafter(entry, 2.0f);
    EXPECT_NE(table.Sha256(), hash) << at;
    entry = kept;
  }
  EXPECT_EQ(table.Sha256(), hash);
}

TEST(KvCache, CountsOwnersAndCopiesEveryLayer) {
  const PolicyConfig config = ConfigOf("");
  const int64_t bytes = KvCache::BlockBytes(config, DType::kFloat32);
  EXPECT_EQ(bytes, 2 * 2 * 2 * 4 * 64 * 4) << "k and v, layers, kv heads, head_dim, positions";
  KvCache cache(config, DType::kFloat32, 5 * bytes + bytes - 1);
  ASSERT_EQ(cache.blocks(), 5);
  std::set<int32_t> taken;
  for (int i = 0; i < 5; ++i) taken.insert(cache.Take());
  EXPECT_EQ(taken, (std::set<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(cache.Take(), -1);
  cache.Share(2);
  cache.Release(2);
  EXPECT_EQ(cache.free_blocks(), 0) << "the other owner keeps it";
  cache.Release(2);
  EXPECT_EQ(cache.free_blocks(), 1);
  EXPECT_THROW(cache.Release(2), Error) << "released once too often";
  EXPECT_EQ(cache.Take(), 2);
  // Every element of every layer of block 1, and of no other, arrives in block 4.
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const Tensor& t : {cache.keys(layer), cache.values(layer)}) {
      std::iota(t.as<float>(), t.as<float>() + t.elements(), static_cast<float>(1000 * layer));
    }
  }
  cache.Copy(1, 4);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const Tensor& t : {cache.keys(layer), cache.values(layer)}) {
      for (int64_t i = 0; i < t.elements(); ++i) {
        const int64_t from = i / 512 == 4 ? i - 3 * 512 : i;
        ASSERT_EQ(t.as<float>()[i], static_cast<float>(1000 * layer + from));
      }
    }
  }
  cache.Clear();
  EXPECT_EQ(cache.free_blocks(), 5);
  EXPECT_EQ(KvCache::BlocksFor(0), 0);
  EXPECT_EQ(KvCache::BlocksFor(64), 1);
  EXPECT_EQ(KvCache::BlocksFor(65), 2);
  EXPECT_THROW(KvCache(config, DType::kFloat32, 3 * bytes, 4), Error);
}

}  // namespace
}  // namespace grouper
