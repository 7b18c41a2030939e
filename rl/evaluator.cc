#include "rl/evaluator.h"

#include <cmath>

#include "base/random.h"
#include "rl/learner.h"

namespace grouper {

bool IsRight(const reward::v1::ScoreResult& score) {
  // Accuracy that its gate closed ("no accuracy without format") is not right.
  const auto accuracy = score.components().find("accuracy");
  if (accuracy != score.components().end() && accuracy->second <= 0) return false;
  return score.status() == reward::v1::ScoreResult::SCORED &&
         (score.verdict() == reward::v1::ScoreResult::CORRECT ||
          score.verdict() == reward::v1::ScoreResult::AC);
}

Evaluator::Evaluator(std::vector<Prompt> questions, const Config& config, RewardStage* reward)
    : questions_(std::move(questions)), config_(config), reward_(reward) {}

bool Evaluator::Run(Engine* engine, uint64_t version, uint64_t weights_digest, EvalResult* result,
                    std::stop_token stop) {
  *result = {};
  GenerateOptions options;
  options.rule = RuleOf(config_.sampling());
  options.rule.temperature = 1;
  options.max_new_tokens = config_.sampling().max_new_tokens();
  options.stop_ids = StopIdsOf(config_.sampling(), engine->tokenizer());
  options.group_size = config_.eval().samples();
  options.seed = config_.seed();
  options.stream_id = static_cast<uint32_t>(RandomStream::kEvaluation);
  options.policy_version = version;
  options.weights_digest = weights_digest;
  if (!engine->Generate(questions_, options, &result->groups, stop)) return false;
  reward_->Score(&result->groups);
  if (config_.eval().greedy()) {
    options.rule = SamplingRule{.temperature = 0};
    options.group_size = 1;
    if (!engine->Generate(questions_, options, &result->greedy_groups, stop)) return false;
    reward_->Score(&result->greedy_groups);
  }

  double sum = 0, squares = 0, tokens = 0, truncated = 0, completions = 0;
  for (const Group& group : result->groups) {
    double right = 0, scored = 0;
    for (int i = 0; i < group.completions_size(); ++i) {
      tokens += group.completions(i).ids_size();
      truncated += group.completions(i).finish_reason() == Completion::LENGTH ? 1 : 0;
      completions += 1;
      if (group.scores(i).status() != reward::v1::ScoreResult::SCORED) {
        ++result->not_scored;
        continue;
      }
      scored += 1;
      right += IsRight(group.scores(i)) ? 1 : 0;
    }
    result->samples += static_cast<int64_t>(scored);
    if (scored == 0) continue;
    ++result->questions;
    sum += right / scored;
    squares += right / scored * (right / scored);
  }
  const double n = static_cast<double>(result->questions);
  if (n > 0) {
    result->pass_at_1 = sum / n;
    const double variance = n > 1 ? std::max(0.0, (squares - sum * sum / n) / (n - 1)) : 0;
    result->standard_error = std::sqrt(variance / n);
  }
  if (completions > 0) {
    result->length_mean = tokens / completions;
    result->truncated = truncated / completions;
  }
  double greedy_right = 0, greedy_scored = 0;
  for (const Group& group : result->greedy_groups) {
    if (group.scores(0).status() != reward::v1::ScoreResult::SCORED) {
      ++result->not_scored;
      continue;
    }
    greedy_scored += 1;
    greedy_right += IsRight(group.scores(0)) ? 1 : 0;
  }
  if (greedy_scored > 0) result->greedy = greedy_right / greedy_scored;
  return true;
}

}  // namespace grouper
