// Estimators of the KL divergence to a reference from one token's log-probs (grpo.md 5): with
// d = ref - log_prob, k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1 (Schulman 2020), in double, each
// differentiated as written. d may be held in a clamp before, the estimate behind.
#pragma once

namespace grouper {

enum class KlKind { kNone, kK1, kK2, kK3 };

struct KlRule {
  KlKind kind = KlKind::kNone;
  double clamp_in = 0;    // of d; 0: none
  double clamp_out = 0;   // of the estimate; 0: none
  bool unbiased = false;  // the clamped estimate times the ratio (DeepSeek-V3.2)
};

struct KlTerm {
  double value = 0;
  double slope = 0;  // d value / d log_prob; nothing flows through a clamp beyond its ends
};

// ratio and ratio_slope (d ratio / d log_prob) matter where rule.unbiased is set.
KlTerm KlOf(const KlRule& rule, double log_prob, double ref_log_prob, double ratio = 1,
            double ratio_slope = 1);

}  // namespace grouper
