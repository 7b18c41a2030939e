// Joins the frames of completions to their group. A group's frame follows those of its completions
// and names them by rollout id only. Not thread-safe.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

class CompletionJoin {
 public:
  // Keeps the completion until its group comes. Completions of an earlier step are dropped, so that
  // a step that was abandoned costs no memory.
  void Add(CompletionRecord* record);
  // Gives the group's members their arrays. Returns the indices, ascending, of the members whose
  // own frame was not seen; these stay as they are.
  std::vector<int> Join(Group* group);

 private:
  int64_t step_ = 0;
  std::unordered_map<uint64_t, Completion> waiting_;  // by rollout id
};

}  // namespace grouper
