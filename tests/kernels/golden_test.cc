// Operators against reference numbers in float64: experts, attention with rope, softmax, AdamW.
#include "tests/testing/golden.h"

#include <algorithm>
#include <functional>

#include "kernels/act/swiglu.h"
#include "kernels/attention/attention.h"
#include "kernels/embed/rope.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/dispatch_plan.h"
#include "kernels/moe/router_topk.h"
#include "kernels/optim/adamw.h"
#include "kernels/sampling/token_log_probs.h"
#include "tests/testing/packing.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Dense;
using testing::Flat;
using testing::FromNumbers;
using testing::Near;
using testing::Owned;
using testing::Pack;
using testing::Unpack;

struct Precision {
  DType dtype;
  double tolerance;
};
constexpr Precision kPrecisions[] = {{DType::kFloat64, 1e-10}, {DType::kFloat32, 1e-5}};

Owned Multiply(Stream& stream, const Owned& x, const Owned& packed, int64_t out) {
  Owned y(x.view.dtype, {x.view.shape[0], out});
  Matmul(stream, {.x = x, .weight = Dense(packed), .bias = {}, .residual = {}, .out = y});
  return y;
}
Owned Transpose(Stream& stream, const Owned& packed, int64_t in, int64_t out) {
  Owned t(packed.view.dtype, {packed.view.shape[0], PackedPanels(in), out, 32});
  TransposePacked(stream, {.weight = packed, .transposed = t, .in = in, .out = out});
  return t;
}

TEST(Golden, MixtureOfExpertsForwardAndBackward) {
  const Json golden = testing::ReadGolden("moe_layer.json");
  const int64_t T = 6, d = 8, E = 6, K = 2, h = 4;
  for (const auto& [dtype, tolerance] : kPrecisions) {
    Stream stream = BestStream();
    const auto input = [&](const char* name, std::vector<int64_t> shape) {
      return FromNumbers(dtype, std::move(shape), Flat(golden.At("inputs", "g").At(name, "g")));
    };
    const Owned x = input("x", {T, d}), dy = FromNumbers(dtype, {T, d}, Flat(golden.At("dy", "g")));
    const Owned wr = Pack(input("wr", {1, d, E}), 1, d, E),
                sgu = Pack(input("s_gu", {1, d, 2 * h}), 1, d, 2 * h);
    const Owned sd = Pack(input("s_d", {1, h, d}), 1, h, d),
                egu = Pack(input("e_gu", {E, d, 2 * h}), E, d, 2 * h);
    const Owned ed = Pack(input("e_d", {E, h, d}), E, h, d);
    for (const Json& c : golden.At("cases", "g").items) {
      const std::string name = c.String("name", "g");
      RouterRule rule;
      rule.score =
          c.String("mode", "g") == "sigmoid" ? RouterScore::kSigmoid : RouterScore::kSoftmax;
      rule.scale = c.Number("scale", "g");
      if (c.At("groups", "g").IsArray()) {
        rule.groups = c.At("groups", "g").items[0].integer;
        rule.top_groups = c.At("groups", "g").items[1].integer;
      }
      const Owned bias = FromNumbers(dtype, {E}, Flat(golden.At("bias", "g")));
      Owned scores = Multiply(stream, x, wr, E), experts(DType::kInt32, {T, K}),
            weights(dtype, {T, K});
      EXPECT_TRUE(Near(scores, FromNumbers(dtype, {T, E}, Flat(c.At("logits", "g"))), tolerance))
          << name;
      RouterTopk(stream, {.logits = scores,
                          .bias = c.Integer("use_bias", "g") != 0 ? bias.view : Tensor(),
                          .scores = scores,
                          .experts = experts,
                          .weights = weights,
                          .rule = rule});
      EXPECT_TRUE(Near(scores, FromNumbers(dtype, {T, E}, Flat(c.At("scores", "g"))), tolerance))
          << name;
      EXPECT_TRUE(Near(weights, FromNumbers(dtype, {T, K}, Flat(c.At("w", "g"))), tolerance))
          << name;
      EXPECT_TRUE(
          testing::SameBits(experts, FromNumbers(DType::kInt32, {T, K}, Flat(c.At("idx", "g")))))
          << name;

      Owned offsets(DType::kInt32, {E + 1}), row_token(DType::kInt32, {T * K}),
          slot_row(DType::kInt32, {T, K});
      DispatchPlan(
          stream,
          {.experts = experts, .offsets = offsets, .row_token = row_token, .slot_row = slot_row});
      const std::vector<double> load = Flat(c.At("load", "g"));
      for (int64_t e = 0; e < E; ++e)
        EXPECT_EQ(offsets.Get(e + 1) - offsets.Get(e), load[static_cast<size_t>(e)]) << name;

      Owned gate_up(dtype, {T * K, 2 * h}), act(dtype, {T * K, h}), y(dtype, {T * K, d}),
          out(dtype, {T, d});
      GroupedMatmul(
          stream,
          {.x = x, .row_index = row_token, .offsets = offsets, .weight = egu, .out = gate_up});
      Swiglu(stream, {.gate_up = gate_up, .out = act});
      GroupedMatmul(stream,
                    {.x = act, .row_index = {}, .offsets = offsets, .weight = ed, .out = y});
      const Owned shared_gate_up = Multiply(stream, x, sgu, 2 * h);
      Owned shared_act(dtype, {T, h});
      Swiglu(stream, {.gate_up = shared_gate_up, .out = shared_act});
      const Owned shared = Multiply(stream, shared_act, sd, d);
      Combine(stream, {.y = y,
                       .slot_row = slot_row,
                       .weights = weights,
                       .shared = shared,
                       .residual = {},
                       .out = out});
      EXPECT_TRUE(Near(out, FromNumbers(dtype, {T, d}, Flat(c.At("y", "g"))), tolerance)) << name;

      // Backward.
      const auto gradient = [&](const char* what, std::vector<int64_t> shape) {
        return FromNumbers(dtype, std::move(shape), Flat(c.At("grads", "g").At(what, "g")));
      };
      Owned drows(dtype, {T * K, d}), dweights(dtype, {T, K}), dact(dtype, {T * K, h}),
          dgate_up(dtype, {T * K, 2 * h});
      Owned g_ed(dtype, {E, 1, h, 32}), g_egu(dtype, {E, 1, d, 32}), g_wr(dtype, {1, 1, d, 32});
      Owned g_sgu(dtype, {1, 1, d, 32}), g_sd(dtype, {1, 1, h, 32}), dlogits(dtype, {T, E}),
          dx(dtype, {T, d});
      CombineBackward(stream, {.dout = dy,
                               .y = y,
                               .slot_row = slot_row,
                               .weights = weights,
                               .dy = drows,
                               .dweights = dweights});
      GroupedMatmulWeightGrad(
          stream, {.x = act, .row_index = {}, .offsets = offsets, .dy = drows, .grad = g_ed});
      GroupedMatmul(stream, {.x = drows,
                             .row_index = {},
                             .offsets = offsets,
                             .weight = Transpose(stream, ed, h, d),
                             .out = dact});
      SwigluBackward(stream, {.gate_up = gate_up, .dout = dact, .dgate_up = dgate_up});
      GroupedMatmulWeightGrad(
          stream,
          {.x = x, .row_index = row_token, .offsets = offsets, .dy = dgate_up, .grad = g_egu});
      GroupedMatmul(stream, {.x = dgate_up,
                             .row_index = {},
                             .offsets = offsets,
                             .weight = Transpose(stream, egu, d, 2 * h),
                             .out = drows});
      RouterTopkBackward(stream, {.scores = scores,
                                  .experts = experts,
                                  .weights = weights,
                                  .dweights = dweights,
                                  .dlogits = dlogits,
                                  .rule = rule});
      MatmulWeightGrad(stream, {.x = x, .dy = dlogits, .grad = Dense(g_wr)});
      const Owned from_router = Multiply(stream, dlogits, Transpose(stream, wr, d, E), d);
      const Owned dshared_act = Multiply(stream, dy, Transpose(stream, sd, h, d), h);
      Owned dshared(dtype, {T, 2 * h});
      SwigluBackward(stream, {.gate_up = shared_gate_up, .dout = dshared_act, .dgate_up = dshared});
      MatmulWeightGrad(stream, {.x = shared_act, .dy = dy, .grad = Dense(g_sd)});
      MatmulWeightGrad(stream, {.x = x, .dy = dshared, .grad = Dense(g_sgu)});
      const Owned from_shared = Multiply(stream, dshared, Transpose(stream, sgu, d, 2 * h), d);
      Combine(stream, {.y = drows,
                       .slot_row = slot_row,
                       .weights = {},
                       .shared = from_shared,
                       .residual = from_router,
                       .out = dx});
      EXPECT_TRUE(Near(dx, gradient("x", {T, d}), tolerance)) << name;
      EXPECT_TRUE(Near(Unpack(g_wr, 1, d, E), gradient("wr", {1, d, E}), tolerance)) << name;
      EXPECT_TRUE(Near(Unpack(g_sgu, 1, d, 2 * h), gradient("s_gu", {1, d, 2 * h}), tolerance))
          << name;
      EXPECT_TRUE(Near(Unpack(g_sd, 1, h, d), gradient("s_d", {1, h, d}), tolerance)) << name;
      EXPECT_TRUE(Near(Unpack(g_egu, E, d, 2 * h), gradient("e_gu", {E, d, 2 * h}), tolerance))
          << name;
      EXPECT_TRUE(Near(Unpack(g_ed, E, h, d), gradient("e_d", {E, h, d}), tolerance)) << name;
    }
  }
}

// cos and sin of positions, half or interleaved alike.
void Tables(DType dtype, int64_t positions, int64_t half, Owned* cos, Owned* sin) {
  *cos = Owned(dtype, {positions, half});
  *sin = Owned(dtype, {positions, half});
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) *
                           std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      cos->Put(p * half + i, std::cos(angle));
      sin->Put(p * half + i, std::sin(angle));
    }
  }
}

TEST(Golden, RopeInBothPairings) {
  const Json golden = testing::ReadGolden("attention.json");
  for (const auto& [dtype, tolerance] : kPrecisions) {
    Owned cos, sin;
    Tables(dtype, 32, 2, &cos, &sin);
    const Owned positions = FromNumbers(DType::kInt32, {5}, Flat(golden.At("rope_pos", "g")));
    for (bool interleaved : {false, true}) {
      Owned x = FromNumbers(dtype, {5, 8}, Flat(golden.At("rope_in", "g")));
      Stream stream = BestStream();
      Rope(stream, {.x = x,
                    .positions = positions,
                    .cos = cos,
                    .sin = sin,
                    .head_dim = 4,
                    .interleaved = interleaved});
      const char* name = interleaved ? "rope_interleaved" : "rope_half";
      EXPECT_TRUE(Near(x, FromNumbers(dtype, {5, 8}, Flat(golden.At(name, "g"))), tolerance))
          << name;
    }
  }
}

TEST(Golden, GroupedQueryAttentionForwardAndBackward) {
  const Json golden = testing::ReadGolden("attention.json");
  const Json& gqa = golden.At("gqa", "g");
  const std::vector<double> position = Flat(golden.At("pos", "g")),
                            segment = Flat(golden.At("seg", "g"));
  const int64_t H = 4, KV = 2, hd = 4, T = static_cast<int64_t>(position.size()), q = H * hd,
                kv = KV * hd, w = q + 2 * kv;
  for (const auto& [dtype, tolerance] : kPrecisions) {
    Stream stream = BestStream();
    const std::vector<double> xs = Flat(gqa.At("inputs", "g").At("x", "g"));
    const int64_t d = static_cast<int64_t>(xs.size()) / T;
    const Owned x = FromNumbers(dtype, {T, d}, xs),
                dy = FromNumbers(dtype, {T, d}, Flat(gqa.At("dy", "g")));
    const Owned wqkv =
        Pack(FromNumbers(dtype, {1, d, w}, Flat(gqa.At("inputs", "g").At("wqkv", "g"))), 1, d, w);
    const Owned wo =
        Pack(FromNumbers(dtype, {1, q, d}, Flat(gqa.At("inputs", "g").At("wo", "g"))), 1, q, d);
    const Owned positions = FromNumbers(DType::kInt32, {T}, position),
                sequence = FromNumbers(DType::kInt32, {T}, segment);
    Owned cos, sin, table(DType::kInt32, {3, 1}), offsets(DType::kInt32, {4});
    Tables(dtype, 16, hd / 2, &cos, &sin);
    for (int64_t s = 0; s < 3; ++s) table.Put(s, static_cast<double>(2 - s));
    for (int64_t t = 0; t < T; ++t)
      offsets.Put(static_cast<int64_t>(segment[static_cast<size_t>(t)]) + 1,
                  static_cast<double>(t + 1));
    Owned qkv = Multiply(stream, x, wqkv, w);
    Rope(stream, {.x = qkv.view.Columns(0, q + kv),
                  .positions = positions,
                  .cos = cos,
                  .sin = sin,
                  .head_dim = hd});
    Owned k_cache(dtype, {3, KV, hd, 64}), v_cache(dtype, {3, KV, 64, hd}), out(dtype, {T, q}),
        stats(dtype, {T, H, 2});
    AppendKv(stream, {.k = qkv.view.Columns(q, kv),
                      .v = qkv.view.Columns(q + kv, kv),
                      .sequence = sequence,
                      .positions = positions,
                      .block_table = table,
                      .k_cache = k_cache,
                      .v_cache = v_cache});
    Attention(stream, {.q = qkv.view.Columns(0, q),
                       .sequence = sequence,
                       .positions = positions,
                       .block_table = table,
                       .k_cache = k_cache,
                       .v_cache = v_cache,
                       .out = out,
                       .max_and_sum = stats,
                       .heads = H,
                       .scale = 0.5});
    EXPECT_TRUE(Near(Multiply(stream, out, wo, d),
                     FromNumbers(dtype, {T, d}, Flat(gqa.At("y", "g"))), tolerance));

    const Owned dout = Multiply(stream, dy, Transpose(stream, wo, q, d), q);
    Owned dqkv(dtype, {T, w}), g_wo(dtype, {1, 1, q, 32}),
        g_wqkv(dtype, {1, PackedPanels(w), d, 32});
    AttentionBackward(stream, {.q = qkv.view.Columns(0, q),
                               .out = out,
                               .dout = dout,
                               .max_and_sum = stats,
                               .sequence_offsets = offsets,
                               .block_table = table,
                               .k_cache = k_cache,
                               .v_cache = v_cache,
                               .dq = dqkv.view.Columns(0, q),
                               .dk = dqkv.view.Columns(q, kv),
                               .dv = dqkv.view.Columns(q + kv, kv),
                               .heads = H,
                               .scale = 0.5});
    Rope(stream, {.x = dqkv.view.Columns(0, q + kv),
                  .positions = positions,
                  .cos = cos,
                  .sin = sin,
                  .head_dim = hd,
                  .inverse = true});
    MatmulWeightGrad(stream, {.x = out, .dy = dy, .grad = Dense(g_wo)});
    MatmulWeightGrad(stream, {.x = x, .dy = dqkv, .grad = Dense(g_wqkv)});
    const auto gradient = [&](const char* name, std::vector<int64_t> shape) {
      return FromNumbers(dtype, std::move(shape), Flat(gqa.At("grads", "g").At(name, "g")));
    };
    EXPECT_TRUE(Near(Unpack(g_wo, 1, q, d), gradient("wo", {1, q, d}), tolerance));
    EXPECT_TRUE(Near(Unpack(g_wqkv, 1, d, w), gradient("wqkv", {1, d, w}), tolerance));
    EXPECT_TRUE(Near(Multiply(stream, dqkv, Transpose(stream, wqkv, d, w), d),
                     gradient("x", {T, d}), tolerance));
  }
}

TEST(Golden, SoftmaxEntropyAndTheirGradient) {
  const Json golden = testing::ReadGolden("policy_loss.json");
  const Json& softmax = golden.At("softmax", "g");
  const std::vector<double> logits = Flat(softmax.At("logits", "g"));
  const int64_t rows = 4, vocab = static_cast<int64_t>(logits.size()) / rows;
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const Json& c : softmax.At("cases", "g").items) {
      const Owned z = FromNumbers(dtype, {rows, vocab}, logits),
                  targets = FromNumbers(DType::kInt32, {rows}, Flat(softmax.At("targets", "g")));
      const Owned up = FromNumbers(dtype, {rows}, Flat(softmax.At("dloss_dlogp", "g")));
      Owned log_probs(dtype, {rows}), entropies(dtype, {rows}), dentropies(dtype, {rows}),
          dz(dtype, {rows, vocab});
      SamplingRule rule;
      double coefficient = 0;
      rule.temperature = c.Number("temperature", "g");
      coefficient = c.Number("entropy_coef", "g");
      for (int64_t r = 0; r < rows; ++r) dentropies.Put(r, -coefficient);
      Stream stream = BestStream();
      TokenLogProbs(stream, {.logits = z,
                             .targets = targets,
                             .rule = rule,
                             .log_probs = log_probs,
                             .entropies = entropies,
                             .kept_sizes = {}});
      TokenLogProbsBackward(stream, {.logits = z,
                                     .targets = targets,
                                     .rule = rule,
                                     .dlog_probs = up,
                                     .dentropies = dentropies,
                                     .dlogits = dz});
      EXPECT_TRUE(Near(log_probs, FromNumbers(dtype, {rows}, Flat(c.At("logp", "g"))), tolerance));
      EXPECT_TRUE(
          Near(entropies, FromNumbers(dtype, {rows}, Flat(c.At("entropy", "g"))), tolerance));
      EXPECT_TRUE(
          Near(dz, FromNumbers(dtype, {rows, vocab}, Flat(c.At("grad_logits", "g"))), tolerance));
    }
  }
}

TEST(Golden, AdamwWithClipping) {
  const Json golden = testing::ReadGolden("adamw.json");
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const Json& c : golden.At("cases", "g").items) {
      const Json& config = c.At("config", "g");
      Owned w = FromNumbers(dtype, {12}, Flat(golden.At("W", "g"))),
            b = FromNumbers(dtype, {4}, Flat(golden.At("b", "g")));
      Owned wm(dtype, {12}), wv(dtype, {12}), bm(dtype, {4}), bv(dtype, {4}),
          blocks(DType::kFloat64, {1});
      Stream stream = BestStream();
      int64_t update = 0;
      for (const Json& step : c.At("steps", "g").items) {
        const Json& grads = golden.At("grads", "g").items[static_cast<size_t>(update++)];
        const Owned gw = FromNumbers(dtype, {12}, Flat(grads.items[0])),
                    gb = FromNumbers(dtype, {4}, Flat(grads.items[1]));
        const double norm = std::sqrt(GradSquares(stream, {.grad = gw, .blocks = blocks}) +
                                      GradSquares(stream, {.grad = gb, .blocks = blocks}));
        EXPECT_NEAR(norm, step.Number("grad_norm", "g"), tolerance * norm);
        const Json* clip = config.Find("clip");
        AdamwArgs args{.param = w, .grad = gw, .m = wm, .v = wv};
        args.grad_scale = clip != nullptr && clip->IsNumber() ? ClipScale(norm, clip->number) : 1;
        args.lr = config.Number("lr", "g");
        args.beta1 = config.Number("b1", "g");
        args.beta2 = config.Number("b2", "g");
        args.eps = config.Number("eps", "g");
        args.weight_decay = config.Number("wd", "g");
        args.update = update;
        Adamw(stream, args);
        args.param = b, args.grad = gb, args.m = bm, args.v = bv, args.weight_decay = 0;
        Adamw(stream, args);
        EXPECT_TRUE(Near(w, FromNumbers(dtype, {12}, Flat(step.At("W", "g"))), tolerance));
        EXPECT_TRUE(Near(b, FromNumbers(dtype, {4}, Flat(step.At("b", "g"))), tolerance));
        EXPECT_TRUE(Near(wm, FromNumbers(dtype, {12}, Flat(step.At("m_W", "g"))), tolerance));
        EXPECT_TRUE(Near(wv, FromNumbers(dtype, {12}, Flat(step.At("v_W", "g"))), tolerance));
      }
      EXPECT_EQ(update, 5);
    }
  }
}

}  // namespace
}  // namespace grouper
