// The losses against central differences over every surrogate, aggregation and KL, on both sides of
// every clip; and the counts of the clips.
#include "kernels/loss/policy_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"

namespace grouper {
namespace {

// Everything is a multiple of 2^-14, so steps of 2^-8 are exact in fp32.
constexpr size_t kTokens = 10;
float Exact(double x) { return static_cast<float>(std::round(x * 16384) / 16384); }

struct Case {
  // Sequence 3 has no token.
  std::vector<int64_t> offsets = {0, 4, 5, 8, 8, 10};
  std::vector<float> log_probs, old, ref;
  std::vector<double> advantages = {1.25, -0.75, -1.5, 2, 0.5};
  std::vector<double> gradient;
  PolicyLossRule rule;

  Case() {
    // log ratios: inside the clip, above and below it, beyond the dual clip.
    const double ratio[kTokens] = {0.1, 0.5, -0.5, 0, 0.7, 1.4, -0.6, 0.1, 0.05, -0.15};
    const double reference[kTokens] = {0.2, -0.4, 0, 0.7, -0.3, 0.1, -0.8, 0.3, 0.4, -0.2};
    for (int t = 0; t < static_cast<int>(kTokens); ++t) {
      log_probs.push_back(Exact(-0.4 - 0.21 * t));
      old.push_back(Exact(-0.4 - 0.21 * t - ratio[t]));
      ref.push_back(Exact(-0.4 - 0.21 * t + reference[t]));
    }
    gradient.resize(kTokens);
    rule.const_length = 7;
    rule.kl_beta = 0.3;
  }
  // Sequences [first, last) of the minibatch.
  PolicyLossResult Run(size_t first = 0, size_t last = 5) {
    std::vector<int64_t> cut;
    for (size_t i = first; i <= last; ++i) cut.push_back(offsets[i] - offsets[first]);
    const size_t begin = static_cast<size_t>(offsets[first]),
                 count = static_cast<size_t>(offsets[last]) - begin;
    PolicyLossArgs args;
    args.offsets = cut;
    args.log_probs = std::span(log_probs).subspan(begin, count);
    args.old_log_probs = std::span(old).subspan(begin, count);
    args.ref_log_probs = std::span(ref).subspan(begin, count);
    args.advantages = std::span(advantages).subspan(first, last - first);
    args.denominators = {.sequences = 4, .tokens = 10};
    args.rule = rule;
    args.dlog_probs = std::span(gradient).subspan(begin, count);
    return PolicyLoss(args);
  }
  // Fourth-order central difference.
  double Slope(size_t t) {
    const float at = log_probs[t];
    const float h = 0x1p-8f;
    const auto loss = [&](float step) {
      log_probs[t] = at + step;
      return Run().loss;
    };
    const double near = loss(h) - loss(-h), far = loss(2 * h) - loss(-2 * h);
    log_probs[t] = at;
    return (8 * near - far) / (12 * static_cast<double>(h));
  }
  void ExpectSlopes() {
    Run();
    const std::vector<double> analytic = gradient;
    for (size_t t = 0; t < kTokens; ++t) {
      const double numeric = Slope(t);
      EXPECT_NEAR(analytic[t], numeric,
                  1e-6 * std::max({1e-3, std::fabs(numeric), std::fabs(analytic[t])}))
          << t << " surrogate " << static_cast<int>(rule.surrogate) << " aggregation "
          << static_cast<int>(rule.aggregation) << " kl " << static_cast<int>(rule.kl.kind)
          << (rule.kl.unbiased ? " unbiased" : "") << " dual " << rule.dual_clip;
    }
  }
};

constexpr Aggregation kAggregations[] = {Aggregation::kToken, Aggregation::kSeq,
                                         Aggregation::kSeqSum, Aggregation::kConst};

TEST(PolicyLoss, GradientsMatchDifferencesUnderEveryRule) {
  int rules = 0;
  for (Surrogate surrogate :
       {Surrogate::kPpo, Surrogate::kGspo, Surrogate::kGspoToken, Surrogate::kReinforce}) {
    for (Aggregation aggregation : kAggregations) {
      for (KlKind kl : {KlKind::kNone, KlKind::kK1, KlKind::kK2, KlKind::kK3}) {
        for (bool unbiased : {false, true}) {
          for (double dual : {0.0, 3.0}) {
            Case c;
            c.rule.surrogate = surrogate;
            c.rule.aggregation = aggregation;
            c.rule.kl.kind = kl;
            c.rule.kl.unbiased = unbiased;
            c.rule.dual_clip = dual;
            c.ExpectSlopes();
            ++rules;
          }
        }
      }
    }
  }
  EXPECT_EQ(rules, 256);
}

TEST(PolicyLoss, CispoHoldsTheClippedRatioFixed) {
  Case c;
  c.rule.surrogate = Surrogate::kCispo;
  const PolicyLossResult result = c.Run();
  double loss = 0;
  for (size_t i = 0; i < 5; ++i) {
    for (int64_t t = c.offsets[i]; t < c.offsets[i + 1]; ++t) {
      const size_t at = static_cast<size_t>(t);
      const double ratio = std::exp(static_cast<double>(c.log_probs[at] - c.old[at]));
      const double slope = -std::min(std::max(ratio, 0.8), 1.28) * c.advantages[i] / 10;
      EXPECT_NEAR(c.gradient[at], slope, 1e-12) << t;
      loss += slope * static_cast<double>(c.log_probs[at]);
    }
  }
  EXPECT_NEAR(result.loss, loss, 1e-12);
  EXPECT_EQ(result.clipped_high, 3);
  EXPECT_EQ(result.clipped_low, 2);
}

TEST(PolicyLoss, CountsTheClipsThatCutAGradient) {
  Case c;
  PolicyLossResult result = c.Run();
  EXPECT_EQ(result.clipped_high, 1) << "token 1: ratio above, advantage positive";
  EXPECT_EQ(result.clipped_low, 1) << "token 6: ratio below, advantage negative";
  EXPECT_EQ(result.clipped_dual, 0);
  EXPECT_EQ(result.ratio_not_one, 9) << "of 10 tokens, token 3 alone is on policy";
  EXPECT_NEAR(result.ratio_max, std::exp(1.4), 1e-3);
  EXPECT_EQ(c.gradient[1], 0);
  EXPECT_EQ(c.gradient[6], 0);
  EXPECT_EQ(c.gradient[3], -1.25 / 10) << "on policy: exactly the advantage over the tokens";
  c.rule.dual_clip = 3;
  result = c.Run();
  EXPECT_EQ(result.clipped_dual, 1) << "token 5: ratio 4, advantage negative";
  EXPECT_EQ(result.clipped_low, 1);
  EXPECT_EQ(c.gradient[5], 0);
}

TEST(PolicyLoss, BeyondTheClampOfTheLogRatioThereIsNoGradient) {
  for (Surrogate surrogate : {Surrogate::kPpo, Surrogate::kGspo, Surrogate::kGspoToken}) {
    Case c;
    c.rule.surrogate = surrogate;
    c.rule.log_ratio_clamp = 0.65;
    c.ExpectSlopes();
  }
  // A probability that fell by e^25: one token may not outweigh all others.
  Case c;
  c.old[4] = c.log_probs[4] - 25;
  const PolicyLossResult result = c.Run();
  EXPECT_EQ(result.ratio_max, std::exp(20.0));
  EXPECT_EQ(c.gradient[4], 0);
}

TEST(PolicyLoss, ClampsOfTheKlTermCutItsGradient) {
  for (bool unbiased : {false, true}) {
    for (KlKind kl : {KlKind::kK1, KlKind::kK2, KlKind::kK3}) {
      Case c;
      c.rule.kl = {.kind = kl, .clamp_in = 0.65, .clamp_out = 0.06, .unbiased = unbiased};
      c.rule.log_ratio_clamp = 1.0;
      c.ExpectSlopes();
    }
  }
}

TEST(PolicyLoss, GivesTheSumsOfTheMetrics) {
  Case c;
  PolicyLossArgs args;
  args.offsets = c.offsets;
  args.log_probs = c.log_probs;
  args.old_log_probs = c.old;
  args.ref_log_probs = c.ref;
  args.advantages = c.advantages;
  args.denominators = {4, 10};
  args.dlog_probs = c.gradient;
  const PolicyLossResult result = PolicyLoss(args);
  double sum = 0, k1 = 0, k3 = 0;
  for (size_t t = 0; t < kTokens; ++t) {
    const double d = static_cast<double>(c.ref[t]) - static_cast<double>(c.log_probs[t]);
    const double ratio =
        std::exp(static_cast<double>(c.log_probs[t]) - static_cast<double>(c.old[t]));
    sum += ratio;
    k1 -= d;
    k3 += std::exp(d) - d - 1;
  }
  EXPECT_EQ(result.tokens, 10);
  EXPECT_NEAR(result.ratio_sum, sum, 1e-12);
  EXPECT_NEAR(result.k1_sum, k1, 1e-12);
  EXPECT_NEAR(result.k3_sum, k3, 1e-12);
}

TEST(PolicyLoss, CutsBetweenSequencesChangeNoBit) {
  for (Surrogate surrogate : {Surrogate::kPpo, Surrogate::kGspo, Surrogate::kCispo}) {
    Case whole;
    whole.rule.surrogate = surrogate;
    whole.rule.kl.kind = KlKind::kK3;
    whole.rule.aggregation = Aggregation::kSeq;
    Case cut = whole;
    const PolicyLossResult all = whole.Run();
    double loss = 0, k3 = 0;
    for (size_t i = 0; i < 5; ++i) {
      const PolicyLossResult one = cut.Run(i, i + 1);
      loss += one.loss;
      k3 += one.k3_sum;
    }
    EXPECT_EQ(cut.gradient, whole.gradient);
    EXPECT_NEAR(loss, all.loss, 1e-15);
    EXPECT_NEAR(k3, all.k3_sum, 1e-15);
  }
}

TEST(PolicyLoss, RefusesArraysThatDoNotFit) {
  Case c;
  PolicyLossArgs args;
  args.offsets = c.offsets;
  args.log_probs = c.log_probs;
  args.old_log_probs = c.old;
  args.advantages = c.advantages;
  args.denominators = {4, 10};
  args.dlog_probs = c.gradient;
  EXPECT_NO_THROW(PolicyLoss(args));
  args.rule.kl.kind = KlKind::kK3;
  EXPECT_THROW(PolicyLoss(args), Error) << "a KL term without a reference";
  args.rule.kl.kind = KlKind::kNone;
  args.denominators.tokens = 0;
  EXPECT_THROW(PolicyLoss(args), Error);
  args.denominators.tokens = 10;
  args.old_log_probs = args.old_log_probs.subspan(1);
  EXPECT_THROW(PolicyLoss(args), Error);
  args.old_log_probs = c.old;
  c.offsets.back() = 9;
  EXPECT_THROW(PolicyLoss(args), Error) << "tokens outside every sequence";
}

}  // namespace
}  // namespace grouper
