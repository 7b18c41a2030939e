// The gradient of log-probabilities and entropies under every filter: compared with finite
// differences in fp64, and bit for bit across rows and instruction sets.
#include "kernels/sampling/token_log_probs.h"

#include <algorithm>

#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

const std::vector<SamplingRule>& Rules() {
  static const std::vector<SamplingRule> rules = {
      {},
      {.temperature = 0.7},
      {.temperature = 2},
      {.top_k = 5},
      {.top_p = 0.8},
      {.min_p = 0.1},
      {.temperature = 1.3, .top_k = 12, .top_p = 0.9, .min_p = 0.05}};
  return rules;
}

// The most likely id for even rows, the second most likely for odd ones.
Owned Likeliest(const Owned& logits) {
  const int64_t rows = logits.view.shape[0], vocab = logits.view.shape[1];
  Owned targets(DType::kInt32, {rows});
  for (int64_t r = 0; r < rows; ++r) {
    int64_t best = 0, second = 1;
    for (int64_t v = 1; v < vocab; ++v) {
      if (logits.Get(r * vocab + v) > logits.Get(r * vocab + best)) {
        second = best;
        best = v;
      } else if (v > 1 && logits.Get(r * vocab + v) > logits.Get(r * vocab + second)) {
        second = v;
      }
    }
    targets.Put(r, static_cast<double>(r % 2 == 0 ? best : second));
  }
  return targets;
}

struct Scored {
  Owned log_probs, entropies;
};
Scored Score(Stream stream, const Owned& logits, const Owned& targets, const SamplingRule& rule) {
  Scored s{Owned(logits.view.dtype, {logits.view.shape[0]}),
           Owned(logits.view.dtype, {logits.view.shape[0]})};
  TokenLogProbsArgs args;
  args.logits = logits;
  args.targets = targets;
  args.rule = rule;
  args.log_probs = s.log_probs;
  args.entropies = s.entropies;
  TokenLogProbs(stream, args);
  return s;
}

TEST(TokenLogProbsBackward, MatchesFiniteDifferencesUnderEveryRule) {
  const int64_t vocab = 30;
  Owned logits = Normal(DType::kFloat64, {3, vocab}, 8, 1.5), targets = Likeliest(logits);
  const Owned up = Normal(DType::kFloat64, {3}, 9), entropy_up = Normal(DType::kFloat64, {3}, 10);
  for (const SamplingRule& rule : Rules()) {
    for (bool with_entropy : {true, false}) {
      Owned dlogits(DType::kFloat64, {3, vocab});
      Stream stream = BestStream();
      TokenLogProbsBackward(stream, {.logits = logits,
                                     .targets = targets,
                                     .rule = rule,
                                     .dlog_probs = up,
                                     .dentropies = with_entropy ? entropy_up.view : Tensor(),
                                     .dlogits = dlogits});
      EXPECT_TRUE(testing::GradientMatches(logits, dlogits,
                                           [&] {
                                             const Scored s = Score(stream, logits, targets, rule);
                                             double sum = 0;
                                             for (int64_t r = 0; r < 3; ++r) {
                                               EXPECT_TRUE(std::isfinite(s.log_probs.Get(r)));
                                               sum += up.Get(r) * s.log_probs.Get(r);
                                               if (with_entropy)
                                                 sum += entropy_up.Get(r) * s.entropies.Get(r);
                                             }
                                             return sum;
                                           }))
          << "temperature " << rule.temperature << " top_k " << rule.top_k << " top_p "
          << rule.top_p << " min_p " << rule.min_p;
    }
  }
}

TEST(TokenLogProbsBackward, RowsInstructionSetsAndItsOwnInputGiveTheSameBits) {
  const int64_t rows = 40, vocab = 300;
  const Owned logits = Normal(DType::kFloat32, {rows, vocab}, 11, 2);
  const Owned up = Normal(DType::kFloat32, {rows}, 12), down = Normal(DType::kFloat32, {rows}, 13);
  for (const SamplingRule& rule : Rules()) {
    const Owned targets = Likeliest(logits);
    const auto backward = [&](Stream stream, const Tensor& in, const Tensor& out, int64_t first,
                              int64_t count) {
      TokenLogProbsBackward(stream, {.logits = in,
                                     .targets = targets.view.Rows(first, count),
                                     .rule = rule,
                                     .dlog_probs = up.view.Rows(first, count),
                                     .dentropies = down.view.Rows(first, count),
                                     .dlogits = out});
    };
    Owned all(DType::kFloat32, {rows, vocab});
    backward(BestStream(), logits, all, 0, rows);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      cpu::ThreadPool pool(2);
      Owned in_place = logits.Clone();
      backward({isa, &pool}, in_place, in_place, 0, rows);
      EXPECT_TRUE(SameBits(in_place, all)) << cpu::NameOf(isa);
    }
    for (int64_t r : {0, 7, 8, 39}) {
      Owned alone(DType::kFloat32, {1, vocab});
      backward(BestStream(), logits.view.Rows(r, 1), alone, r, 1);
      EXPECT_EQ(0, std::memcmp(alone.view.data, all.view.Rows(r, 1).data, alone.bytes())) << r;
    }
  }
}

}  // namespace
}  // namespace grouper
