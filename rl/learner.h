// The learner: groups with advantages in, one optimizer step out. The first forward recomputes
// every sampled token's log-probability and experts and compares them by bits with what the sampler
// recorded; a difference stops the run before the weights move. Sequences without signal are
// forwarded and compared, not backpropagated: their gradient is exactly zero.
#pragma once

#include <span>
#include <vector>

#include "policy/optimizer.h"
#include "policy/policy.h"
#include "policy/router_stats.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/mismatch.h"
#include "rl/packed_pass.h"

namespace grouper {

struct UpdateResult {
  MismatchCounts check;
  bool updated = false;  // false: no completion had signal; weights and version unchanged
  double loss = 0;
  double grad_norm = 0;
  double lr = 0;
  double entropy_mean = 0;
  double ratio_max = 0;
  int64_t clipped_low = 0;
  int64_t clipped_high = 0;
  int64_t tokens = 0;            // T: tokens of the completions in the loss
  int64_t tokens_no_signal = 0;  // forwarded, left out of the backward
  int64_t tokens_unscored = 0;   // of completions without a reward
  int64_t tokens_truncated = 0;  // of truncated ones that loss.truncated MASK takes out
  int64_t sequences = 0;         // N
  int64_t forwarded_tokens = 0;  // inputs, prompts included
  double max_violation = 0;      // expert load
  double least_share = 0;
};

class Learner {
 public:
  // policy outlives the learner.
  Learner(Policy* policy, const Config& config, const Stream& stream);

  // One update on the groups of a step. kInternal on a mismatch (config.check FAIL), a log-prob,
  // loss or gradient that is not finite: no weight was changed.
  UpdateResult Update(std::span<const Group> groups, double lr);

  // One supervised update: mean negative log-prob of the targets. Returns the loss.
  struct SupervisedResult {
    double loss = 0;
    double grad_norm = 0;
    int64_t targets = 0;
    int64_t tokens = 0;
    double max_violation = 0;
  };
  SupervisedResult UpdateSupervised(std::span<const TrainSequence> sequences, double lr);

  Optimizer& optimizer() { return optimizer_; }
  // Updates that changed the weights: the policy version.
  uint64_t version() const { return version_; }
  void set_version(uint64_t version) { version_ = version; }

 private:
  std::vector<Cut> MicroBatches(std::span<const TrainSequence> sequences) const;
  void Compare(std::span<const TrainSequence> sequences, MismatchCounts* counts);
  void CountExperts();
  void StopOnMismatch(const MismatchCounts& check) const;
  void MoveWeights(double lr, double* grad_norm, double* max_violation, double* least_share);

  Policy* policy_;
  Config config_;
  Stream stream_;
  SamplingRule rule_;
  Optimizer optimizer_;
  PackedPass pass_;
  RouterStats router_stats_;
  uint64_t version_ = 0;
};

SamplingRule RuleOf(const SamplingConfig& config);

}  // namespace grouper
