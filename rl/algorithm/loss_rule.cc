#include "rl/algorithm/loss_rule.h"

#include "base/error.h"

namespace grouper {
namespace {

Surrogate SurrogateOf(const LossConfig& loss) {
  switch (loss.surrogate()) {
    case LossConfig::PPO:
      return Surrogate::kPpo;
    case LossConfig::GSPO:
      return Surrogate::kGspo;
    case LossConfig::GSPO_TOKEN:
      return Surrogate::kGspoToken;
    case LossConfig::CISPO:
      return Surrogate::kCispo;
    case LossConfig::REINFORCE:
      return Surrogate::kReinforce;
  }
  ThrowInternal("[loss] a surrogate has no rule",
                Named("loss.surrogate", static_cast<int>(loss.surrogate())));
}

Aggregation AggregationOf(const LossConfig& loss) {
  switch (loss.aggregation()) {
    case LossConfig::TOKEN:
      return Aggregation::kToken;
    case LossConfig::SEQ:
      return Aggregation::kSeq;
    case LossConfig::SEQ_SUM:
      return Aggregation::kSeqSum;
    case LossConfig::CONST:
      return Aggregation::kConst;
  }
  ThrowInternal("[loss] an aggregation has no rule",
                Named("loss.aggregation", static_cast<int>(loss.aggregation())));
}

KlKind KindOf(const LossConfig& loss) {
  switch (loss.kl()) {
    case LossConfig::NONE:
      return KlKind::kNone;
    case LossConfig::K1:
      return KlKind::kK1;
    case LossConfig::K2:
      return KlKind::kK2;
    case LossConfig::K3:
      return KlKind::kK3;
  }
  ThrowInternal("[loss] an estimator has no rule", Named("loss.kl", static_cast<int>(loss.kl())));
}

bool HasKl(const LossConfig& loss) { return loss.kl() != LossConfig::NONE && loss.kl_beta() > 0; }

}  // namespace

void CheckLossConfig(const LossConfig& loss) {
  const bool clips =
      loss.surrogate() != LossConfig::CISPO && loss.surrogate() != LossConfig::REINFORCE;
  USER_CHECK(loss.dual_clip() == 0 || clips,
             "[config] loss.dual_clip bounds clipped ratios and would do nothing here; set it to 0",
             Named("loss.surrogate", LossConfig::Surrogate_Name(loss.surrogate())),
             Named("loss.dual_clip", loss.dual_clip()));
  USER_CHECK(!(KlInReward(loss) && loss.kl_unbiased()),
             "[config] loss.kl_unbiased would do nothing with loss.kl_place IN_REWARD, where the "
             "ratio is 1; leave one of them out");
}

PolicyLossRule LossRuleOf(const LossConfig& loss, int64_t length_cap) {
  PolicyLossRule rule;
  rule.surrogate = SurrogateOf(loss);
  rule.clip_low = loss.clip_low();
  rule.clip_high = loss.clip_high();
  rule.dual_clip = loss.dual_clip();
  rule.log_ratio_clamp = loss.log_ratio_clamp();
  rule.aggregation = AggregationOf(loss);
  rule.const_length = length_cap;
  if (KlInLoss(loss)) {
    rule.kl = KlRuleOf(loss);
    rule.kl_beta = loss.kl_beta();
  }
  return rule;
}

KlRule KlRuleOf(const LossConfig& loss) {
  return {.kind = KindOf(loss),
          .clamp_in = loss.kl_clamp_in(),
          .clamp_out = loss.kl_clamp_out(),
          .unbiased = loss.kl_unbiased()};
}

bool KlInLoss(const LossConfig& loss) {
  return HasKl(loss) && loss.kl_place() == LossConfig::IN_LOSS;
}

bool KlInReward(const LossConfig& loss) {
  return HasKl(loss) && loss.kl_place() == LossConfig::IN_REWARD;
}

bool NeedsReference(const LossConfig& loss) { return HasKl(loss); }

bool EveryTokenTrains(const LossConfig& loss) { return loss.entropy() != 0 || KlInLoss(loss); }

}  // namespace grouper
