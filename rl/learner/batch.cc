#include "rl/learner/batch.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "policy/memory/kv_cache.h"
#include "policy/memory/token_cut.h"

namespace grouper {

void SortCanonically(std::vector<TrainSequence>* sequences) {
  const auto key = [](const TrainSequence& s) {
    const bool grouped = s.group != nullptr && s.group->completions_size() > 0;
    return std::tuple(grouped ? s.group->prompt().ids_size() : 0,
                      grouped ? s.group->completions(0).rollout_id() : 0, s.ids.size(),
                      s.rollout_id);
  };
  std::sort(sequences->begin(), sequences->end(),
            [&](const TrainSequence& a, const TrainSequence& b) { return key(a) < key(b); });
}

size_t FamilySize(std::span<const TrainSequence> sequences) {
  const TrainSequence& first = sequences.front();
  size_t size = 1;
  while (size < sequences.size() && first.shared_tokens > 0 &&
         sequences[size].group == first.group) {
    CHECK(sequences[size].shared_tokens == first.shared_tokens,
          "[batch] sequences of one group must share the same tokens",
          Named("rollout", sequences[size].rollout_id));
    ++size;
  }
  return size;
}

void PutTrainedFirst(std::vector<TrainSequence>* sequences) {
  const auto trains = [](const TrainSequence& s) { return s.trains; };
  std::vector<TrainSequence> first, rest;
  for (auto begin = sequences->begin(); begin != sequences->end();) {
    const auto end = begin + static_cast<std::ptrdiff_t>(FamilySize({begin, sequences->end()}));
    std::vector<TrainSequence>& to = std::any_of(begin, end, trains) ? first : rest;
    std::stable_partition(begin, end, trains);
    to.insert(to.end(), std::make_move_iterator(begin), std::make_move_iterator(end));
    begin = end;
  }
  first.insert(first.end(), std::make_move_iterator(rest.begin()),
               std::make_move_iterator(rest.end()));
  *sequences = std::move(first);
}

TrainSequence SequenceOf(const Group& group, int i) {
  const Completion& completion = group.completions(i);
  TrainSequence s;
  s.rollout_id = completion.rollout_id();
  s.ids.assign(group.prompt().ids().begin(), group.prompt().ids().end());
  const int32_t prompt = static_cast<int32_t>(s.ids.size());
  s.ids.insert(s.ids.end(), completion.ids().begin(), completion.ids().end());
  for (int32_t t = prompt; t < static_cast<int32_t>(s.ids.size()); ++t) s.targets.push_back(t);
  s.shared_tokens = std::max(0, prompt - 1);
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

namespace {

// Divides the group [begin, end) into parts.
void CutGroup(std::span<const TrainSequence> sequences, size_t begin, size_t end,
              int64_t max_tokens, std::vector<Cut>* cuts) {
  const size_t first_cut = cuts->size();
  const int64_t shared = sequences[begin].shared_tokens;
  const int64_t shared_blocks = shared / numerics::kKeyBlock;
  int64_t tokens = 0, blocks = 0, most_blocks = 0;
  size_t last_trained = first_cut;
  for (size_t i = begin; i < end; ++i) {
    const TrainSequence& s = sequences[i];
    const bool opens = i == begin;
    if (opens || cuts->back().trains != s.trains || tokens + s.own_tokens() > max_tokens) {
      cuts->push_back({i, i, s.trains, GroupPart{.opens = opens}});
      if (s.trains) last_trained = cuts->size() - 1;
      tokens = blocks = 0;
    }
    cuts->back().end = i + 1;
    tokens += s.own_tokens();
    blocks += KvCache::BlocksFor(s.input_tokens()) - shared_blocks;
    most_blocks = std::max(most_blocks, blocks);
  }
  if (sequences[begin].trains) (*cuts)[last_trained].part->ends = true;
  for (size_t i = first_cut; i < cuts->size(); ++i) {
    (*cuts)[i].part->blocks = KvCache::BlocksFor(shared) + most_blocks;
  }
}

}  // namespace

std::vector<Cut> CutMicroBatches(std::span<const TrainSequence> sequences, int64_t max_tokens) {
  std::vector<Cut> cuts;
  int64_t tokens = 0;  // of the last cut, if it can take more groups
  for (size_t begin = 0, end = 0; begin < sequences.size(); begin = end) {
    const std::span<const TrainSequence> rest = sequences.subspan(begin);
    const TrainSequence& first = rest.front();
    end = begin + FamilySize(rest);
    int64_t more = first.shared_tokens;
    bool uniform = true;
    for (size_t i = begin; i < end; ++i) {
      more += sequences[i].own_tokens();
      uniform = uniform && sequences[i].trains == first.trains;
    }
    if (first.shared_tokens > 0 && (more > max_tokens || !uniform)) {
      CutGroup(sequences, begin, end, max_tokens, &cuts);
      continue;
    }
    if (cuts.empty() || cuts.back().part || cuts.back().trains != first.trains ||
        tokens + more > max_tokens) {
      cuts.push_back({begin, begin, first.trains, {}});
      tokens = 0;
    }
    tokens += more;
    cuts.back().end = end;
  }
  return cuts;
}

}  // namespace grouper
