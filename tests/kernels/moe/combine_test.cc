// Combine and the gradient of the whole mixture: formulas, bits, and central differences in fp64
// with respect to every input of router, experts and combine.
#include "kernels/moe/combine.h"

#include <algorithm>

#include "kernels/moe/dispatch_plan.h"
#include "kernels/moe/router_topk.h"
#include "tests/testing/packing.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Dense;
using testing::Normal;
using testing::Owned;
using testing::Pack;
using testing::SameBits;
using testing::Unpack;

// A permutation of the rows that is not the identity, as the rows of experts are in another order
// than their tokens.
Owned SlotRows(int64_t tokens, int64_t k) {
  const int64_t n = tokens * k;
  Owned rows(DType::kInt32, {tokens, k});
  for (int64_t i = 0; i < n; ++i) rows.Put(i, static_cast<double>((n - 1 - i + n / 3) % n));
  return rows;
}

struct Mixed {
  int64_t tokens, k, width;
  Owned y, slot_row, weights, shared, residual;
  Mixed(int64_t t, int64_t slots, int64_t w)
      : tokens(t),
        k(slots),
        width(w),
        y(Normal(DType::kFloat32, {t * slots, w}, 1)),
        slot_row(SlotRows(t, slots)),
        weights(Normal(DType::kFloat32, {t, slots}, 2)),
        shared(Normal(DType::kFloat32, {t, w}, 3)),
        residual(Normal(DType::kFloat32, {t, w}, 4)) {}
};

Owned RunCombine(Stream stream, const Mixed& m, bool weighted, bool shared, bool residual) {
  Owned out(DType::kFloat32, {m.tokens, m.width});
  Combine(stream, {.y = m.y,
                   .slot_row = m.slot_row,
                   .weights = weighted ? m.weights.view : Tensor(),
                   .shared = shared ? m.shared.view : Tensor(),
                   .residual = residual ? m.residual.view : Tensor(),
                   .out = out});
  return out;
}

TEST(Combine, IsOneChainOverSlotsThenSharedThenResidual) {
  for (auto [tokens, k, width] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                  {5, 2, 15},
                                  {9, 3, 16},
                                  {4, 8, 33},
                                  {130, 2, 300}}) {
    const Mixed m(tokens, k, width);
    for (int with = 0; with < 8; ++with) {
      const bool weighted = (with & 1) != 0, shared = (with & 2) != 0, residual = (with & 4) != 0;
      Owned expected(DType::kFloat32, {tokens, width});
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < width; ++i) {
          float acc = 0;
          for (int64_t slot = 0; slot < k; ++slot) {
            const int64_t row = static_cast<int64_t>(m.slot_row.Get(t * k + slot));
            const float w = weighted ? static_cast<float>(m.weights.Get(t * k + slot)) : 1.0f;
            acc = std::fmaf(w, static_cast<float>(m.y.Get(row * width + i)), acc);
          }
          if (shared) acc += static_cast<float>(m.shared.Get(t * width + i));
          if (residual) acc += static_cast<float>(m.residual.Get(t * width + i));
          expected.Put(t * width + i, static_cast<double>(acc));
        }
      }
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        cpu::ThreadPool pool(2);
        EXPECT_TRUE(SameBits(RunCombine({isa, &pool}, m, weighted, shared, residual), expected))
            << cpu::NameOf(isa) << " " << with << " width " << width;
      }
    }
    // The residual may be the output itself.
    Owned out = m.residual.Clone();
    Stream stream = BestStream();
    Combine(stream, {.y = m.y,
                     .slot_row = m.slot_row,
                     .weights = m.weights,
                     .shared = m.shared,
                     .residual = out,
                     .out = out});
    EXPECT_TRUE(SameBits(out, RunCombine(stream, m, true, true, true)));
  }
}

struct CombineGrads {
  Owned dy, dweights;
};
CombineGrads Backward(Stream stream, const Owned& dout, const Owned& y, const Owned& slot_row,
                      const Owned& weights) {
  CombineGrads g{Owned(y.view.dtype, {y.view.shape[0], y.view.shape[1]}),
                 Owned(y.view.dtype, {weights.view.shape[0], weights.view.shape[1]})};
  CombineBackward(stream, {.dout = dout,
                           .y = y,
                           .slot_row = slot_row,
                           .weights = weights,
                           .dy = g.dy,
                           .dweights = g.dweights});
  return g;
}

// The code for narrow rows has fewer chains, but the bits must be those of all 256 tree lanes, also
// where every chain is -0 (products of -1e-30 and 1e-30 underflow) or subnormal.
TEST(CombineBackward, GradientOfAWeightIsTheStatedTreeBitForBit) {
  for (int64_t width : {1, 16, 48, 60, 64, 65, 100, 256, 300}) {
    for (double size : {1.0, 1e-21, 1e-30}) {
      const Owned dout = Normal(DType::kFloat32, {1, width}, 21, size);
      Owned y = Normal(DType::kFloat32, {1, width}, 22, size);
      if (size == 1e-30) {
        for (int64_t i = 0; i < width; ++i) y.Put(i, std::copysign(size, -dout.Get(i)));
      }
      std::vector<float> lane(256, 0.0f);
      // The last sixteen elements are filled up with zeros.
      for (int64_t i = 0; i < (width + 15) / 16 * 16; ++i) {
        const double a = i < width ? dout.Get(i) : 0, b = i < width ? y.Get(i) : 0;
        float& chain = lane[static_cast<size_t>(i % 256)];
        chain = std::fmaf(static_cast<float>(a), static_cast<float>(b), chain);
      }
      for (size_t half = 128; half > 0; half /= 2) {
        for (size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
      }
      Owned expected(DType::kFloat32, {1, 1});
      expected.Put(0, lane[0]);
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        Stream stream = testing::SerialStream(isa);
        Owned dy(DType::kFloat32, {1, width}), dweights(DType::kFloat32, {1, 1});
        CombineBackward(stream, {.dout = dout,
                                 .y = y,
                                 .slot_row = Owned(DType::kInt32, {1, 1}),
                                 .weights = Normal(DType::kFloat32, {1, 1}, 23),
                                 .dy = dy,
                                 .dweights = dweights});
        EXPECT_TRUE(SameBits(dweights, expected)) << width << " " << size << cpu::NameOf(isa);
      }
    }
  }
}

TEST(CombineBackward, InstructionSetsThreadsAndItsOwnOutputGiveTheSameBits) {
  for (int64_t width : {1, 16, 100, 300}) {
    const Mixed m(75, 3, width);
    const CombineGrads best = Backward(BestStream(), m.shared, m.y, m.slot_row, m.weights);
    for (int64_t i = 0; i < m.tokens * m.k; ++i) {
      const int64_t row = static_cast<int64_t>(m.slot_row.Get(i));
      double dot = 0;
      for (int64_t c = 0; c < width; ++c) {
        const float d = static_cast<float>(m.shared.Get(i / m.k * width + c));
        dot += static_cast<double>(d) * m.y.Get(row * width + c);
        ASSERT_EQ(best.dy.Get(row * width + c),
                  static_cast<double>(static_cast<float>(m.weights.Get(i)) * d));
      }
      ASSERT_NEAR(best.dweights.Get(i), dot, 1e-4);
    }
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      cpu::ThreadPool pool(3);
      const CombineGrads g = Backward({isa, &pool}, m.shared, m.y, m.slot_row, m.weights);
      EXPECT_TRUE(SameBits(g.dy, best.dy)) << cpu::NameOf(isa);
      EXPECT_TRUE(SameBits(g.dweights, best.dweights)) << cpu::NameOf(isa);
    }
    Owned in_place = m.y.Clone(), dweights(DType::kFloat32, {75, 3});
    Stream stream = BestStream();
    CombineBackward(stream, {.dout = m.shared,
                             .y = in_place,
                             .slot_row = m.slot_row,
                             .weights = m.weights,
                             .dy = in_place,
                             .dweights = dweights});
    EXPECT_TRUE(SameBits(in_place, best.dy));
    EXPECT_TRUE(SameBits(dweights, best.dweights));
  }
}

TEST(Combine, RowsDoNotSeeEachOtherForwardAndBackward) {
  const Mixed m(256, 3, 40);
  const Owned all = RunCombine(BestStream(), m, true, true, true);
  const CombineGrads dall = Backward(BestStream(), m.shared, m.y, m.slot_row, m.weights);
  for (int64_t rows : {1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 255}) {
    for (int64_t shift : {int64_t{0}, (256 - rows) / 3, 256 - rows}) {
      // A batch of its own, which has the rows of its tokens in another order than `all`.
      Mixed part(rows, 3, 40);
      for (int64_t i = 0; i < rows * 3; ++i) {
        const int64_t from = static_cast<int64_t>(m.slot_row.Get(shift * 3 + i)),
                      to = static_cast<int64_t>(part.slot_row.Get(i));
        std::memcpy(part.y.view.Rows(to, 1).data, m.y.view.Rows(from, 1).data, 160);
        part.weights.Put(i, m.weights.Get(shift * 3 + i));
      }
      const size_t bytes = static_cast<size_t>(rows) * 160;
      std::memcpy(part.shared.view.data, m.shared.view.Rows(shift, rows).data, bytes);
      std::memcpy(part.residual.view.data, m.residual.view.Rows(shift, rows).data, bytes);
      const Owned out = RunCombine(BestStream(), part, true, true, true);
      ASSERT_EQ(0, std::memcmp(out.view.data, all.view.Rows(shift, rows).data, bytes)) << rows;
      const CombineGrads d =
          Backward(BestStream(), part.shared, part.y, part.slot_row, part.weights);
      ASSERT_EQ(0, std::memcmp(d.dweights.view.data, dall.dweights.view.Rows(shift, rows).data,
                               d.dweights.bytes()));
      for (int64_t i = 0; i < rows * 3; ++i) {
        const int64_t from = static_cast<int64_t>(m.slot_row.Get(shift * 3 + i)),
                      to = static_cast<int64_t>(part.slot_row.Get(i));
        ASSERT_EQ(0, std::memcmp(d.dy.view.Rows(to, 1).data, dall.dy.view.Rows(from, 1).data, 160));
      }
    }
  }
}

double Dot(const Owned& a, const Owned& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.view.elements(); ++i) sum += a.Get(i) * b.Get(i);
  return sum;
}

// A mixture whose experts are one product each: router product, choice, row lists, grouped product,
// combine.
struct Mixture {
  int64_t tokens = 6, in = 5, experts, k, out = 9;
  RouterRule rule;
  Owned x, router, expert_weight, shared, residual, bias, dout;
  // of the last forward
  Owned logits, scores, chosen, weights, offsets, row_token, slot_row, y;

  Mixture(int64_t e, int64_t slots, const RouterRule& r) : experts(e), k(slots), rule(r) {
    constexpr DType d = DType::kFloat64;
    x = Normal(d, {tokens, in}, 1);
    router = Normal(d, {1, in, experts}, 2);
    expert_weight = Normal(d, {experts, in, out}, 3);
    shared = Normal(d, {tokens, out}, 4);
    residual = Normal(d, {tokens, out}, 5);
    bias = Normal(d, {experts}, 6, 0.5);
    dout = Normal(d, {tokens, out}, 7);
  }
  double Loss() {
    constexpr DType d = DType::kFloat64;
    Stream stream = BestStream();
    logits = Owned(d, {tokens, experts});
    scores = Owned(d, {tokens, experts});
    chosen = Owned(DType::kInt32, {tokens, k});
    weights = Owned(d, {tokens, k});
    offsets = Owned(DType::kInt32, {experts + 1});
    row_token = Owned(DType::kInt32, {tokens * k});
    slot_row = Owned(DType::kInt32, {tokens, k});
    y = Owned(d, {tokens * k, out});
    const Owned packed = Pack(router, 1, in, experts),
                packed_experts = Pack(expert_weight, experts, in, out);
    Matmul(stream, {.x = x, .weight = Dense(packed), .bias = {}, .residual = {}, .out = logits});
    RouterTopk(stream, {.logits = logits,
                        .bias = bias,
                        .scores = scores,
                        .experts = chosen,
                        .weights = weights,
                        .rule = rule});
    DispatchPlan(
        stream,
        {.experts = chosen, .offsets = offsets, .row_token = row_token, .slot_row = slot_row});
    GroupedMatmul(
        stream,
        {.x = x, .row_index = row_token, .offsets = offsets, .weight = packed_experts, .out = y});
    return Combined();
  }
  double Combined() {
    Owned result(DType::kFloat64, {tokens, out});
    Stream stream = BestStream();
    Combine(stream, {.y = y,
                     .slot_row = slot_row,
                     .weights = weights,
                     .shared = shared,
                     .residual = residual,
                     .out = result});
    return Dot(result, dout);
  }
};

TEST(MixtureBackward, MatchesFiniteDifferencesOfEveryTensor) {
  constexpr auto kSoft = RouterScore::kSoftmax, kSig = RouterScore::kSigmoid;
  constexpr auto kMax = RouterGroupScore::kMax, kTop2 = RouterGroupScore::kTop2Sum;
  for (auto [experts, k, rule] :
       {std::tuple<int64_t, int64_t, RouterRule>{4, 2, {kSig, 1, 1, kTop2, true, 2.5}},
        {4, 2, {kSig, 1, 1, kTop2, false, 1.5}},
        {4, 2, {kSoft, 1, 1, kMax, true, 1}},
        {4, 3, {kSoft, 1, 1, kMax, false, 16}},
        {8, 3, {kSig, 4, 2, kTop2, true, 2.5}},
        {8, 2, {kSoft, 4, 2, kMax, true, 1}},
        {5, 1, {kSig, 1, 1, kTop2, true, 1}},
        {5, 5, {kSoft, 1, 1, kMax, true, 2}}}) {
    SCOPED_TRACE(::testing::Message() << experts << " experts, " << k << " a token, score "
                                      << static_cast<int>(rule.score));
    Mixture m(experts, k, rule);
    m.Loss();
    const Mixture at = m;  // shares memory with m's inputs, keeps this forward's results
    Stream stream = BestStream();
    const CombineGrads combine = Backward(stream, m.dout, m.y, m.slot_row, m.weights);
    const auto again = [&] { return m.Combined(); };
    EXPECT_TRUE(testing::GradientMatches(m.y, combine.dy, again));
    EXPECT_TRUE(testing::GradientMatches(m.weights, combine.dweights, again));
    // Shared expert and residual pass the gradient on unchanged.
    EXPECT_TRUE(testing::GradientMatches(m.shared, m.dout, again));
    EXPECT_TRUE(testing::GradientMatches(m.residual, m.dout, again));

    Owned dlogits(DType::kFloat64, {m.tokens, experts});
    RouterTopkBackward(stream, {.scores = m.scores,
                                .experts = m.chosen,
                                .weights = m.weights,
                                .dweights = combine.dweights,
                                .dlogits = dlogits,
                                .rule = rule});
    EXPECT_TRUE(testing::GradientMatches(m.logits, dlogits, [&] {
      Owned scores(DType::kFloat64, {m.tokens, experts}), chosen(DType::kInt32, {m.tokens, k});
      RouterTopk(stream, {.logits = m.logits,
                          .bias = m.bias,
                          .scores = scores,
                          .experts = chosen,
                          .weights = m.weights,
                          .rule = rule});
      return m.Combined();
    }));

    Owned drouter(DType::kFloat64, {1, PackedPanels(experts), m.in, 32}),
        dexperts(DType::kFloat64, {experts, PackedPanels(m.out), m.in, 32}),
        router_t(DType::kFloat64, {1, PackedPanels(m.in), experts, 32}),
        experts_t(DType::kFloat64, {experts, PackedPanels(m.in), m.out, 32}),
        dx(DType::kFloat64, {m.tokens, m.in}), dx_rows(DType::kFloat64, {m.tokens * k, m.in});
    const Owned packed = Pack(m.router, 1, m.in, experts),
                packed_experts = Pack(m.expert_weight, experts, m.in, m.out);
    MatmulWeightGrad(stream, {.x = m.x, .dy = dlogits, .grad = Dense(drouter)});
    GroupedMatmulWeightGrad(stream, {.x = m.x,
                                     .row_index = at.row_token,
                                     .offsets = at.offsets,
                                     .dy = combine.dy,
                                     .grad = dexperts});
    TransposePacked(stream, {.weight = packed, .transposed = router_t, .in = m.in, .out = experts});
    TransposePacked(stream,
                    {.weight = packed_experts, .transposed = experts_t, .in = m.in, .out = m.out});
    GroupedMatmul(stream, {.x = combine.dy,
                           .row_index = {},
                           .offsets = at.offsets,
                           .weight = experts_t,
                           .out = dx_rows});
    Matmul(stream,
           {.x = dlogits, .weight = Dense(router_t), .bias = {}, .residual = {}, .out = dx});
    Combine(stream, {.y = dx_rows,
                     .slot_row = at.slot_row,
                     .weights = {},
                     .shared = {},
                     .residual = dx,
                     .out = dx});
    const auto loss = [&] { return m.Loss(); };
    EXPECT_TRUE(testing::GradientMatches(m.router, Unpack(drouter, 1, m.in, experts), loss));
    EXPECT_TRUE(
        testing::GradientMatches(m.expert_weight, Unpack(dexperts, experts, m.in, m.out), loss));
    EXPECT_TRUE(testing::GradientMatches(m.x, dx, loss));
  }
}

}  // namespace
}  // namespace grouper
