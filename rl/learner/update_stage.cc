#include "rl/learner/update_stage.h"

#include <string>
#include <utility>

#include "base/kill_point.h"
#include "policy/policy_config.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/schedule.h"
#include "rl/learner/minibatch.h"
#include "rl/learner/second_try.h"

namespace grouper {
namespace {

bool Replays(const Config& config) {
  return config.batch().routing_replay() == BatchConfig::REPLAY ||
         (config.batch().routing_replay() == BatchConfig::AUTO && MoeLayers(config.policy()) > 0);
}

bool Audits(const Config& config, int64_t step) {
  return config.check() != Config::OFF && config.batch().minibatches() > 1 &&
         config.check_audit_every() > 0 && step % config.check_audit_every() == 0;
}

}  // namespace

TokenCounts StepUpdate::Tokens() const {
  TokenCounts sum;
  for (const UpdateResult& update : updates) sum += update.tokens;
  return sum;
}

RatioStats StepUpdate::Ratios() const {
  RatioStats sum;
  for (const UpdateResult& update : updates) sum += update.ratios;
  return sum;
}

int64_t UpdatesOf(const Config& config) { return config.steps() * config.batch().minibatches(); }

UpdateStage::UpdateStage(const Config& config, const std::string& run_folder, const Policy* policy,
                         Learner* learner, Reference* reference)
    : config_(config),
      run_folder_(run_folder),
      policy_(policy),
      learner_(learner),
      reference_(reference) {}

StepUpdate UpdateStage::Run(int64_t step, std::span<const Group> groups, int64_t length_cap) {
  std::vector<std::vector<TrainSequence>> minibatches =
      SplitStep(config_, step, SequencesOf(groups, config_.loss().truncated()));
  StepUpdate result;
  const bool audits = Audits(config_, step);
  if (audits) {
    std::vector<TrainSequence> later;
    for (size_t m = 1; m < minibatches.size(); ++m) {
      later.insert(later.end(), minibatches[m].begin(), minibatches[m].end());
    }
    SortCanonically(&later);
    result.check = DoOrExplain(run_folder_, [&] { return learner_->Audit(later); });
  }
  const uint64_t sampled_at = learner_->version();
  const int64_t refresh_every = config_.reference().refresh_every();
  for (const std::vector<TrainSequence>& minibatch : minibatches) {
    KILL_POINT("update.begun");
    UpdateOptions options;
    options.lr = LearningRateAt(config_.optimizer(), static_cast<int64_t>(learner_->version()),
                                UpdatesOf(config_));
    options.length_cap = length_cap;
    options.on_policy = learner_->version() == sampled_at;
    if (!options.on_policy && Replays(config_)) options.routing = Routing::kReplay;
    options.reference = KlInLoss(config_.loss()) ? reference_ : nullptr;
    const UpdateResult update =
        DoOrExplain(run_folder_, [&] { return learner_->Update(minibatch, options); });
    if (!audits || result.updates.empty()) result.check.Add(update.check);
    if (!audits) result.tokens_not_compared += update.tokens.off_policy;
    result.updates.push_back(update);
    if (reference_ != nullptr && update.updated && refresh_every > 0 &&
        learner_->version() % static_cast<uint64_t>(refresh_every) == 0) {
      reference_->Refresh(*policy_, learner_->version());
      ++result.refreshes;
    }
  }
  return result;
}

}  // namespace grouper
