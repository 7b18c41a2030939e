#include "rl/evaluation/evaluator.h"

#include <algorithm>
#include <iterator>

#include "base/random.h"
#include "rl/algorithm/sampling_settings.h"

namespace grouper {

Evaluator::Evaluator(std::vector<Prompt> questions, const Config& config,
                     const Tokenizer& tokenizer, GroupScorer* scorer)
    : questions_(std::move(questions)),
      eval_(config.eval()),
      seed_(config.seed()),
      sampling_(EvalSampling(config)),
      stop_ids_(StopIdsOf(sampling_, tokenizer)),
      scorer_(scorer) {}

bool Evaluator::Answer(Generator* generator, const GenerateOptions& options, bool greedy,
                       const EvalHooks& hooks, std::vector<Group>* groups, EvalTally* tally,
                       std::stop_token stop) {
  const size_t all = questions_.size();
  const size_t part =
      hooks.questions_per_part > 0 ? static_cast<size_t>(hooks.questions_per_part) : all;
  for (size_t begin = 0; begin < all; begin += part) {
    const size_t count = std::min(part, all - begin);
    std::vector<Group> answered;
    const std::span<const Prompt> prompts(questions_);
    if (!generator->Generate(prompts.subspan(begin, count), options, &answered, stop)) return false;
    scorer_->Score(&answered);
    for (const Group& group : answered) tally->Add(group);
    if (hooks.part) {
      hooks.part(greedy, static_cast<int64_t>(begin + count), answered);
    } else {
      groups->insert(groups->end(), std::make_move_iterator(answered.begin()),
                     std::make_move_iterator(answered.end()));
    }
  }
  return true;
}

bool Evaluator::Run(Generator* generator, uint64_t version, uint64_t weights_digest,
                    EvalResult* result, std::stop_token stop, const EvalHooks& hooks) {
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
  if (!Answer(generator, options, false, hooks, &result->groups, &samples, stop)) return false;
  static_cast<EvalFigures&>(*result) = samples.Finish();
  if (!eval_.greedy()) return true;

  options.rule = SamplingRule{.temperature = 0};
  options.group_size = 1;
  if (!Answer(generator, options, true, hooks, &result->greedy_groups, &greedy, stop)) return false;
  EvalFigures best = greedy.Finish();
  result->greedy = best.pass_at_1;
  result->greedy_standard_error = best.standard_error;
  result->not_scored += best.not_scored;
  result->grader_versions.merge(best.grader_versions);
  return true;
}

}  // namespace grouper
