// Token-packed sequences of an update in canonical order (by number of input tokens, then rollout
// id), cut into consecutive micro-batches. The cut is a memory matter: no result depends on it
// (numerics.md 2, 6).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

struct TrainSequence {
  uint64_t rollout_id = 0;
  std::vector<int32_t> ids;      // inputs are ids[0 .. n-2]; the last token is never fed
  std::vector<int32_t> targets;  // ascending indices i >= 1 of ids whose log-probability counts
  double advantage = 0;
  bool in_loss = true;                     // in N and T; otherwise forwarded and compared only
  bool masked = false;                     // scored, but truncated and therefore not in the loss
  bool signal = true;                      // needs a backward pass
  const Group* group = nullptr;            // not owned; nullptr in supervised batches
  const Completion* completion = nullptr;  // not owned
  int64_t input_tokens() const { return static_cast<int64_t>(ids.size()) - 1; }
};

// Completion i of the group, which needs no advantages yet; group outlives it.
TrainSequence SequenceOf(const Group& group, int i);

// Every completion, with at least one token, of the groups that are not dropped, in canonical
// order. MASK takes those that the length cap cut out of the loss; their rewards stay in their
// group's mean and deviation.
std::vector<TrainSequence> SequencesOf(std::span<const Group> groups,
                                       LossConfig::Truncated truncated = LossConfig::KEEP);
void SortCanonically(std::vector<TrainSequence>* sequences);

// Most input tokens of a micro-batch of this policy: the setting, or what is as fast.
int64_t MicroBatchTokens(const BatchConfig& batch, const PolicyConfig& policy);

// Cuts [begin, end) into runs of at most max_tokens input tokens, one sequence at the least.
struct Cut {
  size_t begin, end;
};
std::vector<Cut> CutMicroBatches(std::span<const TrainSequence> sequences, int64_t max_tokens);

}  // namespace grouper
