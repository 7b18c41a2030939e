#include "rl/experience/rollout_stage.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/kill_point.h"
#include "rl/algorithm/dynamic_sampling.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/experience/reward_shuffle.h"
#include "rl/experience/scoring_ahead.h"

namespace grouper {
namespace {

// Adds what the generator did between `before` and `after`.
void Add(const GeneratorStats& after, const GeneratorStats& before, GeneratorStats* sum) {
  sum->sampled_tokens += after.sampled_tokens - before.sampled_tokens;
  sum->forwarded_tokens += after.forwarded_tokens - before.forwarded_tokens;
  sum->steps += after.steps - before.steps;
  sum->preemptions += after.preemptions - before.preemptions;
}

}  // namespace

RolloutStage::RolloutStage(const Config& config, const Tokenizer& tokenizer,
                           const PromptSet* prompts, Generator* generator, GroupScorer* scorer,
                           const KeptVerdicts* kept)
    : config_(config),
      tokenizer_(tokenizer),
      prompts_(prompts),
      generator_(generator),
      scorer_(scorer),
      kept_(kept),
      stop_ids_(StopIdsOf(config.sampling(), tokenizer)) {}

void RolloutStage::Check(const std::vector<Group>& groups, const GenerateOptions& options) const {
  std::set<uint64_t> ids;
  for (const Group& group : groups) {
    CHECK(group.completions_size() == options.group_size,
          "[trainer] a group has another number of completions than group_size",
          Named("prompt", group.prompt().ordinal()), Named("completions", group.completions_size()),
          Named("group_size", options.group_size));
    for (int i = 0; i < group.completions_size(); ++i) {
      const Completion& c = group.completions(i);
      CHECK(ids.insert(c.rollout_id()).second, "[trainer] a rollout id was sampled twice",
            Named("rollout", c.rollout_id()));
      CHECK(c.index() == static_cast<uint32_t>(i) &&
                c.rollout_id() ==
                    group.prompt().ordinal() * static_cast<uint64_t>(options.group_size) +
                        static_cast<uint64_t>(i),
            "[trainer] a completion is in the wrong place of its group",
            Named("rollout", c.rollout_id()), Named("index", c.index()), Named("place", i));
      CHECK(c.ids_size() > 0, "[trainer] a completion has no token",
            Named("rollout", c.rollout_id()));
      const int32_t last = static_cast<int32_t>(c.ids(c.ids_size() - 1));
      const bool ended = last == tokenizer_.eos() ||
                         std::find(stop_ids_.begin(), stop_ids_.end(), last) != stop_ids_.end();
      CHECK(c.ids_size() <= options.max_new_tokens,
            "[trainer] a completion is longer than the cap of its step",
            Named("rollout", c.rollout_id()), Named("tokens", c.ids_size()),
            Named("cap", options.max_new_tokens));
      CHECK(
          ended == (c.finish_reason() == Completion::STOP) &&
              (ended || c.ids_size() == options.max_new_tokens),
          "[trainer] a completion must be truncated exactly when it ends at the cap without a stop "
          "token",
          Named("rollout", c.rollout_id()), Named("tokens", c.ids_size()),
          Named("cap", options.max_new_tokens));
      CHECK(c.spans_size() == 1 && c.spans(0).policy_version() == options.policy_version &&
                c.spans(0).weights_digest() == options.weights_digest,
            "[trainer] a completion was sampled under other weights than the learner's",
            Named("rollout", c.rollout_id()));
    }
  }
}

std::optional<StepRollout> RolloutStage::Run(const StepStart& start, std::stop_token stop) {
  GenerateOptions options;
  options.rule = RuleOf(config_.sampling());
  options.max_new_tokens =
      LengthCapAt(config_.sampling(), static_cast<int64_t>(start.policy_version));
  options.stop_ids = stop_ids_;
  options.group_size = config_.group_size();
  options.seed = config_.seed();
  options.policy_version = start.policy_version;
  options.weights_digest = start.weights_digest;
  const DynamicSamplingConfig& dynamic = config_.dynamic_sampling();
  StepRollout out;
  out.length_cap = options.max_new_tokens;
  for (;;) {
    if (!Round(start, options, &out, stop)) return std::nullopt;
    ++out.rounds;
    if (!dynamic.enabled()) break;
    out.missing = config_.prompts_per_step() - ChooseGroups(config_.prompts_per_step(), out.groups);
    if (out.missing == 0 || out.rounds >= dynamic.max_rounds()) break;
  }
  if (config_.reward().shuffle()) ShuffleRewards(config_.seed(), start.step, &out.groups);
  return out;
}

bool RolloutStage::Round(const StepStart& start, const GenerateOptions& round, StepRollout* out,
                         std::stop_token stop) {
  const Stopwatch generating;
  const uint64_t first = start.first_prompt + out->groups.size();
  std::vector<Prompt> prompts;
  for (int64_t i = 0; i < config_.prompts_per_step(); ++i) {
    prompts.push_back(prompts_->At(first + static_cast<uint64_t>(i)));
  }
  ScoringAhead ahead(prompts.size(),
                     [this, out](std::vector<Group>* groups, std::stop_token given_up) {
                       out->verdicts_reused += scorer_->Score(groups, kept_, given_up);
                     });
  GenerateOptions options = round;
  options.on_group = [&](size_t place, const Group& group) { ahead.Add(place, group); };
  std::vector<Group> groups;
  const GeneratorStats before = generator_->stats();
  if (!generator_->Generate(prompts, options, &groups, stop)) return false;
  Add(generator_->stats(), before, &out->generator);
  out->generate_seconds += generating.Seconds();
  Check(groups, options);
  KILL_POINT("step.generated");

  const Stopwatch scoring;
  if (!ahead.Finish(&groups, stop)) return false;
  out->score_seconds += scoring.Seconds();
  KILL_POINT("step.scored");
  for (Group& group : groups) out->groups.push_back(std::move(group));
  return true;
}

}  // namespace grouper
