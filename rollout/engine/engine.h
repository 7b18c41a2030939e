// The rollout engine: a step schedules, runs and accepts tokens. It samples group_size completions
// of each prompt with Policy::Forward. A completion is a function of weights, prompt, sampling
// rule, seed and rollout id, and does not depend on what else is in the batch. One thread owns the
// engine. The sequences of a step are divided among the threads of the pool; each part runs on a
// serial stream with its own memory. A step that is mostly one sequence (a long prompt, the last
// completion) is not divided; its operators use the pool instead.
#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "policy/policy.h"
#include "proto/config.pb.h"
#include "rollout/engine/scheduler.h"
#include "rollout/generator.h"

namespace grouper {

class Engine final : public Generator {
 public:
  // policy and tokenizer outlive the engine; pool may be nullptr (serial).
  Engine(const Policy& policy, const Tokenizer& tokenizer, const RolloutConfig& config,
         const Stream& stream);
  ~Engine() override;

  bool Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                std::vector<Group>* groups, std::stop_token stop = {}) override;
  const GeneratorStats& stats() const override { return stats_; }

 private:
  struct Slice;
  // A group with its completions for each prompt, not sampled yet. kUser when a prompt or the
  // longest completion does not fit.
  std::vector<GroupState> StartGroups(std::span<const Prompt> prompts,
                                      const GenerateOptions& options,
                                      std::vector<Group>* groups) const;
  void RunStep(const GenerateOptions& options, const std::vector<WorkItem>& items);
  void RunSlice(const GenerateOptions& options, Stream stream, Slice* slice);
  void Accept(const GenerateOptions& options, const Slice& slice, Scheduler* scheduler);
  void AcceptToken(const GenerateOptions& options, Sequence* sequence, int32_t token,
                   float log_prob, float entropy, Scheduler* scheduler);

  const Policy& policy_;
  const Tokenizer& tokenizer_;
  RolloutConfig config_;
  Stream stream_;
  KvCache cache_;
  std::vector<std::unique_ptr<Slice>> slices_;
  GeneratorStats stats_;
};

}  // namespace grouper
