// Router choice and weights, and the row lists of experts: compared with the rules written a second
// time, with numbers computed by hand, across batches and across instruction sets. Finite
// differences of the backward are in combine_test.cc.
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "kernels/moe/dispatch_plan.h"
#include "kernels/moe/router_topk.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;
using testing::SerialStream;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Routed {
  Owned scores, experts, weights;
};

Routed Route(Stream stream, const Tensor& logits, const Owned& bias, int64_t k,
             const RouterRule& rule) {
  const int64_t tokens = logits.shape[0];
  Routed r{Owned(logits.dtype, {tokens, logits.shape[1]}), Owned(DType::kInt32, {tokens, k}),
           Owned(logits.dtype, {tokens, k})};
  RouterTopk(stream, {.logits = logits,
                      .bias = bias,
                      .scores = r.scores,
                      .experts = r.experts,
                      .weights = r.weights,
                      .rule = rule});
  return r;
}

struct RouterCase {
  int64_t experts, k;
  RouterRule rule;
  double bias;  // deviation of the choice bias; 0: none
};

const std::vector<RouterCase>& Cases() {
  constexpr auto kSoft = RouterScore::kSoftmax, kSig = RouterScore::kSigmoid;
  constexpr auto kMax = RouterGroupScore::kMax, kTop2 = RouterGroupScore::kTop2Sum;
  static const std::vector<RouterCase> cases = {
      {1, 1, {kSoft, 1, 1, kMax, false, 1}, 0},     {3, 1, {kSig, 1, 1, kTop2, true, 1}, 0.3},
      {8, 2, {kSoft, 1, 1, kMax, true, 1}, 0},      {8, 8, {kSig, 1, 1, kTop2, true, 2.5}, 0.3},
      {16, 4, {kSig, 4, 2, kTop2, true, 2.5}, 1},   {17, 5, {kSoft, 1, 1, kMax, false, 16}, 0},
      {24, 6, {kSoft, 6, 3, kMax, false, 16}, 0},   {24, 6, {kSig, 4, 1, kTop2, false, 1}, 2},
      {64, 6, {kSoft, 1, 1, kMax, false, 1}, 0},    {160, 6, {kSoft, 8, 3, kMax, false, 16}, 0},
      {256, 8, {kSig, 8, 4, kTop2, true, 2.5}, 0.2}};
  return cases;
}

Owned BiasOf(const RouterCase& c, DType dtype) {
  if (c.bias == 0) return {};
  // Shifted down: biased scores are mostly negative, so a mask of 0 would win.
  Owned bias = Normal(dtype, {c.experts}, 2, c.bias);
  for (int64_t e = 0; e < c.experts; ++e) bias.Put(e, bias.Get(e) - 3);
  return bias;
}

// Ids by value descending, ties to the lower id.
std::vector<int64_t> Ranked(const std::vector<double>& values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  return order;
}

// Experts in slot order from biased scores: groups ranked, then the experts of the chosen ones.
template <typename T>
std::vector<int64_t> Choose(const std::vector<T>& biased, const RouterRule& rule, int64_t k) {
  const size_t size = biased.size() / static_cast<size_t>(rule.groups);
  std::vector<double> group_scores;
  for (size_t g = 0; g < static_cast<size_t>(rule.groups); ++g) {
    std::vector<T> of(biased.begin() + static_cast<int64_t>(g * size),
                      biased.begin() + static_cast<int64_t>((g + 1) * size));
    std::sort(of.rbegin(), of.rend());
    const T score = rule.group_score == RouterGroupScore::kMax || size < 2 ? of[0] : of[0] + of[1];
    group_scores.push_back(static_cast<double>(score));
  }
  std::vector<int64_t> groups = Ranked(group_scores);
  groups.resize(static_cast<size_t>(rule.top_groups));
  std::vector<int64_t> chosen;
  for (int64_t e : Ranked({biased.begin(), biased.end()})) {
    if (std::find(groups.begin(), groups.end(), e / static_cast<int64_t>(size)) != groups.end()) {
      chosen.push_back(e);
    }
  }
  chosen.resize(static_cast<size_t>(k));
  return chosen;
}

// The rules in arithmetic of T: scores within a tolerance, everything computed from them exactly.
template <typename T>
void ExpectRules(const RouterCase& c, const Owned& logits, const Owned& bias, const Routed& r,
                 double tolerance) {
  for (int64_t t = 0; t < logits.view.shape[0]; ++t) {
    double largest = -kInfinity, sum = 0;
    for (int64_t e = 0; e < c.experts; ++e)
      largest = std::max(largest, logits.Get(t * c.experts + e));
    for (int64_t e = 0; e < c.experts; ++e)
      sum += std::exp(logits.Get(t * c.experts + e) - largest);
    std::vector<T> biased;
    for (int64_t e = 0; e < c.experts; ++e) {
      const double z = logits.Get(t * c.experts + e);
      const double expected = c.rule.score == RouterScore::kSoftmax ? std::exp(z - largest) / sum
                                                                    : 1 / (1 + std::exp(-z));
      const double score = r.scores.Get(t * c.experts + e);
      ASSERT_NEAR(score, expected, tolerance) << t << " " << e;
      biased.push_back(static_cast<T>(score) + (c.bias == 0 ? T{0} : static_cast<T>(bias.Get(e))));
    }
    const std::vector<int64_t> chosen = Choose(biased, c.rule, c.k);
    T total = 0;
    for (int64_t e : chosen) total += static_cast<T>(r.scores.Get(t * c.experts + e));
    const T divisor = c.rule.renormalize ? total + static_cast<T>(1e-20f) : T{1};
    for (int64_t slot = 0; slot < c.k; ++slot) {
      const int64_t e = chosen[static_cast<size_t>(slot)];
      ASSERT_EQ(r.experts.Get(t * c.k + slot), static_cast<double>(e)) << t << " slot " << slot;
      const T weight =
          static_cast<T>(r.scores.Get(t * c.experts + e)) / divisor * static_cast<T>(c.rule.scale);
      ASSERT_EQ(r.weights.Get(t * c.k + slot), static_cast<double>(weight)) << t << " " << slot;
    }
  }
}

TEST(RouterTopk, FollowsEveryRuleOnEveryInstructionSet) {
  for (const RouterCase& c : Cases()) {
    SCOPED_TRACE(c.experts);
    Owned logits = Normal(DType::kFloat32, {70, c.experts}, 1, 1.5);
    for (int64_t e = 0; e < c.experts; ++e) {
      logits.Put(e, 0.5);                                              // all equal: the lowest ids
      logits.Put(c.experts + e, e % 2 == 0 ? 0.5 : -1);                // ties among half of them
      logits.Put(2 * c.experts + e, e + 1 == c.experts ? 200 : -200);  // saturated
    }
    const Owned bias = BiasOf(c, DType::kFloat32);
    const Routed best = Route(BestStream(), logits, bias, c.k, c.rule);
    ExpectRules<float>(c, logits, bias, best, 2e-7);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      for (int threads : {1, 3}) {
        cpu::ThreadPool pool(threads);
        const Routed r = Route({isa, &pool}, logits, bias, c.k, c.rule);
        EXPECT_TRUE(SameBits(r.scores, best.scores)) << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(r.experts, best.experts)) << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(r.weights, best.weights)) << cpu::NameOf(isa);
      }
    }
    const Owned wide = logits.As(DType::kFloat64), wide_bias = BiasOf(c, DType::kFloat64);
    ExpectRules<double>(c, wide, wide_bias, Route(BestStream(), wide, wide_bias, c.k, c.rule),
                        1e-14);
  }
}

TEST(RouterTopk, NumbersByHand) {
  // Softmax scores .1 .2 .3 .4.
  Owned logits(DType::kFloat64, {1, 4});
  for (int i = 0; i < 4; ++i) logits.Put(i, std::log(i + 1.0));
  RouterRule rule{RouterScore::kSoftmax, 1, 1, RouterGroupScore::kMax, true, 1};
  Routed r = Route(BestStream(), logits, {}, 2, rule);
  EXPECT_EQ(r.experts.Get(0), 3);
  EXPECT_EQ(r.experts.Get(1), 2);
  EXPECT_NEAR(r.weights.Get(0), 4.0 / 7, 1e-15);
  EXPECT_NEAR(r.weights.Get(1), 3.0 / 7, 1e-15);
  rule.renormalize = false;
  rule.scale = 2.5;
  r = Route(BestStream(), logits, {}, 2, rule);
  EXPECT_NEAR(r.weights.Get(0), 1.0, 1e-15);
  EXPECT_NEAR(r.weights.Get(1), 0.75, 1e-15);
  // A bias changes the choice and leaves the weights as they are.
  Owned bias(DType::kFloat64, {4});
  bias.Put(0, 1);
  r = Route(BestStream(), logits, bias, 2, rule);
  EXPECT_EQ(r.experts.Get(0), 0);
  EXPECT_EQ(r.experts.Get(1), 3);
  EXPECT_NEAR(r.weights.Get(0), 0.25, 1e-15);
}

TEST(RouterTopk, GroupsThatAreNotChosenStayOutAlsoWhenBiasedScoresAreNegative) {
  // Scores about .5; the bias makes all of them negative. Group 1 has the largest pair, group 0 the
  // largest expert.
  Owned logits(DType::kFloat32, {1, 6}), bias(DType::kFloat32, {6});
  const double shift[6] = {-1.0, -9.0, -1.5, -1.5, -4.0, -4.0};
  for (int i = 0; i < 6; ++i) bias.Put(i, shift[i]);
  const auto experts = [&](RouterGroupScore score, int64_t top) {
    const Routed r =
        Route(BestStream(), logits, bias, 2, {RouterScore::kSigmoid, 3, top, score, true, 1});
    return std::pair(r.experts.Get(0), r.experts.Get(1));
  };
  EXPECT_EQ(experts(RouterGroupScore::kMax, 1), std::pair(0.0, 1.0));
  EXPECT_EQ(experts(RouterGroupScore::kTop2Sum, 1), std::pair(2.0, 3.0));
  EXPECT_EQ(experts(RouterGroupScore::kMax, 2), std::pair(0.0, 2.0));
  EXPECT_EQ(experts(RouterGroupScore::kTop2Sum, 2), std::pair(2.0, 3.0));
}

TEST(RouterTopk, ScoresOfZeroGiveWeightsOfZero) {
  Owned logits(DType::kFloat32, {1, 4});
  for (int i = 0; i < 4; ++i) logits.Put(i, -500);
  const Routed r = Route(BestStream(), logits, {}, 2, {});
  EXPECT_EQ(r.experts.Get(0), 0);
  EXPECT_EQ(r.weights.Get(0), 0) << "0 / (0 + 1e-20), never 0 / 0";
}

TEST(RouterTopk, NaNAnywhereChoosesNothingAndStopsTheRun) {
  for (RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid}) {
    const RouterRule rule{score, 2, 1, RouterGroupScore::kTop2Sum, true, 1};
    for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        for (int64_t bad = 0; bad < 20; ++bad) {
          Owned logits = Normal(dtype, {3, 20}, 3);
          const Routed clean = Route(SerialStream(isa), logits, {}, 3, rule);
          logits.Put(20 + bad, std::nan(""));
          const Routed r = Route(SerialStream(isa), logits, {}, 3, rule);
          for (int64_t slot = 0; slot < 3; ++slot) {
            ASSERT_EQ(r.experts.Get(3 + slot), -1) << cpu::NameOf(isa) << " " << bad;
            ASSERT_EQ(r.weights.Get(3 + slot), 0);
            ASSERT_EQ(r.experts.Get(slot), clean.experts.Get(slot)) << "a neighbour";
            ASSERT_EQ(r.experts.Get(6 + slot), clean.experts.Get(6 + slot)) << "a neighbour";
          }
          Owned offsets(DType::kInt32, {21}), rows(DType::kInt32, {9}),
              slots(DType::kInt32, {3, 3});
          Stream stream = BestStream();
          try {
            DispatchPlan(
                stream,
                {.experts = r.experts, .offsets = offsets, .row_token = rows, .slot_row = slots});
            FAIL() << "a token without experts passed";
          } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kInternal);
            EXPECT_NE(error.message().find("not finite"), std::string::npos) << error.message();
          }
        }
        // A bias that is not a number spoils every row.
        Owned bias(dtype, {20});
        bias.Put(19, std::nan(""));
        const Routed r = Route(SerialStream(isa), Normal(dtype, {3, 20}, 3), bias, 3, rule);
        for (int64_t i = 0; i < 9; ++i) EXPECT_EQ(r.experts.Get(i), -1);
      }
    }
  }
  // Softmax of an infinite logit is NaN, too.
  Owned logits(DType::kFloat32, {1, 4});
  logits.Put(2, kInfinity);
  const Routed r = Route(BestStream(), logits, {}, 1, {.score = RouterScore::kSoftmax});
  EXPECT_EQ(r.experts.Get(0), -1);
}

const std::vector<int64_t>& RowCounts() {
  static const std::vector<int64_t> counts = {
      1,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,  14,  15,  16,  17,  31,
      32, 33, 47, 48, 63, 64, 65, 66, 96, 127, 128, 129, 255, 256, 257, 512, 1024};
  return counts;
}

TEST(RouterTopk, RowsDoNotSeeEachOtherForwardAndBackward) {
  const int64_t most = 1024, experts = 16, k = 4;
  const Owned logits = Normal(DType::kFloat32, {most, experts}, 4),
              dweights = Normal(DType::kFloat32, {most, k}, 5),
              bias = Normal(DType::kFloat32, {experts}, 6, 0.3);
  for (const RouterRule& rule :
       {RouterRule{RouterScore::kSigmoid, 4, 2, RouterGroupScore::kTop2Sum, true, 2.5},
        RouterRule{RouterScore::kSoftmax, 1, 1, RouterGroupScore::kMax, false, 1}}) {
    const auto backward = [&](Stream stream, const Routed& r, const Tensor& up) {
      Owned dlogits(DType::kFloat32, {up.shape[0], experts});
      RouterTopkBackward(stream, {.scores = r.scores,
                                  .experts = r.experts,
                                  .weights = r.weights,
                                  .dweights = up,
                                  .dlogits = dlogits,
                                  .rule = rule});
      return dlogits;
    };
    const Routed all = Route(BestStream(), logits, bias, k, rule);
    const Owned dall = backward(BestStream(), all, dweights);
    for (int64_t rows : RowCounts()) {
      for (int64_t shift : {int64_t{0}, std::min<int64_t>(5, most - rows), most - rows}) {
        const Routed r = Route(BestStream(), logits.view.Rows(shift, rows), bias, k, rule);
        const Owned d = backward(BestStream(), r, dweights.view.Rows(shift, rows));
        for (const auto& [part, whole] : {std::pair<Owned, Tensor>{r.scores, all.scores},
                                          {r.experts, all.experts},
                                          {r.weights, all.weights},
                                          {d, dall}}) {
          ASSERT_EQ(0, std::memcmp(part.view.data, whole.Rows(shift, rows).data, part.bytes()))
              << rows << " " << shift;
        }
      }
    }
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      cpu::ThreadPool pool(2);
      EXPECT_TRUE(SameBits(backward({isa, &pool}, all, dweights), dall)) << cpu::NameOf(isa);
    }
  }
}

TEST(RouterTopk, RefusesRulesThatDoNotFit) {
  const Owned logits(DType::kFloat32, {2, 12}), wide(DType::kFloat32, {2, kMaxExperts + 1});
  EXPECT_THROW(Route(BestStream(), logits, {}, 13, {}), Error);
  EXPECT_THROW(Route(BestStream(), logits, {}, 0, {}), Error);
  EXPECT_THROW(Route(BestStream(), logits, {}, 2, {.groups = 5}), Error);
  EXPECT_THROW(Route(BestStream(), logits, {}, 2, {.groups = 4, .top_groups = 5}), Error);
  EXPECT_THROW(Route(BestStream(), logits, {}, 4, {.groups = 4, .top_groups = 1}), Error);
  EXPECT_THROW(Route(BestStream(), wide, {}, 2, {}), Error);
}

TEST(DispatchPlan, EveryTokenStandsInTheListsOfItsExpertsInOrder) {
  for (auto [tokens, experts, k] : {std::tuple<int64_t, int64_t, int64_t>{0, 4, 2},
                                    {1, 1, 1},
                                    {50, 8, 3},
                                    {300, 256, 8},
                                    {70, 5, 5}}) {
    const Routed r = Route(BestStream(), Normal(DType::kFloat32, {tokens, experts}, 7), {}, k, {});
    Owned offsets(DType::kInt32, {experts + 1}), rows(DType::kInt32, {tokens * k}),
        slots(DType::kInt32, {tokens, k});
    Stream stream = BestStream();
    DispatchPlan(stream,
                 {.experts = r.experts, .offsets = offsets, .row_token = rows, .slot_row = slots});
    EXPECT_EQ(offsets.Get(0), 0);
    EXPECT_EQ(offsets.Get(experts), static_cast<double>(tokens * k)) << "no token is dropped";
    std::set<int64_t> seen;
    for (int64_t i = 0; i < tokens * k; ++i) {
      const int64_t row = static_cast<int64_t>(slots.Get(i)),
                    e = static_cast<int64_t>(r.experts.Get(i));
      EXPECT_TRUE(seen.insert(row).second) << "two slots share a row";
      ASSERT_GE(static_cast<double>(row), offsets.Get(e));
      ASSERT_LT(static_cast<double>(row), offsets.Get(e + 1));
      EXPECT_EQ(rows.Get(row), static_cast<double>(i / k));
    }
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t begin = static_cast<int64_t>(offsets.Get(e)),
                    end = static_cast<int64_t>(offsets.Get(e + 1));
      for (int64_t row = begin + 1; row < end; ++row)
        EXPECT_LT(rows.Get(row - 1), rows.Get(row)) << "canonical order";
    }
  }
}

TEST(DispatchPlan, RefusesAnExpertOutsideTheRange) {
  for (int id : {-1, 4, 255}) {
    Owned experts(DType::kInt32, {2, 2}), offsets(DType::kInt32, {5}), rows(DType::kInt32, {4}),
        slots(DType::kInt32, {2, 2});
    experts.Put(3, id);
    Stream stream = BestStream();
    EXPECT_THROW(
        DispatchPlan(
            stream, {.experts = experts, .offsets = offsets, .row_token = rows, .slot_row = slots}),
        Error)
        << id;
  }
}

}  // namespace
}  // namespace grouper
