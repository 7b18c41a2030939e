// The KL estimators: the family's conformance numbers, both clamps, and every slope against central
// differences.
#include "kernels/loss/kl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace grouper {
namespace {

constexpr KlKind kKinds[] = {KlKind::kK1, KlKind::kK2, KlKind::kK3};

double Value(KlKind kind, double log_prob, double ref, double in = 0, double out = 0) {
  return KlOf({.kind = kind, .clamp_in = in, .clamp_out = out}, log_prob, ref).value;
}

TEST(Kl, ConformanceNumbers) {
  struct Row {
    double log_prob, ref, k1, k2, k3;
  };
  const double e = std::exp(0.5);
  for (const Row& row : std::vector<Row>{{-1, -1.5, .5, .125, 1 / e - .5},
                                         {-1, -.5, -.5, .125, e - 1.5},
                                         {-.1, -30, 29.9, 447.005, 28.9}}) {
    const auto near = [](double expected) { return 1e-9 * std::fabs(expected); };
    EXPECT_NEAR(Value(KlKind::kK1, row.log_prob, row.ref), row.k1, near(row.k1));
    EXPECT_NEAR(Value(KlKind::kK2, row.log_prob, row.ref), row.k2, near(row.k2));
    EXPECT_NEAR(Value(KlKind::kK3, row.log_prob, row.ref), row.k3, near(row.k3));
  }
  EXPECT_NEAR(Value(KlKind::kK3, -1, -1.5), .106530660, 1e-9);
  EXPECT_NEAR(Value(KlKind::kK3, -1, -.5), .148721271, 1e-9);
  // In the clamps of two peers: d in +-20, the estimate in +-10.
  EXPECT_NEAR(Value(KlKind::kK3, -.1, -30, 20), 19.000000002, 1e-9);
  EXPECT_EQ(Value(KlKind::kK3, -.1, -30, 20, 10), 10);
  EXPECT_EQ(Value(KlKind::kK1, -.1, -30, 20, 10), 10);
  EXPECT_EQ(Value(KlKind::kK1, -30, -.1, 20, 10), -10) << "k1 may be negative";
  EXPECT_EQ(Value(KlKind::kK2, -.1, -30, 20), 200);
}

TEST(Kl, EqualPoliciesHaveNone) {
  for (KlKind kind : kKinds) EXPECT_EQ(Value(kind, -1.25, -1.25), 0);
  EXPECT_EQ(Value(KlKind::kNone, -1, -2), 0);
}

TEST(Kl, SlopesMatchDifferencesOnBothSidesOfTheClamps) {
  // The ratio of the unbiased form to a policy that sampled at this log-prob.
  constexpr double kOld = -1.9;
  int checked = 0;
  for (KlKind kind : kKinds) {
    for (bool unbiased : {false, true}) {
      for (double in : {0.0, 0.6}) {
        for (double out : {0.0, 0.25}) {
          for (double ref : {-0.2, -0.8, -1.45, -1.5, -2.0, -2.6, -3.5}) {
            const KlRule rule{.kind = kind, .clamp_in = in, .clamp_out = out, .unbiased = unbiased};
            const auto at = [&](double log_prob) {
              const double ratio = std::exp(log_prob - kOld);
              return KlOf(rule, log_prob, ref, ratio, ratio);
            };
            constexpr double kLogProb = -1.5, kStep = 1e-3;
            const double near = at(kLogProb + kStep).value - at(kLogProb - kStep).value,
                         far = at(kLogProb + 2 * kStep).value - at(kLogProb - 2 * kStep).value;
            EXPECT_NEAR(at(kLogProb).slope, (8 * near - far) / (12 * kStep), 1e-8)
                << static_cast<int>(kind) << " " << unbiased << " " << in << " " << out << " "
                << ref;
            ++checked;
          }
        }
      }
    }
  }
  EXPECT_EQ(checked, 3 * 2 * 2 * 2 * 7);
}

TEST(Kl, NothingFlowsThroughAClampBeyondItsEnds) {
  for (KlKind kind : kKinds) {
    EXPECT_EQ(KlOf({.kind = kind, .clamp_in = 20}, -.1, -30).slope, 0);
    EXPECT_EQ(KlOf({.kind = kind, .clamp_out = 10}, -.1, -30).slope, 0);
    EXPECT_NE(KlOf({.kind = kind, .clamp_in = 20, .clamp_out = 10}, -1, -1.5).slope, 0);
  }
}

}  // namespace
}  // namespace grouper
