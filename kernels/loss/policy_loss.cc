#include "kernels/loss/policy_loss.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace grouper {
namespace {

double ClampRatioLog(double difference, double clamp) {
  return clamp > 0 ? std::clamp(difference, -clamp, clamp) : difference;
}
// The clamp is constant beyond its ends, so nothing flows through it there.
bool BeyondClamp(double difference, double clamp) {
  return clamp > 0 && std::fabs(difference) > clamp;
}

struct Term {
  double value = 0;
  double slope = 0;  // d value / d log_prob of this token, with the ratio's own dependence
  bool low = false, high = false, dual = false;
};

// The clipped surrogate of ratio r under advantage a; slope is with respect to log r.
Term Clipped(const PolicyLossRule& rule, double r, double a) {
  Term t;
  const double bounded = std::clamp(r, 1 - rule.clip_low, 1 + rule.clip_high);
  t.value = -std::min(r * a, bounded * a);
  t.slope = -r * a;
  if (bounded * a < r * a) {
    t.slope = 0;
    (a > 0 ? t.high : t.low) = true;
  }
  if (rule.dual_clip > 0 && a < 0 && -rule.dual_clip * a < t.value) {
    t.value = -rule.dual_clip * a;
    t.slope = 0;
    t.dual = true;
    t.low = t.high = false;
  }
  return t;
}

// A token's surrogate under its ratio's logarithm.
Term SurrogateTerm(const PolicyLossRule& rule, double log_ratio, double ratio, double log_prob,
                   double a) {
  Term term;
  switch (rule.surrogate) {
    case Surrogate::kPpo:
    case Surrogate::kGspo:
    case Surrogate::kGspoToken:
      term = Clipped(rule, ratio, a);
      if (BeyondClamp(log_ratio, rule.log_ratio_clamp)) term.slope = 0;
      break;
    case Surrogate::kCispo: {
      const double bounded = std::clamp(ratio, 1 - rule.clip_low, 1 + rule.clip_high);
      term = {-bounded * a * log_prob, -bounded * a};
      term.low = ratio < 1 - rule.clip_low;
      term.high = ratio > 1 + rule.clip_high;
      break;
    }
    case Surrogate::kReinforce:
      term = {-a * log_prob, -a};
      break;
  }
  return term;
}

// Stop-gradient weight against the sampler's own log-probs (grpo.md 6).
double CorrectionWeight(const PolicyLossRule& rule, double token_log, double sequence_log) {
  const double token = std::exp(token_log);
  switch (rule.correction) {
    case Correction::kOff:
      return 1;
    case Correction::kTokenTruncate:
      return std::min(token, rule.correction_cap);
    case Correction::kSequenceTruncate:
      return std::min(std::exp(sequence_log), rule.correction_cap);
    case Correction::kTokenMask:
      return token >= 1 / rule.correction_cap && token <= rule.correction_cap ? token : 0;
  }
  return 1;
}

void CheckArgs(const PolicyLossArgs& args) {
  const size_t tokens = args.log_probs.size();
  CHECK(!args.offsets.empty() && args.offsets.front() == 0 &&
            args.offsets.back() == static_cast<int64_t>(tokens),
        "[policy_loss] offsets must cover the tokens", tokens);
  CHECK(args.old_log_probs.size() == tokens && args.dlog_probs.size() == tokens &&
            args.advantages.size() + 1 == args.offsets.size(),
        "[policy_loss] arrays of different lengths", tokens, args.old_log_probs.size());
  CHECK(args.ref_log_probs.empty() || args.ref_log_probs.size() == tokens,
        "[policy_loss] one reference log-prob a token", args.ref_log_probs.size());
  CHECK(args.rule.kl.kind == KlKind::kNone || !args.ref_log_probs.empty(),
        "[policy_loss] a KL term needs reference log-probs");
  CHECK(args.rule.correction == Correction::kOff || args.rollout_log_probs.size() == tokens,
        "[policy_loss] a correction needs the sampler's log-probs");
  CHECK(args.mask.empty() || args.mask.size() == tokens, "[policy_loss] one mask a token",
        args.mask.size());
  CHECK(args.ratios.empty() || args.ratios.size() == tokens, "[policy_loss] one ratio a token",
        args.ratios.size());
  CHECK(args.denominators.tokens > 0 && args.denominators.sequences > 0,
        "[policy_loss] denominators of the minibatch must be positive");
}

}  // namespace

double TokenWeight(const PolicyLossRule& rule, const LossDenominators& all, int64_t n) {
  switch (rule.aggregation) {
    case Aggregation::kToken:
      return 1.0 / static_cast<double>(all.tokens);
    case Aggregation::kSeq:
      return 1.0 / (static_cast<double>(all.sequences) * static_cast<double>(n));
    case Aggregation::kSeqSum:
      return 1.0 / static_cast<double>(all.sequences);
    case Aggregation::kConst:
      return 1.0 / (static_cast<double>(all.sequences) * static_cast<double>(rule.const_length));
  }
  return 0;
}

PolicyLossResult PolicyLoss(const PolicyLossArgs& args) {
  CheckArgs(args);
  const PolicyLossRule& rule = args.rule;
  PolicyLossResult result;
  const auto active = [&](size_t t) { return args.mask.empty() || args.mask[t] != 0; };
  for (size_t i = 0; i + 1 < args.offsets.size(); ++i) {
    const size_t begin = static_cast<size_t>(args.offsets[i]),
                 end = static_cast<size_t>(args.offsets[i + 1]);
    const double a = args.advantages[i];
    int64_t n = 0;
    double log_sum = 0, correction_sum = 0;
    for (size_t t = begin; t < end; ++t) {
      args.dlog_probs[t] = 0;
      if (!args.ratios.empty()) args.ratios[t] = 1;
      if (!active(t)) continue;
      ++n;
      log_sum +=
          static_cast<double>(args.log_probs[t]) - static_cast<double>(args.old_log_probs[t]);
      if (rule.correction != Correction::kOff) {
        correction_sum += static_cast<double>(args.old_log_probs[t]) -
                          static_cast<double>(args.rollout_log_probs[t]);
      }
    }
    if (n == 0) continue;
    const double weight = TokenWeight(rule, args.denominators, n);
    const bool whole =
        rule.surrogate == Surrogate::kGspo || rule.surrogate == Surrogate::kGspoToken;
    // GSPO: one ratio a sequence, the geometric mean; its gradient spreads over all tokens.
    double sequence_slope = 0;
    for (size_t t = begin; t < end; ++t) {
      if (!active(t)) continue;
      const double difference =
          static_cast<double>(args.log_probs[t]) - static_cast<double>(args.old_log_probs[t]);
      const double log_ratio = whole ? log_sum / static_cast<double>(n) : difference;
      const double ratio = std::exp(ClampRatioLog(log_ratio, rule.log_ratio_clamp));
      result.ratio_not_one += difference != 0 ? 1 : 0;
      result.ratio_max = std::max(result.ratio_max, ratio);
      ++result.tokens;
      result.ratio_sum += ratio;
      if (!args.ratios.empty()) args.ratios[t] = ratio;
      const double log_prob = static_cast<double>(args.log_probs[t]);
      const Term term = SurrogateTerm(rule, log_ratio, ratio, log_prob, a);
      result.clipped_low += term.low ? 1 : 0;
      result.clipped_high += term.high ? 1 : 0;
      result.clipped_dual += term.dual ? 1 : 0;
      const double c = rule.correction == Correction::kOff
                           ? 1
                           : CorrectionWeight(rule,
                                              static_cast<double>(args.old_log_probs[t]) -
                                                  static_cast<double>(args.rollout_log_probs[t]),
                                              correction_sum);
      result.loss += weight * c * term.value;
      if (rule.surrogate == Surrogate::kGspo) {
        sequence_slope += weight * c * term.slope / static_cast<double>(n);
      } else {
        args.dlog_probs[t] += weight * c * term.slope;
      }
      if (args.ref_log_probs.empty()) continue;
      const double ref = static_cast<double>(args.ref_log_probs[t]);
      result.k1_sum += KlOf({.kind = KlKind::kK1}, log_prob, ref).value;
      result.k3_sum += KlOf({.kind = KlKind::kK3}, log_prob, ref).value;
      if (rule.kl.kind == KlKind::kNone) continue;
      // Its ratio is the token's, whatever the surrogate's is.
      const double own = std::exp(ClampRatioLog(difference, rule.log_ratio_clamp));
      const double own_slope = BeyondClamp(difference, rule.log_ratio_clamp) ? 0 : own;
      const KlTerm kl = KlOf(rule.kl, log_prob, ref, own, own_slope);
      result.kl_sum += kl.value;
      result.loss += weight * rule.kl_beta * kl.value;
      args.dlog_probs[t] += weight * rule.kl_beta * kl.slope;
    }
    for (size_t t = begin; t < end && rule.surrogate == Surrogate::kGspo; ++t) {
      if (active(t)) args.dlog_probs[t] += sequence_slope;
    }
  }
  return result;
}

}  // namespace grouper
