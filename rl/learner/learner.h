// The learner takes groups with advantages and makes one optimizer step. Its forward pass
// recomputes the log-probability and the experts of every sampled token and compares their bits
// with what the sampler recorded; a difference stops the run before the weights change. Sequences
// without signal are forwarded and compared, but not backpropagated, because their gradient is
// exactly zero.
#pragma once

#include <span>
#include <vector>

#include "policy/layers/router_stats.h"
#include "policy/optimizer.h"
#include "policy/policy.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/learner/packed_pass.h"
#include "rl/learner/reference.h"
#include "rl/learner/update_result.h"

namespace grouper {

struct UpdateOptions {
  double lr = 0;
  // The most new tokens of the completions: the cap under which the step was sampled, which is the
  // L of loss.aggregation CONST. The other aggregations do not need it.
  int64_t length_cap = 0;
  // True when the minibatch was sampled under the current weights: then every token is compared by
  // bits, and every ratio is 1. False for the later minibatches of a step.
  bool on_policy = true;
  // kReplay: policy and reference take the experts that the sampler recorded, and the router only
  // weighs them. The router's choice bias then stays as it is, because the router chose nothing.
  Routing routing = Routing::kLive;
  // The policy that the KL term of the loss is measured against; nullptr without a KL term.
  Reference* reference = nullptr;
};

class Learner {
 public:
  // policy outlives the learner.
  Learner(Policy* policy, const Config& config, const Stream& stream);

  // One update on a minibatch in canonical order. Throws kInternal before any weight has changed:
  // on a mismatch (with config.check FAIL), on a log-prob, loss or gradient that is not finite, and
  // on a KL that must be 0 but is not.
  UpdateResult Update(std::vector<TrainSequence> minibatch, const UpdateOptions& options);
  // An update on all groups of a step, sampled with at most sampling.max_new_tokens, as one
  // minibatch.
  UpdateResult Update(std::span<const Group> groups, double lr) {
    return Update(SequencesOf(groups, config_.loss().truncated()),
                  {.lr = lr, .length_cap = config_.sampling().max_new_tokens()});
  }

  // Compares sequences that were sampled under the current weights and computes no gradient.
  // kInternal on a mismatch.
  MismatchCounts Audit(std::span<const TrainSequence> sequences);

  // One supervised update: the loss is the mean negative log-prob of the targets.
  struct SupervisedResult {
    double loss = 0;
    double grad_norm = 0;
    int64_t targets = 0;
    int64_t tokens = 0;
    double max_violation = 0;
  };
  SupervisedResult UpdateSupervised(std::span<const TrainSequence> sequences, double lr);

  Optimizer& optimizer() { return optimizer_; }
  // The pass of the updates, which may serve others between two updates.
  PackedPass& pass() { return pass_; }
  // Updates that changed the weights: the policy version.
  uint64_t version() const { return version_; }
  void set_version(uint64_t version) { version_ = version; }

 private:
  std::vector<Cut> MicroBatches(std::span<const TrainSequence> sequences) const;
  LossDenominators CountMinibatch(std::span<const TrainSequence> minibatch, bool on_policy,
                                  UpdateResult* result) const;
  void Compare(std::span<const TrainSequence> sequences, MismatchCounts* counts);
  void CountExperts();
  // Adds the loss of the micro-batch that pass_ has just forwarded, and continues the gradient.
  void Accumulate(std::span<const TrainSequence> micro, const std::optional<GroupPart>& part,
                  const PolicyLossRule& rule, const LossDenominators& denominators,
                  const UpdateOptions& options, UpdateResult* result);
  void StopOnMismatch(const MismatchCounts& check) const;
  // Clips the gradient, moves the weights and the router's bias. Returns the gradient's norm before
  // it was clipped.
  double MoveWeights(const UpdateOptions& options);

  Policy* policy_;
  Config config_;
  Stream stream_;
  SamplingRule rule_;
  Optimizer optimizer_;
  PackedPass pass_;
  RouterStats router_stats_;
  uint64_t version_ = 0;
};

}  // namespace grouper
