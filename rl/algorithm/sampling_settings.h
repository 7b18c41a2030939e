// How the run and its evaluations sample. Pure functions, any thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "kernels/sampling/sampling_rule.h"
#include "proto/config.pb.h"

namespace grouper {

// The filters and the temperature of `config` as sampler and learner apply them.
inline SamplingRule RuleOf(const SamplingConfig& config) {
  return {.temperature = config.temperature(),
          .top_k = config.top_k(),
          .top_p = config.top_p(),
          .min_p = config.min_p()};
}

// The sampling settings of an evaluation: eval.*, and sampling.* for what eval.* leaves open. kUser
// for settings that do not go together.
inline SamplingConfig EvalSampling(const Config& config) {
  const EvalConfig& eval = config.eval();
  USER_CHECK(eval.temperature() > 0 || eval.samples() == 1,
             "[config] at eval.temperature 0 all samples of a question are equal; set "
             "eval.samples=1",
             Named("eval.samples", eval.samples()));
  SamplingConfig sampling = config.sampling();
  sampling.set_temperature(eval.temperature());
  if (eval.top_p() > 0) sampling.set_top_p(eval.top_p());
  if (eval.max_new_tokens() > 0) sampling.set_max_new_tokens(eval.max_new_tokens());
  USER_CHECK(sampling.max_new_tokens() < config.policy().max_positions(),
             "[config] eval.max_new_tokens, or sampling.max_new_tokens where it is 0, leaves no "
             "room for a prompt: lower it or raise policy.max_positions",
             Named("max_new_tokens", sampling.max_new_tokens()),
             Named("policy.max_positions", config.policy().max_positions()));
  return sampling;
}

// How many questions an evaluation answers and scores at a time, `answers` each: enough to keep the
// engine full, so that memory does not grow with the number of questions.
inline int64_t QuestionsPerPart(const RolloutConfig& rollout, int64_t answers) {
  return std::max<int64_t>(1, 2 * rollout.max_running() / std::max<int64_t>(1, answers));
}

}  // namespace grouper
