#include "rl/experience/kl_penalty.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/learner/batch.h"

namespace grouper {
namespace {

bool PenaltyAlone(const Group& group) {
  std::vector<std::optional<double>> rewards, penalised;
  for (int i = 0; i < group.scores_size(); ++i) {
    const reward::v1::ScoreResult& score = group.scores(i);
    if (score.status() != reward::v1::ScoreResult::SCORED) continue;
    rewards.push_back(score.reward());
    penalised.push_back(score.reward() - group.kl_penalties(i));
  }
  return RewardsAreEqual(rewards) && !RewardsAreEqual(penalised);
}

}  // namespace

KlPenaltySum AddKlPenalties(const Config& config, PackedPass* sampler, Reference* reference,
                            std::span<Group> groups) {
  CHECK(reference != nullptr, "[kl] a KL penalty needs a reference policy");
  std::vector<TrainSequence> sequences;
  std::map<uint64_t, double*> places;  // by rollout id
  for (Group& group : groups) {
    group.clear_kl_penalties();
    if (!group.dropped().empty()) continue;
    group.mutable_kl_penalties()->Resize(group.completions_size(), 0);
    for (int i = 0; i < group.completions_size(); ++i) {
      if (group.completions(i).ids_size() == 0) continue;
      sequences.push_back(SequenceOf(group, i));
      places[sequences.back().rollout_id] = group.mutable_kl_penalties()->Mutable(i);
    }
  }
  SortCanonically(&sequences);
  const KlRule rule = KlRuleOf(config.loss());
  const SamplingRule sampling = RuleOf(config.sampling());
  const int64_t cut_tokens = MicroBatchTokens(config.batch(), reference->policy().config());
  KlPenaltySum all;
  for (const Cut& cut : CutMicroBatches(sequences, cut_tokens)) {
    const auto micro = std::span(sequences).subspan(cut.begin, cut.end - cut.begin);
    if (sampling.filtered()) sampler->Forward(micro, sampling, false, Routing::kLive, cut.part);
    const Tensor kept_sets = sampling.filtered() ? sampler->FindKeptSets() : Tensor();
    const std::span<const float> log_probs =
        reference->LogProbs(micro, sampling, kept_sets, Routing::kLive, cut.part);
    size_t next = 0;
    for (const TrainSequence& s : micro) {
      double sum = 0;
      for (float recorded : s.completion->rollout_log_probs()) {
        sum +=
            KlOf(rule, static_cast<double>(recorded), static_cast<double>(log_probs[next++])).value;
      }
      CHECK(std::isfinite(sum), "[kl] the penalty of a completion is not finite",
            Named("rollout", s.rollout_id), Named("sum", sum));
      *places.at(s.rollout_id) = config.loss().kl_beta() * sum;
      all.estimator += sum;
      all.tokens += static_cast<int64_t>(s.targets.size());
    }
    CHECK(next == log_probs.size(), "[kl] there must be one reference log-prob per token",
          Named("tokens", next), Named("log_probs", log_probs.size()));
  }
  for (const Group& group : groups) {
    if (group.dropped().empty() && PenaltyAlone(group)) ++all.groups_of_penalty_alone;
  }
  return all;
}

}  // namespace grouper
