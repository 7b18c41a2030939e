#include "trace/store/completion_join.h"

#include <utility>

namespace grouper {

void CompletionJoin::Add(CompletionRecord* record) {
  if (record->step() != step_) waiting_.clear();
  step_ = record->step();
  waiting_[record->completion().rollout_id()] = std::move(*record->mutable_completion());
}

std::vector<int> CompletionJoin::Join(Group* group) {
  std::vector<int> missing;
  for (int i = 0; i < group->completions_size(); ++i) {
    const auto found = waiting_.find(group->completions(i).rollout_id());
    if (found == waiting_.end()) {
      missing.push_back(i);
      continue;
    }
    *group->mutable_completions(i) = std::move(found->second);
    waiting_.erase(found);
  }
  return missing;
}

}  // namespace grouper
