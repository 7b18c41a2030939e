#include "rl/experience/rollout_stage.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/kill_point.h"
#include "rl/algorithm/dynamic_sampling.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/experience/reward_shuffle.h"
#include "rl/experience/scoring_ahead.h"

namespace grouper {
namespace {

double SecondsSince(int64_t nanos) {
  return static_cast<double>(SystemClock().MonotonicNanos() - nanos) * 1e-9;
}

// What the engine did since `before`.
void Add(const EngineStats& after, const EngineStats& before, EngineStats* sum) {
  sum->sampled_tokens += after.sampled_tokens - before.sampled_tokens;
  sum->forwarded_tokens += after.forwarded_tokens - before.forwarded_tokens;
  sum->steps += after.steps - before.steps;
  sum->preemptions += after.preemptions - before.preemptions;
}

}  // namespace

RolloutStage::RolloutStage(const Config& config, Session* session, const PromptSet* prompts,
                           RewardStage* reward, const KeptVerdicts* kept)
    : config_(config),
      session_(session),
      prompts_(prompts),
      reward_(reward),
      kept_(kept),
      stop_ids_(StopIdsOf(config.sampling(), session->tokenizer())) {}

void RolloutStage::Check(const std::vector<Group>& groups, const GenerateOptions& options) const {
  std::set<uint64_t> ids;
  for (const Group& group : groups) {
    CHECK(group.completions_size() == options.group_size,
          "[trainer] a group has another number of completions (prompt, completions)",
          group.prompt().ordinal(), group.completions_size());
    for (int i = 0; i < group.completions_size(); ++i) {
      const Completion& c = group.completions(i);
      CHECK(ids.insert(c.rollout_id()).second, "[trainer] a rollout id came twice", c.rollout_id());
      CHECK(c.index() == static_cast<uint32_t>(i) &&
                c.rollout_id() ==
                    group.prompt().ordinal() * static_cast<uint64_t>(options.group_size) +
                        static_cast<uint64_t>(i),
            "[trainer] a completion stands in the wrong place of its group, rollout",
            c.rollout_id());
      CHECK(c.ids_size() > 0, "[trainer] a completion without a token, rollout", c.rollout_id());
      const int32_t last = static_cast<int32_t>(c.ids(c.ids_size() - 1));
      const bool ended = last == session_->tokenizer().eos() ||
                         std::find(stop_ids_.begin(), stop_ids_.end(), last) != stop_ids_.end();
      CHECK(c.ids_size() <= options.max_new_tokens,
            "[trainer] a completion is longer than the cap of its step (rollout, tokens, cap)",
            c.rollout_id(), c.ids_size(), options.max_new_tokens);
      CHECK(ended == (c.finish_reason() == Completion::STOP) &&
                (ended || c.ids_size() == options.max_new_tokens),
            "[trainer] a completion is truncated exactly when it ends at the cap without a stop "
            "token, rollout",
            c.rollout_id());
      CHECK(c.spans_size() == 1 && c.spans(0).policy_version() == options.policy_version &&
                c.spans(0).weights_digest() == options.weights_digest,
            "[trainer] a completion was sampled under other weights than the learner's, rollout",
            c.rollout_id());
    }
  }
}

bool RolloutStage::Run(int64_t step, uint64_t first_prompt, uint64_t policy_version,
                       uint64_t weights_digest, const Tamper& tamper, StepRollout* out,
                       std::stop_token stop) {
  *out = {};
  GenerateOptions options;
  options.rule = RuleOf(config_.sampling());
  options.max_new_tokens = LengthCapAt(config_.sampling(), static_cast<int64_t>(policy_version));
  options.stop_ids = stop_ids_;
  options.group_size = config_.group_size();
  options.seed = config_.seed();
  options.policy_version = policy_version;
  options.weights_digest = weights_digest;
  const DynamicSamplingConfig& dynamic = config_.dynamic_sampling();
  for (;;) {
    if (!Round(step, first_prompt + out->groups.size(), options, tamper, out, stop)) return false;
    ++out->rounds;
    if (!dynamic.enabled()) break;
    out->missing =
        config_.prompts_per_step() - ChooseGroups(config_.prompts_per_step(), out->groups);
    if (out->missing == 0 || out->rounds >= dynamic.max_rounds()) break;
  }
  if (config_.reward().shuffle()) ShuffleRewards(config_.seed(), step, &out->groups);
  return true;
}

// Samples and scores the groups of the next prompts_per_step prompts and puts them behind those of
// earlier rounds.
bool RolloutStage::Round(int64_t step, uint64_t first_prompt, const GenerateOptions& round,
                         const Tamper& tamper, StepRollout* out, std::stop_token stop) {
  const int64_t begin = SystemClock().MonotonicNanos();
  std::vector<Prompt> prompts;
  for (int64_t i = 0; i < config_.prompts_per_step(); ++i) {
    prompts.push_back(prompts_->At(first_prompt + static_cast<uint64_t>(i)));
  }
  GenerateOptions options = round;
  // A tampered group must be scored as it then is.
  std::optional<ScoringAhead> ahead;
  if (!tamper) {
    ahead.emplace(prompts.size(),
                  [this, out](std::vector<Group>* groups, std::stop_token given_up) {
                    out->verdicts_reused += reward_->Score(groups, kept_, given_up);
                  });
    options.on_group = [&](size_t place, const Group& group) { ahead->Add(place, group); };
  }
  std::vector<Group> groups;
  const EngineStats before = session_->engine().stats();
  if (!session_->engine().Generate(prompts, options, &groups, stop)) return false;
  Add(session_->engine().stats(), before, &out->engine);
  out->generate_seconds += SecondsSince(begin);
  if (tamper) tamper(step, &groups);
  Check(groups, options);
  KILL_POINT("step.generated");

  const int64_t scoring = SystemClock().MonotonicNanos();
  if (!ahead) {
    out->verdicts_reused += reward_->Score(&groups, kept_);
  } else if (!ahead->Finish(&groups, stop)) {
    return false;
  }
  out->score_seconds += SecondsSince(scoring);
  if (stop.stop_requested()) return false;
  KILL_POINT("step.scored");
  for (Group& group : groups) out->groups.push_back(std::move(group));
  return true;
}

}  // namespace grouper
