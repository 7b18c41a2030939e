#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_math.h"
#include "kernels/moe/router_topk.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kRowGrain = 64;

// Scores of one row from its logits; `scores` may be `logits`.
GROUPER_INLINE void Scores(const real* logits, int64_t experts, RouterScore kind, real* scores) {
  if (kind == RouterScore::kSigmoid) {
    for (int64_t e = 0; e < experts; e += kLanes) {
      StoreFirst(scores + e, Sigmoid(LoadFirst(logits + e, experts - e)), experts - e);
    }
    return;
  }
  real largest = logits[0];
  for (int64_t e = 1; e < experts; ++e) largest = logits[e] > largest ? logits[e] : largest;
  for (int64_t e = 0; e < experts; e += kLanes) {
    const Lanes z = Sub(LoadFirst(logits + e, experts - e), Set(largest));
    StoreFirst(scores + e, Exp(z), experts - e);
  }
  real sum = 0;
  for (int64_t e = 0; e < experts; ++e) sum = sum + scores[e];
  for (int64_t e = 0; e < experts; ++e) scores[e] = scores[e] / sum;
}

// Sets the choice values of experts in groups that are not chosen to -inf; of equal groups the
// lower one is chosen.
GROUPER_INLINE void MaskGroups(const RouterRule& rule, int64_t experts, real* choice) {
  if (rule.groups == 1) return;
  const int64_t size = experts / rule.groups;
  real best[kMaxExperts];
  bool chosen[kMaxExperts];
  for (int64_t g = 0; g < rule.groups; ++g) {
    real first = -INFINITY, second = -INFINITY;
    for (int64_t i = 0; i < size; ++i) {
      const real x = choice[g * size + i];
      if (x > first) {
        second = first;
        first = x;
      } else if (x > second) {
        second = x;
      }
    }
    best[g] = rule.group_score == RouterGroupScore::kMax ? first : first + second;
    chosen[g] = false;
  }
  for (int64_t n = 0; n < rule.top_groups; ++n) {
    int64_t winner = -1;
    for (int64_t g = 0; g < rule.groups; ++g) {
      if (!chosen[g] && (winner < 0 || best[g] > best[winner])) winner = g;
    }
    chosen[winner] = true;
  }
  for (int64_t g = 0; g < rule.groups; ++g) {
    for (int64_t i = 0; i < size && !chosen[g]; ++i) choice[g * size + i] = -INFINITY;
  }
}

// The k >= 1 experts of one row with the largest biased scores; -1 in all slots if one score is
// NaN.
GROUPER_INLINE void Choose(const RouterRule& rule, const real* scores, const real* bias,
                           int64_t experts, int64_t k, int32_t* chosen) {
  real choice[kMaxExperts];
  bool nan = false;
  for (int64_t e = 0; e < experts; ++e) {
    choice[e] = bias == nullptr ? scores[e] : scores[e] + bias[e];
    nan = nan || choice[e] != choice[e];
  }
  if (nan) {
    for (int64_t slot = 0; slot < k; ++slot) chosen[slot] = -1;
    return;
  }
  MaskGroups(rule, experts, choice);
  bool taken[kMaxExperts] = {};
  for (int64_t slot = 0; slot < k; ++slot) {
    int64_t best = -1;
    for (int64_t e = 0; e < experts; ++e) {
      if (!taken[e] && (best < 0 || choice[e] > choice[best])) best = e;
    }
    taken[best] = true;
    chosen[slot] = static_cast<int32_t>(best);
  }
}

// The given experts, or -1 in all slots if a score is NaN, as Choose does.
GROUPER_INLINE void TakeGiven(const int32_t* given, const real* scores, int64_t experts, int64_t k,
                              int32_t* chosen) {
  bool nan = false;
  for (int64_t e = 0; e < experts; ++e) nan = nan || scores[e] != scores[e];
  for (int64_t slot = 0; slot < k; ++slot) chosen[slot] = nan ? -1 : given[slot];
}

GROUPER_INLINE void Weights(const RouterRule& rule, const real* scores, const int32_t* chosen,
                            int64_t k, real* weights) {
  if (chosen[0] < 0) {
    for (int64_t slot = 0; slot < k; ++slot) weights[slot] = 0;
    return;
  }
  const real scale = static_cast<real>(rule.scale);
  real divisor = 1;
  if (rule.renormalize) {
    real sum = 0;
    for (int64_t slot = 0; slot < k; ++slot) sum = sum + scores[chosen[slot]];
    divisor = sum + static_cast<real>(numerics::kRouterEps);
  }
  for (int64_t slot = 0; slot < k; ++slot) weights[slot] = scores[chosen[slot]] / divisor * scale;
}

}  // namespace

void RouterTopk(Stream& stream, const RouterTopkArgs& args) {
  const int64_t experts = args.logits.shape[1], k = args.experts.shape[1];
  ParallelRows(stream, args.logits.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      real* scores = args.scores.as<real>() + t * args.scores.row_stride;
      int32_t* chosen = args.experts.as<int32_t>() + t * args.experts.row_stride;
      Scores(args.logits.as<real>() + t * args.logits.row_stride, experts, args.rule.score, scores);
      if (args.given.empty()) {
        Choose(args.rule, scores, args.bias.as<real>(), experts, k, chosen);
      } else {
        TakeGiven(args.given.as<int32_t>() + t * args.given.row_stride, scores, experts, k, chosen);
      }
      Weights(args.rule, scores, chosen, k, args.weights.as<real>() + t * args.weights.row_stride);
    }
  });
}

void RouterTopkBackward(Stream& stream, const RouterTopkBackwardArgs& args) {
  const int64_t experts = args.scores.shape[1], k = args.experts.shape[1];
  const real scale = static_cast<real>(args.rule.scale);
  ParallelRows(stream, args.scores.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const real* s = args.scores.as<real>() + t * args.scores.row_stride;
      const int32_t* chosen = args.experts.as<int32_t>() + t * args.experts.row_stride;
      const real* dw = args.dweights.as<real>() + t * args.dweights.row_stride;
      real* dlogits = args.dlogits.as<real>() + t * args.dlogits.row_stride;
      real ds[kMaxExperts] = {};
      real sum = 0, pull = 0;
      for (int64_t slot = 0; slot < k; ++slot) {
        sum = sum + s[chosen[slot]];
        pull = FmaReal(dw[slot], s[chosen[slot]], pull);
      }
      if (args.rule.renormalize) {
        // w = scale s / (sum + eps): ds = scale (dw - sum_j dw_j s_j / (sum + eps)) / (sum + eps).
        const real divisor = sum + static_cast<real>(numerics::kRouterEps);
        for (int64_t slot = 0; slot < k; ++slot) {
          ds[chosen[slot]] = scale * (dw[slot] - pull / divisor) / divisor;
        }
      } else {
        for (int64_t slot = 0; slot < k; ++slot) ds[chosen[slot]] = scale * dw[slot];
      }
      if (args.rule.score == RouterScore::kSigmoid) {
        for (int64_t e = 0; e < experts; ++e) dlogits[e] = ds[e] * s[e] * (1 - s[e]);
        continue;
      }
      real dot = 0;
      for (int64_t e = 0; e < experts; ++e) dot = FmaReal(ds[e], s[e], dot);
      for (int64_t e = 0; e < experts; ++e) dlogits[e] = s[e] * (ds[e] - dot);
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
