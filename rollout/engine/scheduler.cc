#include "rollout/engine/scheduler.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/numerics.h"

namespace grouper {

void Scheduler::ReleaseAll(CachedTokens* kv) {
  for (int32_t block : kv->blocks) cache_->Release(block);
  *kv = {};
}

// Takes the blocks that are missing for positions [0, positions): all of them or none.
bool Scheduler::TakeBlocks(CachedTokens* kv, int64_t positions) {
  const int64_t missing = KvCache::BlocksFor(positions) - static_cast<int64_t>(kv->blocks.size());
  if (missing > cache_->free_blocks()) return false;
  for (int64_t i = 0; i < missing; ++i) kv->blocks.push_back(cache_->Take());
  return true;
}

// Frees the prompt of the newest group that holds one. Completions that share its blocks keep them.
bool Scheduler::DropNewestPrefix(const GroupState* except) {
  for (auto it = waiting_.rbegin(); it != waiting_.rend(); ++it) {
    if (*it == except || !(*it)->prefix_started) continue;
    ReleaseAll(&(*it)->prefix);
    (*it)->prefix_started = false;
    return true;
  }
  return false;
}

void Scheduler::Preempt(Sequence* sequence) {
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const auto& owned) { return owned.get() == sequence; });
  ReleaseAll(&sequence->kv);
  preempted_.splice(preempted_.begin(), running_, found);
  ++preemptions_;
}

void Scheduler::GrowRunning(std::vector<WorkItem>* items) {
  int64_t recompute = limits_.prefill_tokens;
  for (auto it = running_.begin(); it != running_.end();) {
    Sequence* sequence = it->get();
    const int64_t length = static_cast<int64_t>(sequence->ids.size());
    while (!TakeBlocks(&sequence->kv, length)) {
      if (DropNewestPrefix(nullptr)) continue;
      Sequence* newest = running_.back().get();
      if (newest == sequence) break;
      Preempt(newest);
    }
    ++it;
    if (static_cast<int64_t>(sequence->kv.blocks.size()) < KvCache::BlocksFor(length)) {
      Preempt(sequence);  // the sequence itself is the newest
      continue;
    }
    // One token when only the newest is missing; more after a preemption, cut to the step's budget.
    const int64_t missing = length - sequence->kv.cached;
    const int64_t count = missing == 1 ? 1 : std::min(missing, recompute);
    if (count == 0) continue;
    if (missing > 1) recompute -= count;
    items->push_back(WorkItem::Decode(sequence, count));
  }
}

void Scheduler::AdmitPreempted() {
  while (!preempted_.empty() && static_cast<int64_t>(running_.size()) < limits_.max_running) {
    Sequence* sequence = preempted_.front().get();
    const int64_t length = static_cast<int64_t>(sequence->ids.size());
    const int64_t blocks = KvCache::BlocksFor(length);
    // Each running completion, and this one, may need a block soon. Without that room the newest
    // would be preempted again, and what it had computed would be thrown away.
    const int64_t reserve = running_.empty() ? 0 : static_cast<int64_t>(running_.size()) + 1;
    while (cache_->free_blocks() < blocks + reserve) {
      // Prompts are dropped only when nothing runs that could end and free blocks.
      if (!running_.empty() || !DropNewestPrefix(nullptr)) return;
    }
    TakeBlocks(&sequence->kv, length);
    running_.splice(running_.end(), preempted_, preempted_.begin());
  }
}

// A completion that shares the full blocks of its prompt and owns a copy of the last, partial one.
std::unique_ptr<Sequence> Scheduler::Fork(GroupState* group) {
  auto sequence = std::make_unique<Sequence>();
  const int64_t cached = group->prefix_tokens();
  const size_t shared = static_cast<size_t>(cached / numerics::kKeyBlock);
  if (!TakeBlocks(&sequence->kv, 1)) return nullptr;
  const int32_t own = sequence->kv.blocks.front();
  sequence->kv.blocks.assign(group->prefix.blocks.begin(),
                             group->prefix.blocks.begin() + static_cast<int64_t>(shared));
  for (int32_t block : sequence->kv.blocks) cache_->Share(block);
  if (cached % numerics::kKeyBlock != 0) cache_->Copy(group->prefix.blocks[shared], own);
  sequence->kv.blocks.push_back(own);
  sequence->kv.cached = cached;
  sequence->group = group;
  sequence->ids = group->prompt_ids;
  sequence->completion = group->group->mutable_completions(group->next_member);
  sequence->rollout_id = sequence->completion->rollout_id();
  return sequence;
}

void Scheduler::AdmitMembers() {
  while (!waiting_.empty() && preempted_.empty()) {
    GroupState* group = waiting_.front();
    if (!group->prefix_ready()) return;
    while (group->next_member < group->group->completions_size()) {
      if (static_cast<int64_t>(running_.size()) >= limits_.max_running) return;
      // A quarter of the running completions may need a block soon.
      const int64_t reserve = static_cast<int64_t>(running_.size()) / 4;
      std::unique_ptr<Sequence> sequence;
      while (sequence == nullptr) {
        if (cache_->free_blocks() > reserve) sequence = Fork(group);
        if (sequence == nullptr && !(running_.empty() && DropNewestPrefix(group))) break;
      }
      if (sequence == nullptr) return;
      running_.push_back(std::move(sequence));
      ++group->next_member;
    }
    ReleaseAll(&group->prefix);
    waiting_.pop_front();
  }
}

void Scheduler::RunPrefixes(std::vector<WorkItem>* items) {
  int64_t budget = limits_.prefill_tokens;
  // Recomputed tokens count too, also when the budget left only one of them.
  for (const WorkItem& item : *items) budget -= item.samples && item.count == 1 ? 0 : item.count;
  int64_t members = static_cast<int64_t>(running_.size());
  for (GroupState* group : waiting_) {
    if (budget <= 0 || members >= limits_.max_running) return;
    members += group->group->completions_size() - group->next_member;
    if (!group->prefix_started) {
      const int64_t blocks = KvCache::BlocksFor(group->prefix_tokens());
      const bool urgent = group == waiting_.front() && running_.empty() && preempted_.empty();
      // A prompt after the first may take only blocks that running completions do not need to grow.
      const int64_t reserve = urgent ? 0 : static_cast<int64_t>(running_.size());
      if (cache_->free_blocks() < blocks + reserve) return;
      TakeBlocks(&group->prefix, group->prefix_tokens());
      group->prefix_started = true;
    }
    const int64_t count = std::min(group->prefix_tokens() - group->prefix.cached, budget);
    if (count == 0) continue;
    budget -= count;
    items->push_back(WorkItem::Prefill(group, count));
  }
}

std::vector<WorkItem> Scheduler::Schedule() {
  std::vector<WorkItem> items;
  // A prompt of one token has nothing to prefill, so admission and prefill may take two rounds.
  for (int round = 0; round < 3 && items.empty() && !idle(); ++round) {
    AdmitPreempted();
    AdmitMembers();
    GrowRunning(&items);
    RunPrefixes(&items);
  }
  CHECK(!items.empty() || idle(), "[rollout] the scheduler found no work although completions wait",
        Named("waiting_groups", waiting_.size()), Named("preempted", preempted_.size()),
        Named("free_blocks", cache_->free_blocks()));
  return items;
}

void Scheduler::Finish(Sequence* sequence) {
  ReleaseAll(&sequence->kv);
  running_.remove_if([&](const auto& owned) { return owned.get() == sequence; });
}

}  // namespace grouper
