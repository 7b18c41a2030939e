// The interface of what samples completions: the engine, or a test that wraps it. The trainer, the
// evaluator and the sampling job know only this interface.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "kernels/sampling/sampling_rule.h"
#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

struct GenerateOptions {
  SamplingRule rule;
  int64_t max_new_tokens = 64;
  std::vector<int32_t> stop_ids;  // tokens that end a completion like <eos>; see StopIdsOf
  int64_t group_size = 16;
  uint64_t seed = 1;
  uint32_t stream_id = 0;  // base/random.h: kTokenSampling or kEvaluation
  uint64_t policy_version = 0;
  uint64_t weights_digest = 0;
  // Called after every sampled token, in the caller's thread, with the completion so far.
  std::function<void(const Completion&)> on_token = {};
  // Called when the last completion of a group has ended, in the caller's thread, with the group's
  // place among the prompts. Nothing changes the group after this call.
  std::function<void(size_t place, const Group&)> on_group = {};
};

// The tokens of sampling.stop_tokens. kUser for a text that is not one token of the tokenizer.
std::vector<int32_t> StopIdsOf(const SamplingConfig& config, const Tokenizer& tokenizer);

struct GeneratorStats {
  int64_t sampled_tokens = 0;
  int64_t forwarded_tokens = 0;  // prompts and recomputation included
  int64_t steps = 0;
  int64_t preemptions = 0;
};

class Generator {
 public:
  virtual ~Generator() = default;
  // Fills one Group per prompt, in order, with prompt, completions and experts. Returns false when
  // a stop was requested first; groups is then incomplete and must not be used. kInternal naming
  // rollout and position when a logit is not finite; kUser when a prompt with its new tokens
  // exceeds the context.
  virtual bool Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                        std::vector<Group>* groups, std::stop_token stop = {}) = 0;
  // Sums since the generator was made.
  virtual const GeneratorStats& stats() const = 0;
};

}  // namespace grouper
