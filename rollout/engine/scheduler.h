// Decides which tokens run in the next engine step: continuous batching over a fixed block budget.
// Prompts start in order of issue; a completion is admitted when its prompt is in the cache; when
// blocks run out, idle prompts are dropped newest first, then the newest completion is preempted
// and later recomputed, when there is room for it and for what the running ones need next. None of
// this changes a bit of any result (docs/numerics.md 14). One thread.
// Invariants: (1) the oldest running completion is never preempted, so every round makes progress;
// (2) a block that two owners share is never written; (3) blocks are released when their owner
// ends.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "policy/memory/kv_cache.h"
#include "rollout/engine/sequence.h"

namespace grouper {

struct SchedulerLimits {
  int64_t max_running = 256;
  int64_t prefill_tokens = 1024;  // prompt and recomputed tokens of one step
};

class Scheduler {
 public:
  Scheduler(KvCache* cache, SchedulerLimits limits) : cache_(cache), limits_(limits) {}

  void AddGroup(GroupState* group) { waiting_.push_back(group); }
  bool idle() const { return waiting_.empty() && running_.empty() && preempted_.empty(); }
  // The work of the next step, for which blocks are already taken. Empty only when idle().
  std::vector<WorkItem> Schedule();
  // Frees the blocks of a completion that has ended.
  void Finish(Sequence* sequence);
  int64_t preemptions() const { return preemptions_; }

 private:
  void GrowRunning(std::vector<WorkItem>* items);
  void AdmitPreempted();
  void AdmitMembers();
  void RunPrefixes(std::vector<WorkItem>* items);
  bool TakeBlocks(CachedTokens* kv, int64_t positions);
  bool DropNewestPrefix(const GroupState* except);
  void Preempt(Sequence* sequence);
  void ReleaseAll(CachedTokens* kv);
  std::unique_ptr<Sequence> Fork(GroupState* group);

  KvCache* cache_;
  SchedulerLimits limits_;
  std::deque<GroupState*> waiting_;                 // groups with members to admit
  std::list<std::unique_ptr<Sequence>> running_;    // oldest first
  std::list<std::unique_ptr<Sequence>> preempted_;  // oldest first
  int64_t preemptions_ = 0;
};

}  // namespace grouper
