// Small policies and fake scores for tests above the kernels.
#pragma once

#include <string>
#include <vector>

#include "policy/policy.h"
#include "proto/config.pb.h"
#include "proto/textproto.h"
#include "proto/trace.pb.h"
#include "rl/algorithm/advantage.h"

namespace grouper::testing {

inline PolicyConfig ParsePolicy(const std::string& text) {
  PolicyConfig config;
  MergeTextproto(text, "test policy", &config);
  return config;
}

// Shapes that between them reach every switch.
inline std::vector<std::pair<std::string, PolicyConfig>> PolicyShapes(int64_t vocab) {
  const std::string v = "vocab_size: " + std::to_string(vocab) + " max_positions: 256 width: 24 ";
  const std::string attention = "attention { heads: 4 kv_heads: 2 head_dim: 8 } ";
  return {
      {"dense", ParsePolicy(v + attention + "layers: 2 dense_width: 40 moe { experts: 0 }")},
      {"sigmoid moe with bias",
       ParsePolicy(v + attention + "layers: 2 moe { experts: 4 width: 16 shared_width: 16 }")},
      {"softmax moe, groups, dense first layer, no shared expert",
       ParsePolicy(
           v + attention +
           "layers: 3 dense_layers: 1 dense_width: 32 moe { experts: 8 experts_per_token: 3 "
           "width: 8 shared_width: 0 score: SOFTMAX choice_bias: false groups: 4 "
           "top_groups: 2 group_score: MAX renormalize: false scale: 2.5 }")},
      {"multi-head, wide head",
       ParsePolicy(v + "attention { heads: 3 kv_heads: 3 head_dim: 18 } layers: 1 moe { experts: 3 "
                       "experts_per_token: 1 width: 20 shared_width: 7 }")},
      {"tied head", ParsePolicy(v + attention +
                                "layers: 2 dense_layers: 1 dense_width: 40 tied_head: true "
                                "moe { experts: 4 width: 16 shared_width: 16 }")},
  };
}

// Prompts of the lengths given with ids spread over the vocabulary.
inline std::vector<Prompt> MakePrompts(const std::vector<int>& lengths, int64_t vocab) {
  std::vector<Prompt> prompts(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    prompts[i].set_ordinal(i + 3);
    for (int t = 0; t < lengths[i]; ++t) {
      prompts[i].add_ids(static_cast<uint32_t>((7 + 13 * t + 5 * static_cast<int>(i)) % vocab));
    }
  }
  return prompts;
}

// Every completion SCORED with a reward that differs inside a group; advantages assigned.
inline void ScoreByIndex(std::vector<Group>* groups, const AdvantageConfig& config = {}) {
  for (Group& group : *groups) {
    group.clear_scores();
    for (int i = 0; i < group.completions_size(); ++i) {
      auto* score = group.add_scores();
      score->set_item_id(std::to_string(group.completions(i).rollout_id()));
      score->set_status(reward::v1::ScoreResult::SCORED);
      score->set_verdict(i % 3 == 0 ? reward::v1::ScoreResult::CORRECT
                                    : reward::v1::ScoreResult::WRONG);
      score->set_reward(i % 3 == 0 ? 1 : 0);
    }
    AssignAdvantages(config, &group);
  }
}

}  // namespace grouper::testing
