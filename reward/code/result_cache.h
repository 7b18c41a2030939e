// Keeps judgements by content and drops the least recently used first. The same program on the same
// problem runs only once, even if it is asked for twice at the same time, so a borderline time
// limit gets one answer. Thread-safe.
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
  // Returns the stored judgement (with cached = true), or that of make(). A judgement that is not
  // SCORED is never stored, so those who wait for it make their own. A caller whose time ends while
  // another one makes the judgement gets TIMEOUT.
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
