// Turns the settings of the loss (LossConfig) into the rule of kernels/loss, and answers what the
// loss of a run needs: a reference policy, or a gradient for every token.
#pragma once

#include <cstdint>

#include "kernels/loss/policy_loss.h"
#include "proto/config.pb.h"

namespace grouper {

// kUser naming the first setting that is out of its range or would have no effect. GSPO without the
// mean over sequences is allowed, with a warning in the log.
void CheckLossConfig(const LossConfig& loss);

// length_cap: the most new tokens of the step's completions, the L of aggregation CONST.
PolicyLossRule LossRuleOf(const LossConfig& loss, int64_t length_cap);

// The estimator of loss.kl, whether its term is in the loss or in the reward.
KlRule KlRuleOf(const LossConfig& loss);

// True with a kl_beta above 0 and an estimator: as a term of every token's loss, or subtracted from
// the reward.
bool KlInLoss(const LossConfig& loss);
bool KlInReward(const LossConfig& loss);
// True if one of the two is.
bool NeedsReference(const LossConfig& loss);

// True if the loss has a KL or entropy term, so that tokens without signal have a gradient too.
bool EveryTokenTrains(const LossConfig& loss);

}  // namespace grouper
