// Scores batches of items on two sets of workers, so that math items and programs never wait for
// each other. An item whose program is already being judged for another item waits without a
// worker. The queues are bounded: a batch for which there is no room is refused whole. Any thread
// may call any public function. Invariants: (1) Score returns, or throws, only when no worker uses
// its arguments any more; (2) by then its share of the bounds is given back; (3) an item that has
// not been started when the deadline or the cancellation comes is TIMEOUT at once, whatever the
// workers do. The class knows no transport, so the sanitizers can test all of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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

  // scorer outlives the pools. What its graders share between items (GradeBudget.resume) only these
  // pools may use while they live.
  ScoringPools(const Scorer* scorer, const Options& options);
  // No call of Score may be running.
  ~ScoringPools();
  ScoringPools(const ScoringPools&) = delete;
  ScoringPools& operator=(const ScoringPools&) = delete;

  // With kScored, the response holds one result per item, in the items' order; otherwise nothing
  // was done. `rubrics` has the rubric of every item, and the request every shared task. The
  // calling thread asks `cancelled` about every 20 ms.
  End Score(const reward::v1::ScoreBatchRequest& request,
            const std::map<std::string, Rubric>& rubrics,
            std::chrono::steady_clock::time_point deadline, const std::function<bool()>& cancelled,
            reward::v1::ScoreBatchResponse* response);

  // Refuses new batches from now on and waits for the running ones; false if `grace` was too short.
  bool Drain(std::chrono::milliseconds grace);

 private:
  struct Batch;
  struct Job {
    Batch* batch;
    int item;
  };
  // One run of a job. `resumed` comes at any time, also after the batch has ended.
  struct Run {
    Job job;
    bool resumed = false;
  };
  struct Pool {
    std::deque<Job> waiting;
    std::set<std::shared_ptr<Run>> parked;  // until another item's work ends
    std::condition_variable_any changed;
    int items = 0;
    int batches = 0;
  };
  class Stay;

  void StartWorkers(const char* name, int count, Pool* pool);
  void Work(Pool* pool, const std::stop_token& stop);
  void Judge(Pool* pool, const Job& job);
  void Resume(Pool* pool, const std::shared_ptr<Run>& run);
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
