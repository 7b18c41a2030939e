#include "rl/learner/batch.h"

#include <algorithm>

#include "base/error.h"
#include "policy/memory/token_cut.h"

namespace grouper {

void SortCanonically(std::vector<TrainSequence>* sequences) {
  std::sort(sequences->begin(), sequences->end(),
            [](const TrainSequence& a, const TrainSequence& b) {
              if (a.ids.size() != b.ids.size()) return a.ids.size() < b.ids.size();
              return a.rollout_id < b.rollout_id;
            });
}

TrainSequence SequenceOf(const Group& group, int i) {
  const Completion& completion = group.completions(i);
  TrainSequence s;
  s.rollout_id = completion.rollout_id();
  s.ids.assign(group.prompt().ids().begin(), group.prompt().ids().end());
  const int32_t prompt = static_cast<int32_t>(s.ids.size());
  s.ids.insert(s.ids.end(), completion.ids().begin(), completion.ids().end());
  for (int32_t t = prompt; t < static_cast<int32_t>(s.ids.size()); ++t) s.targets.push_back(t);
  s.group = &group;
  s.completion = &completion;
  return s;
}

std::vector<TrainSequence> SequencesOf(std::span<const Group> groups,
                                       LossConfig::Truncated truncated) {
  std::vector<TrainSequence> sequences;
  for (const Group& group : groups) {
    if (!group.dropped().empty()) continue;
    CHECK(group.advantages_size() == group.completions_size(),
          "[batch] a group without advantages cannot be packed",
          Named("prompt", group.prompt().ordinal()));
    for (int i = 0; i < group.completions_size(); ++i) {
      const Completion& completion = group.completions(i);
      if (completion.ids_size() == 0) continue;
      TrainSequence s = SequenceOf(group, i);
      s.advantage = group.advantages(i);
      const bool scored = group.scores(i).status() == reward::v1::ScoreResult::SCORED;
      s.masked = scored && truncated == LossConfig::MASK &&
                 completion.finish_reason() == Completion::LENGTH;
      s.in_loss = scored && !s.masked;
      s.signal = s.in_loss && s.advantage != 0;
      sequences.push_back(std::move(s));
    }
  }
  SortCanonically(&sequences);
  return sequences;
}

int64_t MicroBatchTokens(const BatchConfig& batch, const PolicyConfig& policy) {
  return std::min(batch.max_tokens_per_micro_batch(), TokensPerCut(policy));
}

std::vector<Cut> CutMicroBatches(std::span<const TrainSequence> sequences, int64_t max_tokens) {
  std::vector<Cut> cuts;
  int64_t tokens = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t more = sequences[i].input_tokens();
    if (cuts.empty() || tokens + more > max_tokens) {
      cuts.push_back({i, i});
      tokens = 0;
    }
    tokens += more;
    cuts.back().end = i + 1;
  }
  return cuts;
}

}  // namespace grouper
