// Router with given experts (routing replay). Giving back the router's own choice changes no bit;
// another choice gets its weights from the scores of this call, and its own gradient.
#include "base/error.h"
#include "kernels/moe/router_topk.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;
using testing::SerialStream;

struct Case {
  int64_t experts, k;
  RouterRule rule;
};

const std::vector<Case>& Cases() {
  constexpr auto kSoft = RouterScore::kSoftmax, kSig = RouterScore::kSigmoid;
  constexpr auto kMax = RouterGroupScore::kMax, kTop2 = RouterGroupScore::kTop2Sum;
  static const std::vector<Case> cases = {
      {1, 1, {kSoft, 1, 1, kMax, true, 1}},     {4, 4, {kSig, 1, 1, kTop2, true, 2.5}},
      {5, 2, {kSoft, 1, 1, kMax, false, 16}},   {8, 3, {kSoft, 4, 2, kMax, true, 1}},
      {17, 5, {kSig, 1, 1, kTop2, false, 1.5}}, {256, 8, {kSig, 8, 4, kTop2, true, 2.5}}};
  return cases;
}

struct Routed {
  Owned scores, experts, weights;
};

Routed Route(Stream stream, const Case& c, const Tensor& logits, const Tensor& bias,
             const Tensor& given) {
  const int64_t tokens = logits.shape[0];
  Routed r{Owned(logits.dtype, {tokens, c.experts}), Owned(DType::kInt32, {tokens, c.k}),
           Owned(logits.dtype, {tokens, c.k})};
  RouterTopk(stream, {.logits = logits,
                      .bias = bias,
                      .scores = r.scores,
                      .experts = r.experts,
                      .weights = r.weights,
                      .rule = c.rule,
                      .given = given});
  return r;
}

bool Same(const Routed& a, const Routed& b) {
  return SameBits(a.scores, b.scores) && SameBits(a.experts, b.experts) &&
         SameBits(a.weights, b.weights);
}

// Another choice: each slot's id plus the token's number. It is not sorted by score and ignores
// groups.
Owned Other(const Case& c, const Owned& live) {
  Owned other(DType::kInt32, {live.view.shape[0], c.k});
  for (int64_t i = 0; i < live.view.elements(); ++i) {
    const int64_t token = i / c.k, from = token * c.k + (c.k - 1 - i % c.k);
    other.Put(
        i, static_cast<double>((static_cast<int64_t>(live.Get(from)) + 1 + token % 3) % c.experts));
  }
  return other;
}

TEST(RouterReplay, TheLiveChoiceGivenBackChangesNoBitOnAnyInstructionSet) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.experts);
    for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
      const Owned logits = Normal(dtype, {70, c.experts}, 1, 1.5),
                  bias = Normal(dtype, {c.experts}, 2, 0.5);
      const Routed live = Route(BestStream(), c, logits, bias, {});
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        cpu::ThreadPool pool(2);
        EXPECT_TRUE(Same(Route({isa, &pool}, c, logits, bias, live.experts), live))
            << cpu::NameOf(isa);
        EXPECT_TRUE(Same(Route(SerialStream(isa), c, logits, {}, live.experts), live))
            << cpu::NameOf(isa) << ": the bias has no say";
      }
    }
  }
}

template <typename T>
void ExpectWeightsOfTheRule(const Case& c, const Owned& given, const Routed& r) {
  for (int64_t t = 0; t < given.view.shape[0]; ++t) {
    const auto score = [&](int64_t slot) {
      return static_cast<T>(
          r.scores.Get(t * c.experts + static_cast<int64_t>(given.Get(t * c.k + slot))));
    };
    T total = 0;
    for (int64_t slot = 0; slot < c.k; ++slot) total += score(slot);
    const T divisor = c.rule.renormalize ? total + static_cast<T>(1e-20f) : T{1};
    for (int64_t slot = 0; slot < c.k; ++slot) {
      ASSERT_EQ(r.weights.Get(t * c.k + slot),
                static_cast<double>(score(slot) / divisor * static_cast<T>(c.rule.scale)))
          << t << " slot " << slot;
    }
  }
}

TEST(RouterReplay, AnotherChoiceGetsTheWeightsOfTheLiveScores) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.experts);
    for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
      const Owned logits = Normal(dtype, {70, c.experts}, 1, 1.5);
      const Routed live = Route(BestStream(), c, logits, {}, {});
      const Owned given = Other(c, live.experts);
      const Routed replayed = Route(BestStream(), c, logits, {}, given);
      EXPECT_TRUE(SameBits(replayed.experts, given));
      EXPECT_TRUE(SameBits(replayed.scores, live.scores));
      EXPECT_EQ(SameBits(replayed.experts, live.experts), c.experts == 1) << "the case is a case";
      if (dtype == DType::kFloat32) {
        ExpectWeightsOfTheRule<float>(c, given, replayed);
      } else {
        ExpectWeightsOfTheRule<double>(c, given, replayed);
      }
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        EXPECT_TRUE(Same(Route(SerialStream(isa), c, logits, {}, given), replayed))
            << cpu::NameOf(isa);
      }
    }
  }
}

TEST(RouterReplay, RowsDoNotSeeEachOther) {
  const int64_t most = 300;
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.experts);
    const Owned logits = Normal(DType::kFloat32, {most, c.experts}, 4);
    const Owned given = Other(c, Route(BestStream(), c, logits, {}, {}).experts);
    const Routed all = Route(BestStream(), c, logits, {}, given);
    for (int64_t rows : {1, 2, 63, 64, 65, 129, 299}) {
      for (int64_t shift : {int64_t{0}, most - rows}) {
        const Routed part =
            Route(BestStream(), c, logits.view.Rows(shift, rows), {}, given.view.Rows(shift, rows));
        for (const auto& [some, whole] : {std::pair<Owned, Tensor>{part.scores, all.scores},
                                          {part.experts, all.experts},
                                          {part.weights, all.weights}}) {
          ASSERT_EQ(0, std::memcmp(some.view.data, whole.Rows(shift, rows).data, some.bytes()))
              << rows << " " << shift;
        }
      }
    }
  }
}

TEST(RouterReplay, GradientOfAnotherChoiceMatchesFiniteDifferences) {
  const int64_t tokens = 6;
  for (const Case& c : Cases()) {
    if (c.experts > 17) continue;
    SCOPED_TRACE(c.experts);
    Owned logits = Normal(DType::kFloat64, {tokens, c.experts}, 5);
    const Owned dweights = Normal(DType::kFloat64, {tokens, c.k}, 6);
    const Owned given = Other(c, Route(BestStream(), c, logits, {}, {}).experts);
    const Routed r = Route(BestStream(), c, logits, {}, given);
    Owned dlogits(DType::kFloat64, {tokens, c.experts});
    Stream stream = BestStream();
    RouterTopkBackward(stream, {.scores = r.scores,
                                .experts = r.experts,
                                .weights = r.weights,
                                .dweights = dweights,
                                .dlogits = dlogits,
                                .rule = c.rule});
    EXPECT_TRUE(testing::GradientMatches(logits, dlogits, [&] {
      const Owned weights = Route(BestStream(), c, logits, {}, given).weights;
      double loss = 0;
      for (int64_t i = 0; i < tokens * c.k; ++i) loss += weights.Get(i) * dweights.Get(i);
      return loss;
    }));
  }
}

TEST(RouterReplay, ANaNScoreStillChoosesNothing) {
  const Case c{8, 3, {RouterScore::kSigmoid, 1, 1, RouterGroupScore::kTop2Sum, true, 1}};
  Owned logits = Normal(DType::kFloat32, {3, 8}, 7);
  const Owned given = Other(c, Route(BestStream(), c, logits, {}, {}).experts);
  const Routed clean = Route(BestStream(), c, logits, {}, given);
  logits.Put(8 + 5, std::nan(""));
  const Routed r = Route(BestStream(), c, logits, {}, given);
  for (int64_t i = 0; i < 9; ++i) {
    EXPECT_EQ(r.experts.Get(i), i / 3 == 1 ? -1 : given.Get(i)) << i;
    EXPECT_EQ(r.weights.Get(i), i / 3 == 1 ? 0 : clean.weights.Get(i)) << i;
  }
}

TEST(RouterReplay, RefusesIdsThatDoNotExistOrStandTwiceAndNamesTheToken) {
  const Case c{4, 2, {}};
  const Owned logits = Normal(DType::kFloat32, {70, 4}, 8);
  const Owned live = Route(BestStream(), c, logits, {}, {}).experts;
  const auto refusal = [&](const Owned& given) {
    try {
      Route(BestStream(), c, logits, {}, given);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      return error.message();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal(live), "accepted");
  for (int id : {-1, 4, 255}) {
    Owned given = live.Clone();
    given.Put(67 * 2 + 1, id);
    EXPECT_NE(
        refusal(given).find("does not exist: row=67 slot=1 id=" + std::to_string(id) + " ids=4"),
        std::string::npos)
        << refusal(given);
  }
  Owned twice = live.Clone();
  twice.Put(69 * 2 + 1, twice.Get(69 * 2));
  EXPECT_NE(refusal(twice).find("twice in one row: row=69 slot=1 id="), std::string::npos)
      << refusal(twice);
  EXPECT_NE(refusal(Owned(DType::kInt32, {69, 2})), "accepted") << "one row a token";
  EXPECT_NE(refusal(Owned(DType::kInt32, {70, 3})), "accepted") << "one id a slot";
  EXPECT_NE(refusal(Owned(DType::kFloat32, {70, 2})), "accepted");
}

}  // namespace
}  // namespace grouper
