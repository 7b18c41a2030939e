// Estimators of the KL divergence to a reference from one token's log-probs (docs/algorithms.md 6).
// With d = ref - log_prob: k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1 (Schulman 2020,
// "Approximating KL Divergence"; k3 is DeepSeekMath, arXiv:2402.03300, eq. 4). All in double, and
// each slope is the derivative of the estimator as written. One clamp may bound d, another the
// estimate.
#pragma once

namespace grouper {

enum class KlKind { kNone, kK1, kK2, kK3 };

struct KlRule {
  KlKind kind = KlKind::kNone;
  double clamp_in = 0;    // of d; 0: none
  double clamp_out = 0;   // of the estimate; 0: none
  bool unbiased = false;  // the clamped estimate times the ratio (DeepSeek-V3.2, arXiv:2512.02556)
};

struct KlTerm {
  double value = 0;
  double slope = 0;  // d value / d log_prob; 0 where a clamp cut
};

// ratio and ratio_slope (d ratio / d log_prob) are used only if rule.unbiased is set.
KlTerm KlOf(const KlRule& rule, double log_prob, double ref_log_prob, double ratio = 1,
            double ratio_slope = 1);

}  // namespace grouper
