#include "kernels/loss/policy_loss.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace grouper {
namespace {

double ClampRatioLog(double difference, double clamp) {
  return clamp > 0 ? std::clamp(difference, -clamp, clamp) : difference;
}
// The clamp is constant beyond its ends, so the gradient is 0 there.
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

void CheckArgs(const PolicyLossArgs& args) {
  const size_t tokens = args.log_probs.size();
  CHECK(!args.offsets.empty() && args.offsets.front() == 0 &&
            args.offsets.back() == static_cast<int64_t>(tokens),
        "[policy_loss] offsets must begin at 0 and end at the number of tokens",
        Named("tokens", tokens));
  CHECK(args.old_log_probs.size() == tokens && args.dlog_probs.size() == tokens &&
            args.advantages.size() + 1 == args.offsets.size(),
        "[policy_loss] the arrays have different lengths", Named("log_probs", tokens),
        Named("old_log_probs", args.old_log_probs.size()),
        Named("dlog_probs", args.dlog_probs.size()), Named("advantages", args.advantages.size()),
        Named("offsets", args.offsets.size()));
  CHECK(args.ref_log_probs.empty() || args.ref_log_probs.size() == tokens,
        "[policy_loss] ref_log_probs must have one number per token, or none",
        Named("ref_log_probs", args.ref_log_probs.size()), Named("tokens", tokens));
  CHECK(args.rule.kl.kind == KlKind::kNone || args.ref_log_probs.size() == tokens,
        "[policy_loss] a KL term needs the log-probs of the reference",
        Named("ref_log_probs", args.ref_log_probs.size()), Named("tokens", tokens));
  CHECK(args.denominators.tokens > 0 && args.denominators.sequences > 0,
        "[policy_loss] the denominators of the minibatch must be positive",
        Named("tokens", args.denominators.tokens), Named("sequences", args.denominators.sequences));
}

double LogRatio(const PolicyLossArgs& args, size_t t) {
  return static_cast<double>(args.log_probs[t]) - static_cast<double>(args.old_log_probs[t]);
}

// The logarithm of GSPO's ratio: the mean over the sequence, so its ratio is the geometric mean.
double SequenceLogRatio(const PolicyLossArgs& args, size_t begin, size_t end) {
  double sum = 0;
  for (size_t t = begin; t < end; ++t) sum += LogRatio(args, t);
  return sum / static_cast<double>(end - begin);
}

// The estimators of the metrics, and the KL term of the rule where it has one.
void AddKl(const PolicyLossArgs& args, size_t t, double weight, PolicyLossResult* result) {
  const PolicyLossRule& rule = args.rule;
  const double log_prob = static_cast<double>(args.log_probs[t]);
  const double ref = static_cast<double>(args.ref_log_probs[t]);
  result->k1_sum += KlOf({.kind = KlKind::kK1}, log_prob, ref).value;
  result->k3_sum += KlOf({.kind = KlKind::kK3}, log_prob, ref).value;
  if (rule.kl.kind == KlKind::kNone) return;
  // Its ratio is the token's, whatever the surrogate's is.
  const double difference = LogRatio(args, t);
  const double ratio = std::exp(ClampRatioLog(difference, rule.log_ratio_clamp));
  const double slope = BeyondClamp(difference, rule.log_ratio_clamp) ? 0 : ratio;
  const KlTerm kl = KlOf(rule.kl, log_prob, ref, ratio, slope);
  result->loss += weight * rule.kl_beta * kl.value;
  args.dlog_probs[t] += weight * rule.kl_beta * kl.slope;
}

// Tokens [begin, end) of one sequence with advantage a.
void AddSequence(const PolicyLossArgs& args, size_t begin, size_t end, double a,
                 PolicyLossResult* result) {
  const PolicyLossRule& rule = args.rule;
  const int64_t n = static_cast<int64_t>(end - begin);
  if (n == 0) return;
  const double weight = TokenWeight(rule, args.denominators, n);
  const bool whole = rule.surrogate == Surrogate::kGspo || rule.surrogate == Surrogate::kGspoToken;
  const double sequence_log_ratio = whole ? SequenceLogRatio(args, begin, end) : 0;
  double sequence_slope = 0;  // GSPO: the gradient of the one ratio spreads over all tokens
  for (size_t t = begin; t < end; ++t) {
    const double difference = LogRatio(args, t);
    const double log_ratio = whole ? sequence_log_ratio : difference;
    const double ratio = std::exp(ClampRatioLog(log_ratio, rule.log_ratio_clamp));
    const Term term =
        SurrogateTerm(rule, log_ratio, ratio, static_cast<double>(args.log_probs[t]), a);
    ++result->tokens;
    result->ratio_not_one += difference != 0 ? 1 : 0;
    result->ratio_sum += ratio;
    result->ratio_max = std::max(result->ratio_max, ratio);
    result->clipped_low += term.low ? 1 : 0;
    result->clipped_high += term.high ? 1 : 0;
    result->clipped_dual += term.dual ? 1 : 0;
    result->loss += weight * term.value;
    args.dlog_probs[t] = 0;
    if (rule.surrogate == Surrogate::kGspo) {
      sequence_slope += weight * term.slope / static_cast<double>(n);
    } else {
      args.dlog_probs[t] += weight * term.slope;
    }
    if (!args.ref_log_probs.empty()) AddKl(args, t, weight, result);
  }
  if (rule.surrogate != Surrogate::kGspo) return;
  for (size_t t = begin; t < end; ++t) args.dlog_probs[t] += sequence_slope;
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
  PolicyLossResult result;
  for (size_t i = 0; i + 1 < args.offsets.size(); ++i) {
    AddSequence(args, static_cast<size_t>(args.offsets[i]),
                static_cast<size_t>(args.offsets[i + 1]), args.advantages[i], &result);
  }
  return result;
}

}  // namespace grouper
