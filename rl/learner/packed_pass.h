// The forward and backward pass over one micro-batch of packed sequences, which reinforcement and
// supervised learning share. It keeps its memory between calls. One thread.
#pragma once

#include <span>
#include <vector>

#include "kernels/sampling/sampling_rule.h"
#include "policy/policy.h"
#include "rl/learner/batch.h"

namespace grouper {

// Who chooses the experts. kLive: the router. kReplay: the record of the sampler, in updates after
// the first of a step, whose weights have changed since the tokens were sampled (docs/algorithms.md
// 8).
enum class Routing { kLive, kReplay };

class PackedPass {
 public:
  PackedPass(const Policy* policy, const Stream& stream);

  // Computes the log-probability and the entropy of every target of every sequence, in order. With
  // keep, a call of Backward may follow. kReplay needs sequences that have a record of experts; a
  // dense policy has nothing to replay.
  void Forward(std::span<const TrainSequence> sequences, const SamplingRule& rule, bool keep,
               Routing routing = Routing::kLive);
  std::span<const float> log_probs() const { return log_probs_; }
  std::span<const float> entropies() const { return entropies_; }
  // Sizes of the sets that the rule's filters leave; 0 without filters.
  std::span<const int32_t> kept_sizes() const {
    return {kept_sizes_.as<int32_t>(), static_cast<size_t>(kept_sizes_.dim(0))};
  }
  // [sequences + 1] each: where the targets of a sequence begin, and where its token rows begin.
  const std::vector<int64_t>& target_offsets() const { return target_offsets_; }
  const std::vector<int32_t>& token_offsets() const { return token_offsets_; }
  int64_t tokens() const { return token_offsets_.empty() ? 0 : token_offsets_.back(); }
  const Activations& activations() const { return activations_; }

  // Continues the sums in grads, given the loss's gradient by the log-prob and, unless empty, by
  // the entropy of each target.
  void Backward(std::span<const double> dlog_probs, std::span<const double> dentropies,
                const PolicyTensors& grads);

 private:
  void BuildBatch(std::span<const TrainSequence> sequences);
  void GiveRecordedExperts(std::span<const TrainSequence> sequences);

  const Policy* policy_;
  Stream stream_;
  SamplingRule rule_;
  Arena arena_{"batch"};
  Activations activations_{"learner"};
  std::unique_ptr<KvCache> cache_;
  TokenBatch batch_;
  Tensor sequence_offsets_, targets_, kept_sizes_;
  std::vector<int64_t> target_offsets_;
  std::vector<int32_t> token_offsets_;
  std::vector<float> log_probs_, entropies_;
};

}  // namespace grouper
