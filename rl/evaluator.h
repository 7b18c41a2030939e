// Held-out evaluation: samples at temperature 1 and one greedy answer a question, scored by the
// same service. Random numbers come from the evaluation stream, so evaluating changes nothing in
// training.
#pragma once

#include <stop_token>
#include <vector>

#include "proto/config.pb.h"
#include "rl/reward_stage.h"
#include "rollout/engine.h"

namespace grouper {

struct EvalResult {
  int64_t questions = 0;
  int64_t samples = 0;        // scored samples at temperature 1
  double pass_at_1 = 0;       // mean over questions of the share of right samples
  double standard_error = 0;  // over questions
  double greedy = 0;          // share of right greedy answers; 0 when not asked for
  double length_mean = 0;     // tokens, temperature 1
  double truncated = 0;       // share
  int64_t not_scored = 0;
  std::vector<Group> groups;         // temperature 1
  std::vector<Group> greedy_groups;  // one member each
};

// SCORED with CORRECT or AC, and its accuracy component, if there is one, above 0.
bool IsRight(const reward::v1::ScoreResult& score);

class Evaluator {
 public:
  // questions: prompts with ordinals 0..n-1. References outlive the evaluator.
  Evaluator(std::vector<Prompt> questions, const Config& config, RewardStage* reward);
  const std::vector<Prompt>& questions() const { return questions_; }
  // False when stop was requested.
  bool Run(Engine* engine, uint64_t version, uint64_t weights_digest, EvalResult* result,
           std::stop_token stop = {});

 private:
  std::vector<Prompt> questions_;
  Config config_;
  RewardStage* reward_;
};

}  // namespace grouper
