// The frozen policy that KL is measured against (grpo.md 5): weights and a pass of its own, made
// only where a KL term needs them. Same operators as the policy, so right after a refresh the two
// log-probabilities of a token are equal bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "policy/policy.h"
#include "proto/config.pb.h"
#include "rl/learner/packed_pass.h"

namespace grouper {

class Reference {
 public:
  // A copy of the policy as it stands at `version` of its run.
  Reference(const Policy& policy, uint64_t version, const Stream& stream);

  // Takes over the policy's weights.
  void Refresh(const Policy& policy, uint64_t version);
  // Weights of another run's checkpoint. kUser when it holds another policy.
  void LoadFrom(const std::string& checkpoint);

  // Version of the run's policy that this is; empty: weights from elsewhere.
  const std::optional<uint64_t>& version() const { return version_; }
  uint64_t digest() const { return policy_.weights().Digest(); }
  const Policy& policy() const { return policy_; }
  // Weights as a checkpoint of this run held them.
  void Restore(const std::string& checkpoint, std::optional<uint64_t> version);

  // One a target, in order; valid until the next call.
  std::span<const float> LogProbs(std::span<const TrainSequence> sequences,
                                  const SamplingRule& rule, Routing routing = Routing::kLive);

 private:
  Policy policy_;
  Stream stream_;
  PackedPass pass_;
  std::optional<uint64_t> version_;
};

// kUser for a refresh below 0, or settings of a reference that nothing asks for.
void CheckReferenceConfig(const Config& config);

// The reference as a run starts: config.reference.init_from, else the policy's first weights;
// nullptr where no KL term asks for one: then it costs nothing.
std::unique_ptr<Reference> MakeReference(const Config& config, const Policy& policy,
                                         const Stream& stream);

}  // namespace grouper
