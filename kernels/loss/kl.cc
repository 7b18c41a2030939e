#include "kernels/loss/kl.h"

#include <algorithm>
#include <cmath>

namespace grouper {

KlTerm KlOf(const KlRule& rule, double log_prob, double ref_log_prob, double ratio,
            double ratio_slope) {
  double d = ref_log_prob - log_prob;
  bool flows = true;
  if (rule.clamp_in > 0 && std::fabs(d) > rule.clamp_in) {
    d = std::copysign(rule.clamp_in, d);
    flows = false;
  }
  KlTerm k;
  switch (rule.kind) {
    case KlKind::kNone:
      return k;
    case KlKind::kK1:
      k = {-d, 1};
      break;
    case KlKind::kK2:
      k = {d * d / 2, -d};
      break;
    case KlKind::kK3:
      k = {std::exp(d) - d - 1, 1 - std::exp(d)};
      break;
  }
  if (rule.clamp_out > 0 && std::fabs(k.value) > rule.clamp_out) {
    k.value = std::copysign(rule.clamp_out, k.value);
    flows = false;
  }
  if (!flows) k.slope = 0;
  if (rule.unbiased) k = {ratio * k.value, ratio_slope * k.value + ratio * k.slope};
  return k;
}

}  // namespace grouper
