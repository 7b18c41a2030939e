#include "rl/training/step_report.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/error.h"
#include "rl/algorithm/dynamic_sampling.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/verdict.h"

namespace grouper {
namespace {

// reward.*, group.*, rollout.length_* and .truncated: means over SCORED completions, drops by
// status and reason.
void CollectRewards(std::span<const Group> groups, StepMetrics* metrics) {
  double reward = 0, scored = 0, right = 0, tokens = 0, longest = 0, truncated = 0, all = 0;
  int64_t all_right = 0, all_wrong = 0, no_signal = 0;
  std::map<std::string, double> components;
  std::map<std::string, int64_t> dropped;
  for (const Group& group : groups) {
    int64_t group_right = 0, group_scored = 0;
    for (int i = 0; i < group.completions_size(); ++i) {
      const Completion& c = group.completions(i);
      const reward::v1::ScoreResult& s = group.scores(i);
      all += 1;
      tokens += c.ids_size();
      longest = std::max(longest, static_cast<double>(c.ids_size()));
      truncated += c.finish_reason() == Completion::LENGTH ? 1 : 0;
      if (s.status() != reward::v1::ScoreResult::SCORED) {
        ++dropped[reward::v1::ScoreResult::Status_Name(s.status()) + "." + s.reason()];
        continue;
      }
      ++group_scored;
      group_right += IsRight(s) ? 1 : 0;
      reward += s.reward();
      for (const auto& [name, value] : s.components()) components[name] += value;
    }
    scored += static_cast<double>(group_scored);
    right += static_cast<double>(group_right);
    all_right += group_scored > 0 && group_right == group_scored ? 1 : 0;
    all_wrong += group_scored > 0 && group_right == 0 ? 1 : 0;
    no_signal += group.no_signal() ? 1 : 0;
  }
  if (scored > 0) {  // no mean is 0 for want of verdicts
    metrics->Add("reward.mean", reward / scored);
    metrics->Add("reward.accuracy", right / scored);
    for (const auto& [name, sum] : components) {
      metrics->Add("reward.component." + name, sum / scored);
    }
  }
  metrics->AddCount("reward.scored", static_cast<int64_t>(scored));
  metrics->AddCount("reward.dropped", static_cast<int64_t>(all - scored));
  for (const auto& [reason, count] : dropped) metrics->AddCount("reward.dropped." + reason, count);
  metrics->AddCount("reward.tasks_not_judged", TasksNotJudged(groups));
  metrics->AddCount("group.count", static_cast<int64_t>(groups.size()));
  metrics->AddCount("group.all_right", all_right);
  metrics->AddCount("group.all_wrong", all_wrong);
  metrics->AddCount("group.no_signal", no_signal);
  metrics->Add("rollout.length_mean", tokens / all);
  metrics->AddCount("rollout.length_max", static_cast<int64_t>(longest));
  metrics->Add("rollout.truncated", truncated / all);
}

// Under dynamic sampling: rollout.rounds, group.trained, group.dropped and its reasons,
// rollout.dropped_tokens.
void CollectDropped(std::span<const Group> groups, int64_t rounds, StepMetrics* metrics) {
  std::map<std::string, int64_t> reasons;
  for (const Group& group : groups) {
    if (!group.dropped().empty()) ++reasons[group.dropped()];
  }
  int64_t dropped = 0;
  for (const auto& [reason, count] : reasons) dropped += count;
  metrics->AddCount("rollout.rounds", rounds);
  metrics->AddCount("group.trained", static_cast<int64_t>(groups.size()) - dropped);
  metrics->AddCount("group.dropped", dropped);
  for (const auto& [reason, count] : reasons) metrics->AddCount("group.dropped." + reason, count);
  metrics->AddCount("rollout.dropped_tokens", DroppedTokens(groups));
}

// check.*, update.*, loss.*, kl.*, ratio.*, clip.*, batch.*, router.*, optimizer.*: sums, means or
// ends over the step's updates; policy_version after them.
void CollectUpdates(const StepUpdate& step, uint64_t policy_version, StepMetrics* metrics) {
  const std::vector<UpdateResult>& updates = step.updates;
  const TokenCounts tokens = step.Tokens();
  const RatioStats ratios = step.Ratios();
  const double ratio_tokens = static_cast<double>(std::max<int64_t>(ratios.tokens, 1));
  const auto mean = [&](double UpdateResult::*field) {
    double sum = 0;
    for (const UpdateResult& u : updates) sum += u.*field;
    return sum / static_cast<double>(updates.size());
  };
  double max_violation = updates.front().max_violation, least_share = updates.front().least_share;
  int64_t moved = 0, sequences = 0;
  for (const UpdateResult& u : updates) {
    moved += u.updated ? 1 : 0;
    sequences += u.sequences;
    max_violation = std::max(max_violation, u.max_violation);
    least_share = std::min(least_share, u.least_share);
  }
  metrics->AddCount("check.tokens", step.check.tokens);
  metrics->AddCount("check.logprob_mismatch", step.check.logprob_mismatch);
  metrics->AddCount("check.expert_mismatch", step.check.expert_mismatch);
  metrics->AddCount("check.kept_set_mismatch", step.check.kept_set_mismatch);
  metrics->AddCount("check.ratio_not_one", step.check.ratio_not_one);
  metrics->AddCount("check.nonfinite", step.check.nonfinite);
  metrics->AddCount("policy.version", static_cast<int64_t>(policy_version));
  metrics->AddCount("update.count", moved);
  metrics->AddCount("update.skipped_no_signal", static_cast<int64_t>(updates.size()) - moved);
  metrics->Add("loss.policy", mean(&UpdateResult::loss));
  metrics->Add("policy.entropy", mean(&UpdateResult::entropy_mean));
  metrics->AddCount("clip.low", ratios.clipped_low);
  metrics->AddCount("clip.high", ratios.clipped_high);
  metrics->AddCount("clip.dual", ratios.clipped_dual);
  metrics->Add("ratio.mean", ratios.sum / ratio_tokens);
  metrics->Add("ratio.max", ratios.max);
  metrics->AddCount("ratio.not_one", ratios.not_one);
  metrics->AddCount("ratio.not_one_first", updates.front().ratios.not_one);
  metrics->Add("kl.k1", ratios.k1_sum / ratio_tokens);
  metrics->Add("kl.k3", ratios.k3_sum / ratio_tokens);
  metrics->AddCount("kl.zero_tokens", ratios.kl_zero_tokens);
  metrics->AddCount("reference.refreshes", step.refreshes);
  metrics->Add("optimizer.lr", updates.back().lr);
  metrics->Add("optimizer.grad_norm", mean(&UpdateResult::grad_norm));
  metrics->AddCount("batch.sequences", sequences);
  metrics->AddCount("batch.tokens", tokens.in_loss);
  metrics->AddCount("batch.tokens_no_signal", tokens.no_signal);
  metrics->AddCount("batch.tokens_unscored", tokens.unscored);
  metrics->AddCount("batch.tokens_truncated", tokens.truncated);
  metrics->AddCount("batch.tokens_off_policy", tokens.off_policy);
  metrics->Add("router.max_violation", max_violation);
  metrics->Add("router.least_share", least_share);
}

// "-" when there is no such figure, as when nothing was scored.
std::string OrDash(const StepMetrics& metrics, const std::string& key) {
  if (!metrics.Has(key)) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f", metrics.Get(key));
  return text;
}

}  // namespace

void CheckTokenCounts(Config::CheckMode check, const StepRollout& rollout,
                      const StepUpdate& update) {
  const int64_t sampled = rollout.generator.sampled_tokens, dropped = DroppedTokens(rollout.groups);
  CHECK(
      check == Config::OFF || update.check.tokens + update.tokens_not_compared + dropped == sampled,
      "[trainer] not every sampled token was compared with the learner's",
      Named("compared", update.check.tokens),
      Named("off_policy_without_audit", update.tokens_not_compared), Named("dropped", dropped),
      Named("sampled", sampled));
  const TokenCounts tokens = update.Tokens();
  CHECK(tokens.in_loss + tokens.unscored + tokens.truncated + dropped == sampled,
        "[trainer] the tokens in the loss and the tokens left out of it are not all the tokens "
        "that were sampled",
        Named("in_loss", tokens.in_loss), Named("unscored", tokens.unscored),
        Named("truncated", tokens.truncated), Named("dropped", dropped), Named("sampled", sampled));
}

StepMetrics ReportStep(const Config& config, const StepRollout& rollout,
                       const KlPenaltySum& penalties, const StepUpdate& update,
                       uint64_t policy_version, double train_seconds) {
  StepMetrics metrics;
  CollectRewards(rollout.groups, &metrics);
  metrics.AddCount("reward.reused", rollout.verdicts_reused);
  CollectUpdates(update, policy_version, &metrics);
  if (config.dynamic_sampling().enabled()) {
    CollectDropped(rollout.groups, rollout.rounds, &metrics);
  }
  if (KlInReward(config.loss())) {
    metrics.Add("kl.in_reward",
                penalties.estimator / static_cast<double>(std::max<int64_t>(1, penalties.tokens)));
  }
  metrics.AddCount("rollout.sampled_tokens", rollout.generator.sampled_tokens);
  metrics.AddCount("rollout.preemptions", rollout.generator.preemptions);
  metrics.Add("time.generate_seconds", rollout.generate_seconds);
  metrics.Add("time.score_seconds", rollout.score_seconds);
  metrics.Add("time.train_seconds", train_seconds);
  metrics.Add("rate.generate_tokens_per_second",
              static_cast<double>(rollout.generator.forwarded_tokens) / rollout.generate_seconds);
  metrics.Add("rate.train_tokens_per_second",
              static_cast<double>(update.Tokens().forwarded) / train_seconds);
  metrics.Add("time.step_seconds", rollout.since_begin.Seconds());
  return metrics;
}

void AddEvaluation(const EvalResult& eval, StepMetrics* metrics) {
  if (eval.questions > 0) {  // that have a scored sample
    metrics->Add("eval.pass_at_1", eval.pass_at_1);
    metrics->Add("eval.standard_error", eval.standard_error);
    metrics->Add("eval.greedy", eval.greedy);
  }
  metrics->Add("eval.length_mean", eval.length_mean);
  metrics->Add("eval.truncated", eval.truncated);
  metrics->AddCount("eval.not_scored", eval.not_scored);
}

StepRecord RecordOf(int64_t step, const StepUpdate& update, uint64_t policy_version,
                    const Reference* reference) {
  StepRecord record;
  record.set_step(step);
  record.set_policy_version(policy_version);
  record.set_checked_tokens(static_cast<uint64_t>(update.check.tokens));
  record.set_mismatches(static_cast<uint64_t>(update.check.total()));
  if (reference != nullptr) record.set_reference_digest(reference->digest());
  return record;
}

int64_t TasksNotJudged(std::span<const Group> groups) {
  return std::count_if(groups.begin(), groups.end(), [](const Group& group) {
    return std::none_of(group.scores().begin(), group.scores().end(), [](const auto& score) {
      return score.status() == reward::v1::ScoreResult::SCORED;
    });
  });
}

std::string ProgressLine(int64_t step, const StepMetrics& m) {
  const double clipped = m.Get("clip.low") + m.Get("clip.high");
  const double mismatch = m.Get("check.logprob_mismatch") + m.Get("check.expert_mismatch") +
                          m.Get("check.kept_set_mismatch") + m.Get("check.ratio_not_one") +
                          m.Get("check.nonfinite");
  char line[320];
  std::snprintf(
      line, sizeof(line),
      "[T] step %ld | reward %s | acc %s | len %.1f | ent %.3f | clip %.1f%% | norm %.2f | "
      "no-signal %.0f/%.0f | mismatch %.0f | gen %.1fk tok/s | score %.2fs | train %.1fk tok/s",
      static_cast<long>(step), OrDash(m, "reward.mean").c_str(),
      OrDash(m, "reward.accuracy").c_str(), m.Get("rollout.length_mean"), m.Get("policy.entropy"),
      100 * clipped / std::max(1.0, m.Get("batch.tokens")), m.Get("optimizer.grad_norm"),
      m.Get("group.no_signal"), m.Get("group.count"), mismatch,
      m.Get("rate.generate_tokens_per_second") / 1000, m.Get("time.score_seconds"),
      m.Get("rate.train_tokens_per_second") / 1000);
  std::string text = line;
  if (m.Get("reward.tasks_not_judged") > 0) {
    std::snprintf(line, sizeof(line), " | %.0f of %.0f tasks are not judged",
                  m.Get("reward.tasks_not_judged"), m.Get("group.count"));
    text += line;
  }
  if (m.Get("rollout.rounds") > 1) {
    std::snprintf(line, sizeof(line), " | rounds %.0f", m.Get("rollout.rounds"));
    text += line;
  }
  if (m.Get("eval.length_mean") > 0) {
    text += " | eval pass@1 " + OrDash(m, "eval.pass_at_1") + " greedy " + OrDash(m, "eval.greedy");
  }
  return text;
}

}  // namespace grouper
