// Held-out evaluation: samples under the settings of eval.*, and one greedy answer per question,
// all scored like training completions. Random numbers come from the evaluation stream, so an
// evaluation changes nothing in training.
#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "rl/evaluation/eval_tally.h"
#include "rl/experience/group_scorer.h"
#include "rollout/generator.h"

namespace grouper {

struct EvalResult : EvalFigures {
  double greedy = 0;                 // share of right greedy answers; 0 without greedy answers
  double greedy_standard_error = 0;  // over questions
  struct GreedyAnswer {
    std::string text;
    bool right = false;
  };
  std::vector<GreedyAnswer> greedy_answers;  // one per question
};

// Receives the scored groups of each part of an evaluation, which are dropped after the call.
using EvalPart = std::function<void(bool greedy, int64_t questions_done, std::span<Group> groups)>;

// kUser for settings that an evaluation refuses. It writes nothing.
void CheckEvalConfig(const Config& config);

class Evaluator {
 public:
  // questions: prompts with ordinals 0 to n-1. The scorer outlives the evaluator. kUser for
  // settings of eval.* that make no sense.
  Evaluator(std::vector<Prompt> questions, const Config& config, const Tokenizer& tokenizer,
            GroupScorer* scorer);
  const std::vector<Prompt>& questions() const { return questions_; }
  // Answers the questions in parts (QuestionsPerPart), which change no bit; only tallies outlive a
  // part. False when stop was requested.
  bool Run(Generator* generator, uint64_t version, uint64_t weights_digest, EvalResult* result,
           std::stop_token stop = {}, const EvalPart& part = {});

 private:
  bool Answer(Generator* generator, const GenerateOptions& options,
              const std::function<void(int64_t done, std::span<Group> groups)>& take,
              std::stop_token stop);

  std::vector<Prompt> questions_;
  EvalConfig eval_;
  RolloutConfig rollout_;
  uint64_t seed_;
  SamplingConfig sampling_;        // of the samples: eval.* over sampling.*
  std::vector<int32_t> stop_ids_;  // in addition to <eos>
  GroupScorer* scorer_;
};

}  // namespace grouper
