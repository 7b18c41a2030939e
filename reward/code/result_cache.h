// Judgements by content, least recently used out first, with in-flight de-duplication: the same
// program on the same problem runs once, and a borderline time limit gets one answer. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "reward/grader.h"

namespace grouper {

class ResultCache {
 public:
  explicit ResultCache(size_t capacity) : capacity_(capacity) {}
  // The stored judgement (cached = true), or make()'s. A judgement that is not SCORED is never
  // stored: waiters make their own. One whose time is up while another makes it gets TIMEOUT.
  Judgement Get(const std::string& key, const GradeBudget& budget,
                const std::function<Judgement()>& make);

 private:
  struct Entry {
    Judgement judgement;
    std::list<std::string>::iterator place;
  };
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable_any done_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> order_;  // newest first
  std::unordered_set<std::string> running_;
};

}  // namespace grouper
