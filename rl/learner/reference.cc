#include "rl/learner/reference.h"

#include "base/error.h"
#include "policy/checkpoint/checkpoint.h"
#include "rl/algorithm/loss_rule.h"

namespace grouper {

Reference::Reference(const Policy& policy, uint64_t version, const Stream& stream)
    : policy_(policy.config(), policy.dtype()), stream_(stream), pass_(&policy_, stream) {
  Refresh(policy, version);
}

void Reference::Refresh(const Policy& policy, uint64_t version) {
  policy_.weights().CopyFrom(policy.weights());
  version_ = version;
}

void Reference::LoadFrom(const std::string& checkpoint) {
  LoadCheckpoint(checkpoint, &policy_, nullptr);
  policy_.weights().RefreshTransposed(stream_);
  version_.reset();
}

void Reference::Restore(const std::string& checkpoint, std::optional<uint64_t> version) {
  LoadReference(checkpoint, &policy_);
  policy_.weights().RefreshTransposed(stream_);
  version_ = version;
}

std::span<const float> Reference::LogProbs(std::span<const TrainSequence> sequences,
                                           const SamplingRule& rule, const Tensor& kept_sets,
                                           Routing routing, const std::optional<GroupPart>& part) {
  CHECK(rule.filtered() == !kept_sets.empty(),
        "[reference] the sampler's kept sets are needed exactly when it filters");
  pass_.Forward(sequences, rule, false, routing, part, kept_sets);
  return pass_.log_probs();
}

void CheckReferenceConfig(const Config& config) {
  const ReferenceConfig& reference = config.reference();
  USER_CHECK(NeedsReference(config.loss()) ||
                 (reference.refresh_every() == 0 && reference.init_from().empty()),
             "[config] a reference policy is set, but no KL term uses it: set loss.kl and a "
             "loss.kl_beta above 0, or remove the reference");
}

std::unique_ptr<Reference> MakeReference(const Config& config, const Policy& policy,
                                         const Stream& stream) {
  if (!NeedsReference(config.loss())) return nullptr;
  return std::make_unique<Reference>(policy, 0, stream);
}

}  // namespace grouper
