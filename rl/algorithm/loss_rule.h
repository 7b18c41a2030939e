// The settings of the loss (LossConfig) as the rule of kernels/loss. Whoever asks what a run's loss
// needs, a reference or a gradient of every token, asks here.
#pragma once

#include <cstdint>

#include "kernels/loss/policy_loss.h"
#include "proto/config.pb.h"

namespace grouper {

// kUser naming the first setting that is out of its range or would do nothing. GSPO without the
// mean over sequences is allowed and said in the log.
void CheckLossConfig(const LossConfig& loss);

// length_cap: the most new tokens of the step's completions, the L of aggregation CONST.
PolicyLossRule LossRuleOf(const LossConfig& loss, int64_t length_cap);

// The estimator of loss.kl, wherever its term stands.
KlRule KlRuleOf(const LossConfig& loss);

// beta > 0 and an estimator: as a term of every token, or taken off the reward.
bool KlInLoss(const LossConfig& loss);
bool KlInReward(const LossConfig& loss);
// Either of them.
bool NeedsReference(const LossConfig& loss);

// Terms beside the advantage's: tokens without signal have a gradient too.
bool EveryTokenTrains(const LossConfig& loss);

}  // namespace grouper
