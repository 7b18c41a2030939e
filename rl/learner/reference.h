// The frozen policy that the KL term is measured against (docs/algorithms.md 6). It has weights and
// a pass of its own, and exists only if a KL term needs it. It uses the same operators as the
// policy, so right after a refresh the two log-probabilities of a token are equal bit for bit.
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
  // A copy of the policy, whose version in its run is `version`.
  Reference(const Policy& policy, uint64_t version, const Stream& stream);

  // Copies the policy's weights.
  void Refresh(const Policy& policy, uint64_t version);
  // Takes the weights from another run's checkpoint. kUser when it holds another policy.
  void LoadFrom(const std::string& checkpoint);

  // The version of the run's policy that this is a copy of; empty: the weights are from elsewhere.
  const std::optional<uint64_t>& version() const { return version_; }
  uint64_t digest() const { return policy_.weights().Digest(); }
  const Policy& policy() const { return policy_; }
  // Takes the reference from a checkpoint of this run.
  void Restore(const std::string& checkpoint, std::optional<uint64_t> version);

  // One log-prob per target, in order; valid until the next call. They are those of the reference's
  // distribution over the ids that the sampler kept: with filters in the rule, `kept_sets` are the
  // sampler's sets of the same sequences (PackedPass::FindKeptSets), without filters it is empty.
  // `part`: as for PackedPass.
  std::span<const float> LogProbs(std::span<const TrainSequence> sequences,
                                  const SamplingRule& rule, const Tensor& kept_sets,
                                  Routing routing = Routing::kLive,
                                  const std::optional<GroupPart>& part = {});

 private:
  Policy policy_;
  Stream stream_;
  PackedPass pass_;
  std::optional<uint64_t> version_;
};

// kUser for a negative refresh_every, or for settings of a reference that no KL term uses.
void CheckReferenceConfig(const Config& config);

// A reference with the policy's present weights; nullptr if no KL term needs one, and then nothing
// is allocated.
std::unique_ptr<Reference> MakeReference(const Config& config, const Policy& policy,
                                         const Stream& stream);

}  // namespace grouper
