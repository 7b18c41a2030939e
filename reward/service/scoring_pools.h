// Scores batches of items on two sets of workers: math items and program items never wait for each
// other. Bounded: a batch that finds no room is refused whole. Every public function may be called
// by any thread. Invariants: (1) Score returns only when no worker looks at its arguments any more,
// also when it throws; (2) what it took of the bounds is given back by then; (3) an item that was
// not started when the deadline or the cancellation came is TIMEOUT at once, whoever holds the
// workers. Knows no transport, so the sanitizers see all of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/thread.h"
#include "reward/scorer.h"

namespace grouper {

class ScoringPools {
 public:
  struct Options {
    int math_workers = 2;
    int code_workers = 2;
    int queue_items = 65536;  // of one pool, waiting and running
    int batches = 256;        // of one pool
  };
  enum class End { kScored, kFull, kDraining };

  // scorer outlives the pools.
  ScoringPools(const Scorer* scorer, const Options& options);
  // No Score may be running.
  ~ScoringPools();
  ScoringPools(const ScoringPools&) = delete;
  ScoringPools& operator=(const ScoringPools&) = delete;

  // kScored: the response holds one result an item, in the items' order. Otherwise nothing was
  // done. `rubrics` has the rubric of every item. `cancelled` is asked about every 20 ms, by the
  // calling thread.
  End Score(const reward::v1::ScoreBatchRequest& request,
            const std::map<std::string, Rubric>& rubrics,
            std::chrono::steady_clock::time_point deadline, const std::function<bool()>& cancelled,
            reward::v1::ScoreBatchResponse* response);

  // Refuses batches from now on and waits for the running ones; false when `grace` was too short.
  bool Drain(std::chrono::milliseconds grace);

 private:
  struct Batch;
  struct Job {
    Batch* batch;
    int item;
  };
  struct Pool {
    std::deque<Job> waiting;
    std::condition_variable_any changed;
    int items = 0;
    int batches = 0;
  };
  class Stay;

  void StartWorkers(const char* name, int count, Pool* pool);
  void Work(Pool* pool, const std::stop_token& stop);
  void Withdraw(Batch* batch, const char* reason);

  const Scorer* const scorer_;
  const Options options_;
  std::mutex mutex_;  // guards all below and the counts of every batch
  std::condition_variable idle_;
  bool draining_ = false;
  int running_batches_ = 0;
  Pool math_, code_;
  std::vector<NamedThread> workers_;
};

}  // namespace grouper
