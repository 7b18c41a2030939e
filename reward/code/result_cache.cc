#include "reward/code/result_cache.h"

#include <algorithm>
#include <chrono>

namespace grouper {
namespace {

// Maps, lists and allocations of one entry, estimated from above.
constexpr size_t kEntryBytes = 512;
constexpr size_t kTestBytes = 96;

size_t BytesOf(const std::string& key, const Judgement& judgement) {
  size_t bytes =
      kEntryBytes + 2 * key.size() + judgement.reason.size() + judgement.extraction.ByteSizeLong();
  for (const reward::v1::TestVerdict& test : judgement.tests)
    bytes += kTestBytes + test.verdict().size() + test.detail().size();
  for (const std::string& flag : judgement.flags) bytes += sizeof(flag) + flag.size();
  return bytes;
}

Judgement Unjudged(reward::v1::ScoreResult::Status status, const char* reason) {
  Judgement j;
  j.status = status;
  j.verdict = reward::v1::ScoreResult::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

}  // namespace

size_t ResultCache::bytes() {
  std::lock_guard lock(mutex_);
  return bytes_;
}

// The caller must hold the mutex.
void ResultCache::Store(const std::string& key, const Judgement& judgement) {
  const size_t bytes = BytesOf(key, judgement);
  if (bytes > most_bytes_) return;
  order_.push_front(key);
  entries_[key] = {judgement, bytes, order_.begin()};
  bytes_ += bytes;
  while (bytes_ > most_bytes_) {
    const auto oldest = entries_.find(order_.back());
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
    order_.pop_back();
  }
}

// The caller must hold the mutex, and call the functions without it.
std::vector<std::function<void()>> ResultCache::EndRunning(const std::string& key) {
  std::vector<std::function<void()>> waiting = std::move(running_.at(key));
  running_.erase(key);
  done_.notify_all();
  return waiting;
}

Judgement ResultCache::Get(const std::string& key, const GradeBudget& budget,
                           const std::function<Judgement()>& make) {
  {
    std::unique_lock lock(mutex_);
    const auto other = running_.find(key);
    if (other != running_.end() && budget.resume) {
      other->second.push_back(budget.resume);
      return Unjudged(reward::v1::ScoreResult::STATUS_UNSPECIFIED, "in_progress");
    }
    const auto free = [&] { return entries_.count(key) != 0 || running_.count(key) == 0; };
    // Far deadlines overflow a timed wait on some clocks.
    const auto until =
        std::min(budget.deadline, std::chrono::steady_clock::now() + std::chrono::hours(24));
    if (!done_.wait_until(lock, budget.stop, until, free))
      return Unjudged(reward::v1::ScoreResult::TIMEOUT, "deadline");
    if (const auto found = entries_.find(key); found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second.place);
      Judgement judgement = found->second.judgement;
      judgement.cached = true;
      return judgement;
    }
    running_[key];
  }
  Judgement judgement;
  std::exception_ptr failure;
  try {
    judgement = make();
  } catch (...) {
    failure = std::current_exception();
  }
  std::vector<std::function<void()>> waiting;
  {
    std::lock_guard lock(mutex_);
    if (failure == nullptr && judgement.status == reward::v1::ScoreResult::SCORED)
      Store(key, judgement);
    waiting = EndRunning(key);
  }
  for (const std::function<void()>& resume : waiting) resume();
  if (failure != nullptr) std::rethrow_exception(failure);
  return judgement;
}

}  // namespace grouper
