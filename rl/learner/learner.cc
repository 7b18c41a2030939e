#include "rl/learner/learner.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/sampling_settings.h"

namespace grouper {
namespace {

// The log-probs that the sampler recorded, in the order of the pass's targets.
std::vector<float> RecordedLogProbs(std::span<const TrainSequence> sequences) {
  std::vector<float> recorded;
  for (const TrainSequence& s : sequences) {
    recorded.insert(recorded.end(), s.completion->rollout_log_probs().begin(),
                    s.completion->rollout_log_probs().end());
  }
  return recorded;
}

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

OptimizerRule RuleOf(const OptimizerConfig& config) {
  return {.beta1 = config.beta1(),
          .beta2 = config.beta2(),
          .eps = config.eps(),
          .weight_decay = config.weight_decay(),
          .max_grad_norm = config.max_grad_norm()};
}

}  // namespace

Learner::Learner(Policy* policy, const Config& config, const Stream& stream)
    : policy_(policy),
      config_(config),
      stream_(stream),
      rule_(RuleOf(config.sampling())),
      optimizer_(&policy->weights()),
      pass_(policy, stream),
      router_stats_(policy->config()) {}

std::vector<Cut> Learner::MicroBatches(std::span<const TrainSequence> sequences) const {
  return CutMicroBatches(sequences, MicroBatchTokens(config_.batch(), policy_->config()));
}

void Learner::CountExperts() {
  for (const ComputedTokens& computed : pass_.computed()) {
    int64_t moe_layer = 0;
    for (const LayerActivations& layer : computed.activations->layers) {
      if (layer.experts.empty()) continue;
      router_stats_.Count(moe_layer++, layer.experts.Rows(computed.first_row, computed.tokens));
    }
  }
}

void Learner::Compare(std::span<const TrainSequence> sequences, MismatchCounts* counts) {
  if (config_.check() == Config::OFF) return;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t begin = pass_.target_offsets()[i], end = pass_.target_offsets()[i + 1];
    const size_t first = static_cast<size_t>(begin), targets = static_cast<size_t>(end - begin);
    CompareSequence(sequences[i],
                    {.log_probs = pass_.log_probs().subspan(first, targets),
                     .entropies = pass_.entropies().subspan(first, targets),
                     .kept_sizes = pass_.kept_sizes().subspan(first, targets),
                     .vocab_size = policy_->config().vocab_size()},
                    counts);
  }
  for (const ComputedTokens& computed : pass_.computed()) CompareExperts(computed, counts);
}

void Learner::StopOnMismatch(const MismatchCounts& check) const {
  if (check.total() == 0 || config_.check() == Config::OFF) return;
  const std::string found = ": tokens_compared=" + std::to_string(check.tokens) +
                            " log_prob_mismatches=" + std::to_string(check.logprob_mismatch) +
                            " expert_mismatches=" + std::to_string(check.expert_mismatch) +
                            " kept_set_mismatches=" + std::to_string(check.kept_set_mismatch) +
                            " not_finite=" + std::to_string(check.nonfinite) +
                            "; the first: " + check.first;
  if (config_.check() == Config::WARN && check.nonfinite == 0) {
    LogWarn("[mismatch] sampler and learner differ, and check is WARN" + found);
    return;
  }
  ThrowInternal(
      "[mismatch] sampler and learner differ, and no weight was changed; run `grouper doctor`, "
      "keep "
      "the run folder and report it" +
      found);
}

double Learner::MoveWeights(const UpdateOptions& options) {
  const double grad_norm = optimizer_.Update(stream_, RuleOf(config_.optimizer()), options.lr);
  if (options.lr > 0 && options.routing == Routing::kLive) {
    router_stats_.MoveBias(config_.optimizer().router_bias_step(), &policy_->weights());
  }
  ++version_;
  return grad_norm;
}

MismatchCounts Learner::Audit(std::span<const TrainSequence> sequences) {
  MismatchCounts counts;
  for (const Cut& cut : MicroBatches(sequences)) {
    const auto micro = sequences.subspan(cut.begin, cut.end - cut.begin);
    pass_.Forward(micro, rule_, false, Routing::kLive, cut.part);
    Compare(micro, &counts);
  }
  StopOnMismatch(counts);
  return counts;
}

void Learner::Accumulate(std::span<const TrainSequence> micro, const std::optional<GroupPart>& part,
                         const PolicyLossRule& rule, const LossDenominators& denominators,
                         const UpdateOptions& options, UpdateResult* result) {
  const std::vector<float> recorded = RecordedLogProbs(micro);
  std::vector<double> advantages, dlog_probs(pass_.log_probs().size()), dentropies;
  for (const TrainSequence& s : micro) {
    advantages.push_back(s.advantage);
    if (config_.loss().entropy() == 0) continue;
    const int64_t n = static_cast<int64_t>(s.targets.size());
    dentropies.insert(dentropies.end(), s.targets.size(),
                      -config_.loss().entropy() * TokenWeight(rule, denominators, n));
  }
  for (size_t t = 0; t < dentropies.size(); ++t) {
    result->loss += dentropies[t] * static_cast<double>(pass_.entropies()[t]);
  }
  PolicyLossArgs args;
  args.offsets = pass_.target_offsets();
  args.log_probs = pass_.log_probs();
  args.old_log_probs = recorded;
  if (options.reference != nullptr) {
    args.ref_log_probs =
        options.reference->LogProbs(micro, rule_, pass_.FindKeptSets(), options.routing, part);
    if (options.reference->version() == version_) {
      for (size_t t = 0; t < args.log_probs.size(); ++t) {
        CHECK(SameBits(args.ref_log_probs[t], args.log_probs[t]),
              "[learner] the reference is this very policy, yet its log-probs differ, and no "
              "weight was "
              "changed; run `grouper doctor`",
              Named("token", t), Named("reference", args.ref_log_probs[t]),
              Named("policy", args.log_probs[t]));
      }
      result->ratios.kl_zero_tokens += static_cast<int64_t>(args.log_probs.size());
    }
  }
  args.advantages = advantages;
  args.denominators = denominators;
  args.rule = rule;
  args.dlog_probs = dlog_probs;
  const PolicyLossResult loss = PolicyLoss(args);
  result->loss += loss.loss;
  result->ratios += RatioStats{.tokens = loss.tokens,
                               .not_one = loss.ratio_not_one,
                               .sum = loss.ratio_sum,
                               .max = loss.ratio_max,
                               .clipped_low = loss.clipped_low,
                               .clipped_high = loss.clipped_high,
                               .clipped_dual = loss.clipped_dual,
                               .k1_sum = loss.k1_sum,
                               .k3_sum = loss.k3_sum};
  pass_.Backward(dlog_probs, dentropies, optimizer_.grad_tensors());
}

// Checks the advantages, counts the tokens of the minibatch by what becomes of them, and finds the
// denominators of the loss.
LossDenominators Learner::CountMinibatch(std::span<const TrainSequence> minibatch, bool on_policy,
                                         UpdateResult* result) const {
  const bool every_token_trains = EveryTokenTrains(config_.loss());
  LossDenominators denominators;
  for (const TrainSequence& s : minibatch) {
    CHECK(std::isfinite(s.advantage),
          "[learner] an advantage is not finite, and no weight was changed",
          Named("rollout", s.rollout_id), Named("advantage", s.advantage));
    const int64_t n = static_cast<int64_t>(s.targets.size());
    if (!on_policy) result->tokens.off_policy += n;
    if (!s.in_loss) {
      (s.masked ? result->tokens.truncated : result->tokens.unscored) += n;
      continue;
    }
    ++denominators.sequences;
    denominators.tokens += n;
    if (!s.signal && !every_token_trains) result->tokens.no_signal += n;
  }
  result->tokens.in_loss = denominators.tokens;
  result->sequences = denominators.sequences;
  return denominators;
}

UpdateResult Learner::Update(std::vector<TrainSequence> minibatch, const UpdateOptions& options) {
  CHECK(config_.loss().aggregation() != LossConfig::CONST || options.length_cap >= 1,
        "[learner] loss.aggregation CONST needs the length cap of the step",
        Named("length_cap", options.length_cap));
  const PolicyLossRule rule = LossRuleOf(config_.loss(), options.length_cap);
  CHECK(!KlInLoss(config_.loss()) || options.reference != nullptr,
        "[learner] loss.kl needs a reference policy");
  UpdateResult result;
  result.lr = options.lr;
  const LossDenominators denominators = CountMinibatch(minibatch, options.on_policy, &result);
  // A KL term or an entropy bonus gives every scored token a gradient.
  const bool every_token_trains = EveryTokenTrains(config_.loss());
  bool any_trains = false;
  for (TrainSequence& s : minibatch) {
    s.trains = s.signal || (s.in_loss && every_token_trains);
    any_trains = any_trains || s.trains;
  }
  PutTrainedFirst(&minibatch);

  optimizer_.ClearGrads();
  router_stats_.Clear();
  double entropy_sum = 0;
  int64_t entropy_tokens = 0;
  for (const Cut& cut : MicroBatches(minibatch)) {
    const auto micro = std::span(minibatch).subspan(cut.begin, cut.end - cut.begin);
    pass_.Forward(micro, rule_, cut.trains, options.routing, cut.part);
    if (options.on_policy) Compare(micro, &result.check);
    CountExperts();
    result.tokens.forwarded += pass_.tokens();
    for (float h : pass_.entropies()) entropy_sum += static_cast<double>(h);
    entropy_tokens += static_cast<int64_t>(pass_.entropies().size());
    if (cut.trains) Accumulate(micro, cut.part, rule, denominators, options, &result);
  }

  StopOnMismatch(result.check);
  CHECK(std::isfinite(result.loss), "[learner] the loss is not finite, and no weight was changed",
        Named("loss", result.loss));
  result.entropy_mean = entropy_tokens > 0 ? entropy_sum / static_cast<double>(entropy_tokens) : 0;
  result.max_violation = router_stats_.MaxViolation();
  result.least_share = router_stats_.LeastShare();
  if (!any_trains) return result;
  CHECK(denominators.tokens > 0, "[learner] an update must have a scored token");
  result.grad_norm = MoveWeights(options);
  result.updated = true;
  return result;
}

Learner::SupervisedResult Learner::UpdateSupervised(std::span<const TrainSequence> sequences,
                                                    double lr) {
  SupervisedResult result;
  for (const TrainSequence& s : sequences) {
    result.targets += static_cast<int64_t>(s.targets.size());
  }
  USER_CHECK(result.targets > 0, "[sft] a batch has no target token; check data.train");
  optimizer_.ClearGrads();
  router_stats_.Clear();
  double sum = 0;
  for (const Cut& cut : MicroBatches(sequences)) {
    const auto micro = sequences.subspan(cut.begin, cut.end - cut.begin);
    pass_.Forward(micro, SamplingRule{}, true, Routing::kLive, cut.part);
    CountExperts();
    result.tokens += pass_.tokens();
    for (float log_prob : pass_.log_probs()) sum -= static_cast<double>(log_prob);
    const std::vector<double> upstream(pass_.log_probs().size(),
                                       -1.0 / static_cast<double>(result.targets));
    pass_.Backward(upstream, {}, optimizer_.grad_tensors());
  }
  result.loss = sum / static_cast<double>(result.targets);
  CHECK(std::isfinite(result.loss), "[sft] the loss is not finite, and no weight was changed",
        Named("loss", result.loss));
  result.max_violation = router_stats_.MaxViolation();
  result.grad_norm = MoveWeights({.lr = lr});
  return result;
}

}  // namespace grouper
