// The sequences of an update, packed by tokens in canonical order (by number of input tokens, then
// by rollout id) and cut into consecutive micro-batches. Where the cuts are changes memory and
// speed, but no bit of a result (docs/numerics.md 9).
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
  bool in_loss = true;                     // false: only forwarded and compared
  bool masked = false;                     // scored, but truncated and therefore not in the loss
  bool signal = true;                      // its advantage gives it a gradient
  const Group* group = nullptr;            // not owned; nullptr in supervised batches
  const Completion* completion = nullptr;  // not owned
  int64_t input_tokens() const { return static_cast<int64_t>(ids.size()) - 1; }
};

// Completion i of the group, which needs no advantages yet. The group outlives the sequence.
TrainSequence SequenceOf(const Group& group, int i);

// Every completion with at least one token, of all groups that are not dropped, in canonical order.
// MASK leaves completions that the length cap cut off out of the loss; their rewards still count in
// their group's mean and deviation.
std::vector<TrainSequence> SequencesOf(std::span<const Group> groups,
                                       LossConfig::Truncated truncated = LossConfig::KEEP);
void SortCanonically(std::vector<TrainSequence>* sequences);

// The most input tokens of a micro-batch of this policy: the setting, or fewer where more are no
// faster (policy/memory/token_cut.h).
int64_t MicroBatchTokens(const BatchConfig& batch, const PolicyConfig& policy);

// Cuts of the sequences into consecutive runs [begin, end) of at most max_tokens input tokens. A
// run has at least one sequence, however long that is.
struct Cut {
  size_t begin, end;
};
std::vector<Cut> CutMicroBatches(std::span<const TrainSequence> sequences, int64_t max_tokens);

}  // namespace grouper
