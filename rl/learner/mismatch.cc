#include "rl/learner/mismatch.h"

#include <bit>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "rl/learner/recorded_experts.h"

namespace grouper {
namespace {

// How far rounding may take an entropy below 0 or above log V, in nats.
constexpr double kEntropySlack = 1e-3;

// Keeps where the first difference is and both values.
void Note(MismatchCounts* counts, const TrainSequence& s, int64_t position,
          const std::string& values) {
  if (!counts->first.empty()) return;
  counts->first = "rollout=" + std::to_string(s.rollout_id) +
                  " position=" + std::to_string(position) + " " + values;
}

std::string BitsOf(float x) {
  char text[64];
  std::snprintf(text, sizeof(text), "0x%08x (%.9g)", std::bit_cast<uint32_t>(x),
                static_cast<double>(x));
  return text;
}

// The sampler records the sizes of kept sets only when filters are on; without filters the learner
// reports 0.
void CompareKeptSets(const TrainSequence& s, std::span<const int32_t> kept_sizes,
                     MismatchCounts* counts) {
  const auto& recorded = s.completion->kept_sizes();
  for (size_t i = 0; i < kept_sizes.size(); ++i) {
    const int32_t then = static_cast<int>(i) < recorded.size()
                             ? static_cast<int32_t>(recorded[static_cast<int>(i)])
                             : 0;
    if (then == kept_sizes[i]) continue;
    ++counts->kept_set_mismatch;
    Note(counts, s, s.targets[i],
         "sampler_kept_tokens=" + std::to_string(then) +
             " learner_kept_tokens=" + std::to_string(kept_sizes[i]));
  }
}

}  // namespace

void CompareExperts(const ComputedTokens& computed, MismatchCounts* counts) {
  const TrainSequence& s = *computed.sequence;
  const Activations& acts = *computed.activations;
  int64_t per_token = 0;
  for (const LayerActivations& layer : acts.layers) {
    if (!layer.experts.empty()) per_token += layer.experts.shape[1];
  }
  if (per_token == 0) return;
  const RecordedExperts experts_then(s, per_token);
  for (int64_t i = 0; i < computed.tokens; ++i) {
    const int64_t t = computed.first_token + i;
    int64_t next = 0;
    for (size_t layer = 0; layer < acts.layers.size(); ++layer) {
      const Tensor& experts = acts.layers[layer].experts;
      if (experts.empty()) continue;
      const int64_t k = experts.shape[1];
      for (int64_t slot = 0; slot < k; ++slot) {
        const int32_t now = experts.as<int32_t>()[(computed.first_row + i) * k + slot];
        const int32_t then = experts_then.At(t, next++);
        if (now == then) continue;
        ++counts->expert_mismatch;
        Note(counts, s, t,
             "layer=" + std::to_string(layer) + " slot=" + std::to_string(slot) +
                 " sampler_expert=" + std::to_string(then) +
                 " learner_expert=" + std::to_string(now));
      }
    }
  }
}

void MismatchCounts::Add(const MismatchCounts& more) {
  tokens += more.tokens;
  logprob_mismatch += more.logprob_mismatch;
  expert_mismatch += more.expert_mismatch;
  kept_set_mismatch += more.kept_set_mismatch;
  ratio_not_one += more.ratio_not_one;
  nonfinite += more.nonfinite;
  if (first.empty()) first = more.first;
}

void CompareSequence(const TrainSequence& s, const LearnerTokens& learner, MismatchCounts* counts) {
  CHECK(static_cast<size_t>(s.completion->rollout_log_probs_size()) == learner.log_probs.size(),
        "[mismatch] a completion must have one recorded log-prob per token",
        Named("rollout", s.rollout_id), Named("recorded", s.completion->rollout_log_probs_size()),
        Named("tokens", learner.log_probs.size()));
  const double most_entropy = std::log(static_cast<double>(learner.vocab_size)) + kEntropySlack;
  for (size_t i = 0; i < learner.log_probs.size(); ++i) {
    const float then = s.completion->rollout_log_probs(static_cast<int>(i));
    const float now = learner.log_probs[i];
    const double entropy = static_cast<double>(learner.entropies[i]);
    ++counts->tokens;
    if (!std::isfinite(now) || now > 0) {
      ++counts->nonfinite;
      Note(counts, s, s.targets[i], "log_prob=" + BitsOf(now));
    }
    if (!(entropy >= -kEntropySlack && entropy <= most_entropy)) {
      ++counts->nonfinite;
      Note(counts, s, s.targets[i], "entropy=" + BitsOf(learner.entropies[i]));
    }
    if (std::bit_cast<uint32_t>(then) == std::bit_cast<uint32_t>(now)) continue;
    ++counts->logprob_mismatch;
    if (then != now) ++counts->ratio_not_one;
    Note(counts, s, s.targets[i], "sampler=" + BitsOf(then) + " learner=" + BitsOf(now));
  }
  CompareKeptSets(s, learner.kept_sizes, counts);
}

}  // namespace grouper
