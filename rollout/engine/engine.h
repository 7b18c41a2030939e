// The rollout engine: step = schedule, run, accept. Samples group_size completions of each prompt
// with the policy's own forward; a completion is a function of weights, prompt, sampling rule, seed
// and rollout id, whatever else is in the batch. Owned by one thread; a step's sequences are split
// over the pool, each part on a serial stream with its own memory. A step that is mostly one
// sequence (a long prompt, the last completion) runs whole instead, its operators split.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/sampling/sampling_rule.h"
#include "policy/policy.h"
#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"
#include "rollout/engine/scheduler.h"

namespace grouper {

struct GenerateOptions {
  SamplingRule rule;
  int64_t max_new_tokens = 64;
  std::vector<int32_t> stop_ids;  // beside <eos>; StopIdsOf
  int64_t group_size = 16;
  uint64_t seed = 1;
  uint32_t stream_id = 0;  // base/random.h: kTokenSampling or kEvaluation
  uint64_t policy_version = 0;
  uint64_t weights_digest = 0;
  // Called behind every sampled token, in the caller's thread: the completion as far as it is.
  std::function<void(const Completion&)> on_token = {};
  // Called when the last completion of a group has ended, in the caller's thread: its place among
  // the prompts and the group, which nothing changes any more.
  std::function<void(size_t place, const Group&)> on_group = {};
};

// The tokens of sampling.stop_tokens. kUser for a text that is not one token of the tokenizer.
std::vector<int32_t> StopIdsOf(const SamplingConfig& config, const Tokenizer& tokenizer);

struct EngineStats {
  int64_t sampled_tokens = 0;
  int64_t forwarded_tokens = 0;  // prompts and recomputation included
  int64_t steps = 0;
  int64_t preemptions = 0;
};

class Engine {
 public:
  // policy and tokenizer outlive the engine; pool may be nullptr (serial).
  Engine(const Policy& policy, const Tokenizer& tokenizer, const RolloutConfig& config,
         const Stream& stream);
  ~Engine();

  // A Group per prompt, in order, with prompt, completions and experts filled. False when stop was
  // requested first (groups is then incomplete and not to be used). kInternal naming rollout and
  // position when a logit is not finite; kUser when a prompt with its new tokens exceeds the
  // context.
  bool Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                std::vector<Group>* groups, std::stop_token stop = {});
  const EngineStats& stats() const { return stats_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  struct Slice;
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
  EngineStats stats_;
};

}  // namespace grouper
