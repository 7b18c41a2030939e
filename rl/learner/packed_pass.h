// The forward and backward pass over one micro-batch of packed sequences, which reinforcement and
// supervised learning share. The prompt of a group is computed once for its completions: in the
// same batch, after them, or, if the group is divided, before its first part. It keeps its memory
// between calls. One thread.
#pragma once

#include <optional>
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

// Tokens of a sequence that a forward pass computed, and the rows of its activations that hold
// them. The tokens of a shared prompt are listed once, under one of its sequences.
struct ComputedTokens {
  const TrainSequence* sequence;
  int64_t first_token, tokens;
  const Activations* activations;
  int64_t first_row;
};

class PackedPass {
 public:
  PackedPass(const Policy* policy, const Stream& stream);

  // Computes the log-probability and the entropy of every target of every sequence, in order. With
  // keep, a call of Backward may follow. kReplay needs sequences that have a record of experts; a
  // dense policy has nothing to replay. Sequences that share a prompt must be neighbours. If they
  // are a part of their group, the parts must come one after the other, and the first decides
  // whether the prompt is kept for a backward pass. With kept_sets, of another pass over the same
  // sequences, each target's distribution is the one over its set, instead of what the rule's
  // filters keep of this policy's logits.
  void Forward(std::span<const TrainSequence> sequences, const SamplingRule& rule, bool keep,
               Routing routing = Routing::kLive, const std::optional<GroupPart>& part = {},
               const Tensor& kept_sets = {});
  // The sets that the rule's filters left at every target of the last Forward, to be called before
  // Backward; empty without filters. Valid until the next Forward (kernels/sampling/kept_sets.h).
  Tensor FindKeptSets();
  std::span<const float> log_probs() const { return log_probs_; }
  std::span<const float> entropies() const { return entropies_; }
  // Sizes of the sets that the rule's filters leave; 0 without filters.
  std::span<const int32_t> kept_sizes() const {
    return {kept_sizes_.as<int32_t>(), static_cast<size_t>(kept_sizes_.dim(0))};
  }
  // [sequences + 1]: where the targets of a sequence begin.
  const std::vector<int64_t>& target_offsets() const { return target_offsets_; }
  // What the last Forward computed: each token once.
  std::span<const ComputedTokens> computed() const { return computed_; }
  int64_t tokens() const;
  const Activations& activations() const { return rows_.activations; }

  // Continues the sums in grads, given the loss's gradient by the log-prob and, unless empty, by
  // the entropy of each target. The last part of a group that trains adds the prompt's gradients.
  void Backward(std::span<const double> dlog_probs, std::span<const double> dentropies,
                const PolicyTensors& grads);

 private:
  // Consecutive tokens of one sequence in a batch: its own, or the prompt that it shares.
  struct Piece {
    const TrainSequence* sequence;
    int64_t first, tokens;
    bool prompt;
    int32_t prefix;               // row of the prompt's gradients; -1: nothing is shared
    std::vector<int32_t> blocks;  // of the KV cache
  };
  // What one pass of the policy reads and keeps.
  struct Rows {
    explicit Rows(const char* name) : activations(name) {}
    Arena arena{"batch"};
    Activations activations;
    std::vector<Piece> pieces;
    TokenBatch batch;
    SequenceRows sequences;
    Tensor targets;
  };

  void CheckSequences(std::span<const TrainSequence> sequences);
  void MakeRoom(int64_t blocks);
  std::vector<int32_t> TakeBlocks(int64_t positions, std::span<const int32_t> shared);
  void AddFamily(std::span<const TrainSequence> family, int32_t prefix,
                 std::span<const int32_t> prompt_blocks);
  void AddWholeGroups(std::span<const TrainSequence> sequences);
  void AddPart(std::span<const TrainSequence> sequences, const GroupPart& part);
  void StartPrefixGradients(int64_t rows);
  // Fills the tensors from the pieces.
  void Fill(Rows* rows, Routing routing);
  void GiveRecordedExperts(Rows* rows);
  // Runs the policy and lists what it computes.
  void Run(Rows* rows, bool keep, Routing routing);

  const Policy* policy_;
  Stream stream_;
  SamplingRule rule_;
  std::unique_ptr<KvCache> cache_;
  Rows rows_{"learner"}, prompt_{"prompt"};  // prompt_: of a group that is divided
  const Group* prompt_group_ = nullptr;
  std::optional<GroupPart> part_;
  std::vector<int32_t> part_blocks_;  // taken by the last part, prompt excluded
  // The last, partly filled blocks of prompts and their copies.
  std::vector<int32_t> copy_from_, copy_to_, copy_counts_;
  Arena prefix_arena_{"prefix gradients"};
  std::vector<Tensor> prefix_gradients_;  // per layer
  std::vector<ComputedTokens> computed_;
  Tensor kept_sizes_;
  std::vector<int64_t> target_offsets_;
  std::vector<float> log_probs_, entropies_;
};

}  // namespace grouper
