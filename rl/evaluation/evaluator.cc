#include "rl/evaluation/evaluator.h"

#include <algorithm>

#include "base/random.h"
#include "proto/check/rubric_check.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/algorithm/verdict.h"
#include "rl/data/prompt_set.h"
#include "rl/run/settings_check.h"

namespace grouper {

void CheckEvalConfig(const Config& config) {
  CheckSessionSettings(config, EvalSampling(config).max_new_tokens());
  CheckRubrics(config.reward().rubric());
  CheckTaskRubrics(config.data().eval(), config);
}

Evaluator::Evaluator(std::vector<Prompt> questions, const Config& config,
                     const Tokenizer& tokenizer, GroupScorer* scorer)
    : questions_(std::move(questions)),
      eval_(config.eval()),
      rollout_(config.rollout()),
      seed_(config.seed()),
      sampling_(EvalSampling(config)),
      stop_ids_(StopIdsOf(sampling_, tokenizer)),
      scorer_(scorer) {}

bool Evaluator::Answer(Generator* generator, const GenerateOptions& options,
                       const std::function<void(int64_t done, std::span<Group> groups)>& take,
                       std::stop_token stop) {
  const std::span<const Prompt> prompts(questions_);
  const auto part = static_cast<size_t>(QuestionsPerPart(rollout_, options.group_size));
  for (size_t begin = 0; begin < prompts.size(); begin += part) {
    const size_t count = std::min(part, prompts.size() - begin);
    std::vector<Group> answered;
    if (!generator->Generate(prompts.subspan(begin, count), options, &answered, stop)) return false;
    if (!ScoreUnlessStopped(scorer_, &answered, stop)) return false;
    take(static_cast<int64_t>(begin + count), answered);
  }
  return true;
}

bool Evaluator::Run(Generator* generator, uint64_t version, uint64_t weights_digest,
                    EvalResult* result, std::stop_token stop, const EvalPart& part) {
  *result = {};
  GenerateOptions options;
  options.rule = RuleOf(sampling_);
  options.max_new_tokens = sampling_.max_new_tokens();
  options.stop_ids = stop_ids_;
  options.group_size = eval_.samples();
  options.seed = seed_;
  options.stream_id = static_cast<uint32_t>(RandomStream::kEvaluation);
  options.policy_version = version;
  options.weights_digest = weights_digest;
  EvalTally samples(options.group_size), greedy(1);
  const auto take_samples = [&](int64_t done, std::span<Group> groups) {
    for (const Group& group : groups) samples.Add(group);
    if (part) part(false, done, groups);
  };
  if (!Answer(generator, options, take_samples, stop)) return false;
  static_cast<EvalFigures&>(*result) = samples.Finish();
  if (!eval_.greedy()) return true;

  options.rule = SamplingRule{.temperature = 0};
  options.group_size = 1;
  const auto take_greedy = [&](int64_t done, std::span<Group> groups) {
    for (const Group& group : groups) {
      greedy.Add(group);
      result->greedy_answers.push_back({group.completions(0).text(), IsRight(group.scores(0))});
    }
    if (part) part(true, done, groups);
  };
  if (!Answer(generator, options, take_greedy, stop)) return false;
  EvalFigures best = greedy.Finish();
  result->greedy = best.pass_at_1;
  result->greedy_standard_error = best.standard_error;
  result->not_scored += best.not_scored;
  result->grader_versions.merge(best.grader_versions);
  return true;
}

}  // namespace grouper
