// Kept sets as bits: a softmax over a set that was found, written down and put over the logits
// again has the bits of the filter itself, another policy has a distribution over the same set, and
// the gradient of a KL term under filters is that of its formula.
#include "kernels/sampling/kept_sets.h"

#include <bit>
#include <limits>

#include "kernels/loss/kl.h"
#include "kernels/sampling/token_log_probs.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

const std::vector<SamplingRule>& Rules() {
  static const std::vector<SamplingRule> rules = {
      {.top_k = 1},   {.top_k = 20},
      {.top_p = 0.8}, {.top_p = 0.01},
      {.min_p = 0.1}, {.temperature = 1.3, .top_k = 12, .top_p = 0.9, .min_p = 0.05}};
  return rules;
}

Owned SetsOf(Stream stream, const Owned& logits, const SamplingRule& rule) {
  Owned sets(DType::kInt32, {logits.view.shape[0], KeptSetWords(logits.view.shape[1])});
  KeptSets(stream, {.logits = logits, .rule = rule, .sets = sets});
  return sets;
}
bool IsIn(const Owned& sets, int64_t row, int64_t id) {
  const int32_t* words = sets.view.as<int32_t>() + row * sets.view.shape[1];
  return (static_cast<uint32_t>(words[id / 32]) >> (id % 32) & 1) == 1;
}
int64_t SizeOfSet(const Owned& sets, int64_t row) {
  const int32_t* words = sets.view.as<int32_t>() + row * sets.view.shape[1];
  int64_t size = 0;
  for (int64_t w = 0; w < sets.view.shape[1]; ++w) {
    size += std::popcount(static_cast<uint32_t>(words[w]));
  }
  return size;
}

struct Scored {
  Owned log_probs, kept_sizes;
};
Scored Score(Stream stream, const Owned& logits, const Owned& targets, const SamplingRule& rule) {
  const int64_t rows = logits.view.shape[0];
  Scored s{Owned(logits.view.dtype, {rows}), Owned(DType::kInt32, {rows})};
  TokenLogProbs(stream, {.logits = logits,
                         .targets = targets,
                         .rule = rule,
                         .log_probs = s.log_probs,
                         .entropies = Owned(logits.view.dtype, {rows}),
                         .kept_sizes = s.kept_sizes});
  return s;
}

TEST(KeptSets, AMaskOfTheSetGivesTheBitsOfTheFilterForEveryTarget) {
  for (int64_t vocab : {1, 5, 31, 32, 33, 256, 300, 521}) {
    const int64_t rows = 11;
    Owned logits = Normal(DType::kFloat32, {rows, vocab}, 21, 2);
    for (int64_t id = 0; id < vocab; ++id) logits.Put(2 * vocab + id, 0.5);  // all tie
    if (vocab > 5) logits.Put(3 * vocab + 4, -std::numeric_limits<double>::infinity());
    for (const SamplingRule& rule : Rules()) {
      SCOPED_TRACE("vocab " + std::to_string(vocab) + " top_k " + std::to_string(rule.top_k) +
                   " top_p " + std::to_string(rule.top_p) + " min_p " + std::to_string(rule.min_p));
      const Owned sets = SetsOf(BestStream(), logits, rule);
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        cpu::ThreadPool pool(2);
        Stream stream{isa, &pool};
        EXPECT_TRUE(SameBits(SetsOf(stream, logits, rule), sets)) << cpu::NameOf(isa);
        Owned masked = logits.Clone();
        MaskLogits(stream, {.sets = sets, .logits = masked});
        for (int64_t id = 0; id < vocab; id += std::max<int64_t>(1, vocab / 7)) {
          Owned targets(DType::kInt32, {rows});
          for (int64_t r = 0; r < rows; ++r) targets.Put(r, static_cast<double>(id));
          const Scored filtered = Score(stream, logits, targets, rule),
                       by_mask = Score(stream, masked, targets, {.temperature = rule.temperature});
          EXPECT_TRUE(SameBits(filtered.log_probs, by_mask.log_probs)) << id;
          for (int64_t r = 0; r < rows; ++r) {
            EXPECT_EQ(std::isfinite(filtered.log_probs.Get(r)), IsIn(sets, r, id)) << r;
            EXPECT_EQ(static_cast<int64_t>(filtered.kept_sizes.Get(r)), SizeOfSet(sets, r)) << r;
          }
        }
      }
    }
  }
}

TEST(KeptSets, ARowThatIsNoDistributionKeepsEverything) {
  Owned logits = Normal(DType::kFloat32, {3, 70}, 22);
  logits.Put(1 * 70 + 69, std::numeric_limits<double>::quiet_NaN());
  const Owned sets = SetsOf(BestStream(), logits, {.top_k = 3});
  EXPECT_EQ(SizeOfSet(sets, 0), 3);
  EXPECT_EQ(SizeOfSet(sets, 1), 70);
  EXPECT_EQ(SizeOfSet(sets, 2), 3);
}

// The loss sum of beta * k(logp_S, ref_S), where S is the kept set of the policy's logits: S does
// not change under a small step, and ref_S is a constant.
TEST(KeptSets, TheGradientOfAKlTermUnderAFilterMatchesFiniteDifferences) {
  const int64_t rows = 4, vocab = 40;
  Owned logits = Normal(DType::kFloat64, {rows, vocab}, 23, 1.5);
  const Owned reference = Normal(DType::kFloat64, {rows, vocab}, 24, 1.5);
  Stream stream = BestStream();
  for (const SamplingRule& rule : Rules()) {
    const Owned sets = SetsOf(stream, logits, rule);
    Owned targets(DType::kInt32, {rows});
    for (int64_t r = 0; r < rows; ++r) {  // the last id of the set, which is seldom the likeliest
      for (int64_t id = 0; id < vocab; ++id) {
        if (IsIn(sets, r, id)) targets.Put(r, static_cast<double>(id));
      }
    }
    Owned masked = reference.Clone();
    MaskLogits(stream, {.sets = sets, .logits = masked});
    const SamplingRule no_filter = {.temperature = rule.temperature};
    const Owned ref = Score(stream, masked, targets, no_filter).log_probs;
    for (KlKind kind : {KlKind::kK1, KlKind::kK2, KlKind::kK3}) {
      const auto kl = [&](double log_prob, int64_t r) {
        return KlOf({.kind = kind}, log_prob, ref.Get(r));
      };
      const Owned now = Score(stream, logits, targets, rule).log_probs;
      Owned upstream(DType::kFloat64, {rows}), dlogits(DType::kFloat64, {rows, vocab});
      for (int64_t r = 0; r < rows; ++r) {
        ASSERT_TRUE(std::isfinite(ref.Get(r)));
        upstream.Put(r, kl(now.Get(r), r).slope);
      }
      TokenLogProbsBackward(stream, {.logits = logits,
                                     .targets = targets,
                                     .rule = rule,
                                     .dlog_probs = upstream,
                                     .dentropies = {},
                                     .dlogits = dlogits});
      EXPECT_TRUE(testing::GradientMatches(logits, dlogits,
                                           [&] {
                                             const Owned moved =
                                                 Score(stream, logits, targets, rule).log_probs;
                                             double sum = 0;
                                             for (int64_t r = 0; r < rows; ++r)
                                               sum += kl(moved.Get(r), r).value;
                                             return sum;
                                           }))
          << "kind " << static_cast<int>(kind) << " top_k " << rule.top_k << " top_p " << rule.top_p
          << " min_p " << rule.min_p;
    }
  }
}

}  // namespace
}  // namespace grouper
