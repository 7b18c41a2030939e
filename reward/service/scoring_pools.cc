#include "reward/service/scoring_pools.h"

#include <algorithm>

#include "base/error.h"
#include "base/kill_point.h"
#include "reward/service/shared_task.h"

namespace grouper {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using reward::v1::ScoreResult;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kLook{20};

void TimeOut(ScoreResult* result, const char* reason) {
  result->set_status(ScoreResult::TIMEOUT);
  result->set_reason(reason);
}

}  // namespace

// One batch; it is a local variable of its Score.
struct ScoringPools::Batch {
  const ScoreBatchRequest& request;
  const std::map<std::string, Rubric>& rubrics;
  ScoreBatchResponse* response;
  GradeBudget budget;
  Clock::time_point begin;
  size_t open = 0;                  // items that wait or run
  const char* withdrawn = nullptr;  // why nothing of it is started any more
  std::condition_variable done;
};

// The time of a batch in the pools. However Score ends, afterwards no item of the batch waits or
// runs, and its share of the bounds is given back.
class ScoringPools::Stay {
 public:
  Stay(ScoringPools* pools, Batch* batch, std::stop_source cancel)
      : pools_(*pools), batch_(*batch), cancel_(std::move(cancel)) {}

  // The caller must hold the mutex.
  bool Enter(int math_items, int code_items) {
    const auto fits = [&](const Pool& pool, int items) {
      return items == 0 || (items <= pools_.options_.queue_items - pool.items &&
                            pool.batches < pools_.options_.batches);
    };
    if (!fits(pools_.math_, math_items) || !fits(pools_.code_, code_items)) return false;
    math_items_ = math_items;
    code_items_ = code_items;
    inside_ = true;
    Count(1);
    return true;
  }

  ~Stay() {
    if (!inside_) return;
    std::unique_lock lock(pools_.mutex_);
    if (batch_.open > 0) {  // Score throws: nobody waits for these results
      pools_.Withdraw(&batch_, nullptr);
      lock.unlock();
      cancel_.request_stop();
      lock.lock();
      batch_.done.wait(lock, [&] { return batch_.open == 0; });
    }
    Count(-1);
    pools_.idle_.notify_all();
  }

 private:
  void Count(int sign) {
    pools_.running_batches_ += sign;
    pools_.math_.items += sign * math_items_;
    pools_.code_.items += sign * code_items_;
    pools_.math_.batches += math_items_ > 0 ? sign : 0;
    pools_.code_.batches += code_items_ > 0 ? sign : 0;
  }

  ScoringPools& pools_;
  Batch& batch_;
  std::stop_source cancel_;
  bool inside_ = false;
  int math_items_ = 0, code_items_ = 0;
};

ScoringPools::ScoringPools(const Scorer* scorer, const Options& options)
    : scorer_(scorer), options_(options) {
  CHECK(options.math_workers > 0 && options.code_workers > 0 && options.queue_items > 0 &&
            options.batches > 0,
        "[reward] workers and bounds must be above 0");
  StartWorkers("math", options.math_workers, &math_);
  StartWorkers("code", options.code_workers, &code_);
}

ScoringPools::~ScoringPools() {
  for (NamedThread& worker : workers_) worker.RequestStop();
}

void ScoringPools::StartWorkers(const char* name, int count, Pool* pool) {
  for (int i = 0; i < count; ++i)
    workers_.emplace_back(name, [this, pool](const std::stop_token& stop) { Work(pool, stop); });
}

void ScoringPools::Work(Pool* pool, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (pool->changed.wait(lock, stop, [&] { return !pool->waiting.empty(); })) {
    const Job job = pool->waiting.front();
    pool->waiting.pop_front();
    lock.unlock();
    Judge(pool, job);
    lock.lock();
  }
}

void ScoringPools::Judge(Pool* pool, const Job& job) {
  Batch& batch = *job.batch;
  const reward::v1::ScoreItem& item = batch.request.items(job.item);
  const auto run = std::make_shared<Run>(Run{job});
  GradeBudget budget = batch.budget;
  budget.resume = [this, pool, run] { Resume(pool, run); };
  ScoreResult result;
  bool scored = false;
  const double queued = std::chrono::duration<double>(Clock::now() - batch.begin).count();
  try {
    const Rubric& rubric = batch.rubrics.at(item.rubric());
    result = item.has_shared_task()
                 ? scorer_->Score(WithOwnTask(batch.request, item), rubric, budget)
                 : scorer_->Score(item, rubric, budget);
    result.mutable_timings()->set_queue_seconds(queued);
    scored = true;
    if (result.status() != ScoreResult::STATUS_UNSPECIFIED) KILL_POINT("score.item_scored");
  } catch (const std::exception&) {
    // The result stays INTERNAL, as it was made.
  }
  std::lock_guard lock(mutex_);
  if (scored && result.status() == ScoreResult::STATUS_UNSPECIFIED) {
    if (batch.withdrawn != nullptr) {
      TimeOut(batch.response->mutable_results(job.item), batch.withdrawn);
    } else if (run->resumed) {
      pool->waiting.push_front(job);
      pool->changed.notify_one();
      return;
    } else {
      pool->parked.insert(run);
      return;
    }
  } else if (scored) {
    batch.response->mutable_results(job.item)->Swap(&result);
  }
  // This happens under the lock, because the batch may be gone once its Score sees that nothing is
  // open.
  if (--batch.open == 0) batch.done.notify_all();
}

void ScoringPools::Resume(Pool* pool, const std::shared_ptr<Run>& run) {
  std::lock_guard lock(mutex_);
  run->resumed = true;
  if (pool->parked.erase(run) == 0) return;  // it still runs, or its batch has ended
  pool->waiting.push_front(run->job);
  pool->changed.notify_one();
}

// The caller must hold the mutex. Without a reason the results stay as they are, so nothing can
// throw.
void ScoringPools::Withdraw(Batch* batch, const char* reason) {
  batch->withdrawn = reason != nullptr ? reason : "cancelled";
  const auto ours = [&](const Job& job) {
    if (job.batch != batch) return false;
    --batch->open;
    if (reason != nullptr) TimeOut(batch->response->mutable_results(job.item), reason);
    return true;
  };
  for (Pool* pool : {&math_, &code_}) {
    std::deque<Job>& waiting = pool->waiting;
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(), ours), waiting.end());
    std::erase_if(pool->parked, [&](const std::shared_ptr<Run>& run) { return ours(run->job); });
  }
}

ScoringPools::End ScoringPools::Score(const ScoreBatchRequest& request,
                                      const std::map<std::string, Rubric>& rubrics,
                                      Clock::time_point deadline,
                                      const std::function<bool()>& cancelled,
                                      ScoreBatchResponse* response) {
  int code_items = 0;
  response->clear_results();
  for (const reward::v1::ScoreItem& item : request.items()) {
    code_items += IsCode(request, item) ? 1 : 0;
    ScoreResult* result = response->add_results();
    result->set_item_id(item.item_id());
    result->set_status(ScoreResult::INTERNAL);
    result->set_reason("not_scored");
    result->set_grader_version(kGraderVersion);
  }
  std::stop_source cancel;
  Batch batch{.request = request,
              .rubrics = rubrics,
              .response = response,
              .budget = {deadline, cancel.get_token()},
              .begin = Clock::now(),
              .done = {}};
  // Declared before the lock, because its destructor takes the mutex after the lock has released
  // it.
  Stay stay(this, &batch, cancel);
  std::unique_lock lock(mutex_);
  if (draining_ || !stay.Enter(request.items_size() - code_items, code_items)) {
    response->clear_results();
    return draining_ ? End::kDraining : End::kFull;
  }
  for (int i = 0; i < request.items_size(); ++i) {
    Pool& pool = IsCode(request, request.items(i)) ? code_ : math_;
    pool.waiting.push_back({&batch, i});
    ++batch.open;
    pool.changed.notify_one();
  }
  while (!batch.done.wait_until(lock, std::min(deadline, Clock::now() + kLook),
                                [&] { return batch.open == 0; })) {
    lock.unlock();
    const bool gone = cancelled();
    const bool late = Clock::now() >= deadline;
    // Running items are told to stop; those that finish nevertheless keep their results.
    if (gone || late) cancel.request_stop();
    lock.lock();
    if (gone || late) {
      Withdraw(&batch, gone ? "cancelled" : "deadline");
      batch.done.wait(lock, [&] { return batch.open == 0; });
      break;
    }
  }
  return End::kScored;
}

bool ScoringPools::Drain(std::chrono::milliseconds grace) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  return idle_.wait_for(lock, grace, [&] { return running_batches_ == 0; });
}

}  // namespace grouper
