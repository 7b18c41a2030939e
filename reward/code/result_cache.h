// Keeps judgements by content, up to a number of bytes, and drops the least recently used first.
// The same program on the same problem runs only once, even if it is asked for twice at the same
// time, so a borderline time limit gets one answer. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "reward/grader.h"

namespace grouper {

class ResultCache {
 public:
  explicit ResultCache(size_t most_bytes) : most_bytes_(most_bytes) {}
  // Returns the stored judgement (with cached = true), or that of make(). A judgement that is not
  // SCORED is never stored, so those who wait for it make their own. If another caller makes the
  // judgement: with budget.resume the status is STATUS_UNSPECIFIED at once (see GradeBudget);
  // without it this call waits, and gets TIMEOUT when its time ends.
  Judgement Get(const std::string& key, const GradeBudget& budget,
                const std::function<Judgement()>& make);

  size_t bytes();

 private:
  struct Entry {
    Judgement judgement;
    size_t bytes;
    std::list<std::string>::iterator place;
  };
  void Store(const std::string& key, const Judgement& judgement);
  std::vector<std::function<void()>> EndRunning(const std::string& key);

  const size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable_any done_;
  std::unordered_map<std::string, Entry> entries_;
  size_t bytes_ = 0;              // of all entries
  std::list<std::string> order_;  // newest first
  // What is being made, and whom to tell when it ends.
  std::unordered_map<std::string, std::vector<std::function<void()>>> running_;
};

}  // namespace grouper
