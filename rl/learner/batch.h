// The sequences of an update in canonical order, cut into micro-batches. Completions of a group
// stay together, because their prompt is computed once. Where the cuts are changes memory and
// speed, but no bit of a result (docs/numerics.md 9).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

struct TrainSequence {
  uint64_t rollout_id = 0;
  std::vector<int32_t> ids;      // inputs are ids[0 .. n-2]; the last token is never fed
  std::vector<int32_t> targets;  // ascending indices i >= 1 of ids whose log-probability counts
  // The first inputs, which all sequences of the group have in common: a prompt of p tokens without
  // its last one, as the sampler shares it. 0 in supervised batches. Targets come after them.
  int64_t shared_tokens = 0;
  double advantage = 0;
  bool in_loss = true;                     // false: only forwarded and compared
  bool masked = false;                     // scored, but truncated and therefore not in the loss
  bool signal = true;                      // its advantage gives it a gradient
  bool trains = true;                      // it gets a backward pass
  const Group* group = nullptr;            // not owned; nullptr in supervised batches
  const Completion* completion = nullptr;  // not owned
  int64_t input_tokens() const { return static_cast<int64_t>(ids.size()) - 1; }
  int64_t own_tokens() const { return input_tokens() - shared_tokens; }
};

// The number of sequences from the front that share the prompt of the first one, at least 1.
size_t FamilySize(std::span<const TrainSequence> sequences);

// Completion i of the group, which needs no advantages yet. The group outlives the sequence.
TrainSequence SequenceOf(const Group& group, int i);

// Every completion with at least one token, of all groups that are not dropped, in canonical order.
// MASK leaves completions that the length cap cut off out of the loss; their rewards still count in
// their group's mean and deviation.
std::vector<TrainSequence> SequencesOf(std::span<const Group> groups,
                                       LossConfig::Truncated truncated = LossConfig::KEEP);
// Groups by prompt length, then by the rollout id of their first completion; in a group by number
// of input tokens, then by rollout id. Supervised sequences belong to no group.
void SortCanonically(std::vector<TrainSequence>* sequences);
// Puts the groups first of which any completion trains, and in each group the completions first
// that train. The canonical order of those that train stays as it is.
void PutTrainedFirst(std::vector<TrainSequence>* sequences);

// The most input tokens of a micro-batch of this policy: the setting, or fewer where more are no
// faster (policy/memory/token_cut.h).
int64_t MicroBatchTokens(const BatchConfig& batch, const PolicyConfig& policy);

// A micro-batch that holds some completions of one group. The prompt is computed with the first of
// the group's micro-batches, and its keys and values are kept for the others. Its own backward pass
// needs the gradients of all completions, so it comes last.
struct GroupPart {
  bool opens = false;  // the first part: it computes the prompt
  bool ends = false;   // the last part that trains: the prompt's backward pass follows
  int64_t blocks = 0;  // blocks of the KV cache that the largest part of the group needs
};

// The consecutive run [begin, end) of the sequences, which either all train or do not.
struct Cut {
  size_t begin, end;
  bool trains = true;
  std::optional<GroupPart> part;  // empty: whole groups, each with its prompt
};

// Cuts into runs of at most max_tokens computed tokens. A group with more is divided: a part has
// completions of at most max_tokens tokens, and the prompt comes in addition. One sequence is never
// divided, however long it is. Parts that train come first (PutTrainedFirst).
std::vector<Cut> CutMicroBatches(std::span<const TrainSequence> sequences, int64_t max_tokens);

}  // namespace grouper
