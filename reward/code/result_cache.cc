#include "reward/code/result_cache.h"

#include <algorithm>
#include <chrono>

namespace grouper {

Judgement ResultCache::Get(const std::string& key, const GradeBudget& budget,
                           const std::function<Judgement()>& make) {
  {
    std::unique_lock lock(mutex_);
    const auto free = [&] { return entries_.count(key) != 0 || running_.count(key) == 0; };
    // Far deadlines overflow a timed wait on some clocks.
    const auto until =
        std::min(budget.deadline, std::chrono::steady_clock::now() + std::chrono::hours(24));
    if (!done_.wait_until(lock, budget.stop, until, free)) {
      Judgement late;
      late.status = reward::v1::ScoreResult::TIMEOUT;
      late.verdict = reward::v1::ScoreResult::VERDICT_UNSPECIFIED;
      late.reason = "deadline";
      return late;
    }
    if (const auto found = entries_.find(key); found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second.place);
      Judgement judgement = found->second.judgement;
      judgement.cached = true;
      return judgement;
    }
    running_.insert(key);
  }
  Judgement judgement;
  try {
    judgement = make();
  } catch (...) {
    std::lock_guard lock(mutex_);
    running_.erase(key);
    done_.notify_all();
    throw;
  }
  std::lock_guard lock(mutex_);
  running_.erase(key);
  if (judgement.status == reward::v1::ScoreResult::SCORED) {
    order_.push_front(key);
    entries_[key] = {judgement, order_.begin()};
    while (entries_.size() > capacity_) {
      entries_.erase(order_.back());
      order_.pop_back();
    }
  }
  done_.notify_all();
  return judgement;
}

}  // namespace grouper
