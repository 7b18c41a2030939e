#include "reward/service/work_share.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace grouper {

using reward::v1::ScoreResult;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kCallItems = 256;
constexpr size_t kCallBytes = size_t{4} << 20;
// A call is at most this share of what a service would get if all got the same, so that all finish
// at about the same time. Small calls are not worth it.
constexpr size_t kCallsPerService = 4;
constexpr size_t kFewItems = 16;
// A second call keeps the workers busy while the first one waits for its last program. Each may
// take a quarter of the deadline, so half of it is left for a machine that is busy with other work.
constexpr int kCallsAtOnce = 2;
constexpr double kDeadlineShare = 4;
constexpr int kTriesOfAnItem = 2;
constexpr int kLeastTriesWhileDown = 3;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// The time that the items of a call can take on a service's workers.
class WorstCase {
 public:
  explicit WorstCase(const ServiceAbility& ability) : ability_(ability) {}

  void Add(bool is_code, double seconds) {
    Work& work = is_code ? code_ : math_;
    ++work.items;
    work.sum += seconds;
    work.longest = std::max(work.longest, seconds);
  }
  double longest() const { return std::max(math_.longest, code_.longest); }
  double seconds() const {
    return std::max(Of(math_, ability_.math_workers), Of(code_, ability_.code_workers));
  }

 private:
  struct Work {
    int items = 0;
    double sum = 0, longest = 0;
  };
  // Whoever is free takes the next item: no order of them takes longer than this (Graham, 1966).
  static double Of(const Work& work, int workers) {
    if (work.items <= workers) return work.longest;
    return work.sum / workers + work.longest * (1 - 1.0 / workers);
  }
  ServiceAbility ability_;
  Work math_, code_;
};

}  // namespace

WorkShare::WorkShare(const CallItems* items, std::vector<SharedService>* services,
                     const Options& options)
    : items_(*items),
      services_(*services),
      options_(options),
      states_(items->size()),
      results_(items->size()),
      open_(items->size()) {
  for (size_t i = 0; i < items->size(); ++i) queue_.push_back(i);
  for (SharedService& service : services_) {
    service.failures = service.calls = 0;
    service.next_try = {};
  }
}

// The caller must hold the mutex.
void WorkShare::Notify() {
  ++changes_;
  changed_.notify_all();
}

// True if the item should wait for a service other than the one that failed to judge it.
bool WorkShare::LeaveTo(size_t other_than, size_t item) const {
  if (states_[item].failed_at != other_than) return false;
  for (size_t s = 0; s < services_.size(); ++s) {
    if (s != other_than && services_[s].lie.empty() && services_[s].failures == 0) return true;
  }
  return false;
}

// Takes the next items for a call out of the queue, in order: those of one group stand together and
// share a task.
WorkShare::Call WorkShare::Cut(size_t service) {
  const ServiceAbility& ability = *services_[service].ability;
  Call call;
  call.share_tasks = ability.shared_tasks;
  const size_t share = items_.size() / (kCallsPerService * services_.size()) + 1;
  size_t most =
      std::min({kCallItems, static_cast<size_t>(ability.max_items), std::max(share, kFewItems)});
  size_t bytes = items_.rubric_bytes();
  WorstCase worst(ability);
  std::set<size_t> tasks;
  std::deque<size_t> left;
  while (!queue_.empty() && call.items.size() < most) {
    const size_t i = queue_.front();
    if (LeaveTo(service, i)) {
      left.push_back(i);
      queue_.pop_front();
      continue;
    }
    const size_t more = items_.bytes(i, !call.share_tasks || tasks.count(items_.task(i)) == 0);
    WorstCase with = worst;
    with.Add(items_.is_code(i), items_.worst_seconds(i));
    // One item per worker is never too much, because the deadline grows with the longest item.
    const bool fits =
        with.seconds() <= std::max(options_.deadline_seconds / kDeadlineShare, with.longest());
    if (!call.items.empty() &&
        (bytes + more > kCallBytes || !fits || call.items.size() >= states_[i].most_in_call)) {
      break;
    }
    USER_CHECK(bytes + more <= ability.max_bytes, "[reward] an item is too large for a message",
               Named("item_id", Excerpt(items_.item(i).item_id())), Named("bytes", more),
               Named("limit", ability.max_bytes));
    bytes += more;
    worst = with;
    most = std::min(most, states_[i].most_in_call);
    tasks.insert(items_.task(i));
    call.items.push_back(i);
    queue_.pop_front();
  }
  queue_.insert(queue_.begin(), left.begin(), left.end());
  call.deadline_seconds = std::max(options_.deadline_seconds, kDeadlineShare * worst.seconds());
  return call;
}

std::optional<WorkShare::Call> WorkShare::Take(size_t service, const std::stop_token& stop) {
  SharedService& s = services_[service];
  std::unique_lock lock(mutex_);
  while (open_ > 0 && error_ == nullptr && s.lie.empty() && !stop.stop_requested()) {
    const Clock::time_point now = Clock::now();
    Clock::time_point wake = now + std::chrono::hours(1);
    // One call at a time shows whether a service that failed, or is unknown, answers.
    const int most_calls = s.failures > 0 || !s.ability.has_value() ? 1 : kCallsAtOnce;
    if (!queue_.empty() && s.calls < most_calls) {
      if (now >= s.next_try) {
        Call call;
        call.deadline_seconds = options_.deadline_seconds;
        if (s.ability.has_value()) call = Cut(service);
        if (!s.ability.has_value() || !call.items.empty()) {
          ++s.calls;
          return call;
        }
      } else {
        wake = s.next_try;
      }
    }
    const uint64_t seen = changes_;
    changed_.wait_until(lock, stop, wake, [&] { return changes_ != seen; });
  }
  return std::nullopt;
}

void WorkShare::Knows(size_t service, const ServiceAbility& ability) {
  std::lock_guard lock(mutex_);
  --services_[service].calls;
  services_[service].ability = ability;
  Notify();
}

// The caller must hold the mutex. The result that the item has stays if it is not tried again.
void WorkShare::Retry(size_t service, size_t item, size_t call_size, bool late) {
  ItemState& state = states_[item];
  state.failed_at = service;
  if (late && call_size > 1) {
    state.most_in_call = std::min(state.most_in_call, call_size / 2);
  } else if (++state.failures >= kTriesOfAnItem) {
    --open_;
    return;
  }
  queue_.push_back(item);
}

void WorkShare::Answered(size_t service, const Call& call, std::vector<ScoreResult> results) {
  std::lock_guard lock(mutex_);
  SharedService& s = services_[service];
  --s.calls;
  if (!s.lie.empty()) {  // another call has shown meanwhile that it cannot be trusted
    GiveBack(call, Failure::kNoAnswer);
    Notify();
    return;
  }
  s.failures = 0;
  down_since_.reset();
  failures_while_down_ = 0;
  for (size_t k = 0; k < call.items.size(); ++k) {
    const size_t i = call.items[k];
    const ScoreResult::Status status = results[k].status();
    results_[i] = std::move(results[k]);
    if (status == ScoreResult::INTERNAL || status == ScoreResult::TIMEOUT) {
      Retry(service, i, call.items.size(), status == ScoreResult::TIMEOUT);
    } else {
      --open_;
    }
  }
  Notify();
}

// The caller must hold the mutex.
void WorkShare::GiveBack(const Call& call, Failure failure) {
  if (failure == Failure::kNoAnswer) {
    queue_.insert(queue_.begin(), call.items.begin(), call.items.end());
    return;
  }
  // One of the items may be the cause: the others go first, and smaller calls find it.
  for (const size_t i : call.items) {
    states_[i].most_in_call =
        std::min(states_[i].most_in_call, std::max<size_t>(1, call.items.size() / 2));
    queue_.push_back(i);
  }
}

void WorkShare::Failed(size_t service, const Call& call, Failure failure,
                       const std::string& problem) {
  std::lock_guard lock(mutex_);
  SharedService& s = services_[service];
  const Clock::time_point now = Clock::now();
  --s.calls;
  s.ability.reset();  // another program may answer there next time
  GiveBack(call, failure);
  const double base = std::min(options_.most_pause_seconds,
                               options_.first_pause_seconds * (1 << std::min(s.failures, 10)));
  s.next_try = now + Seconds(base * std::uniform_real_distribution<double>(0.5, 1.5)(jitter_));
  if (s.failures++ % 10 == 0) {
    LogWarn("[reward] the run waits for a reward service: " + s.address + ": " + problem);
  }
  const bool down = std::none_of(
      services_.begin(), services_.end(),
      [](const SharedService& other) { return other.lie.empty() && other.failures == 0; });
  if (down) {
    if (!down_since_.has_value()) down_since_ = now;
    ++failures_while_down_;
    const std::chrono::duration<double> waited = now - *down_since_;
    if (waited.count() >= options_.max_wait_seconds &&
        failures_while_down_ >= kLeastTriesWhileDown && error_ == nullptr) {
      const std::string advice =
          failure == Failure::kLate
              ? "no reward service answers before the deadline; raise reward.deadline_seconds or "
                "give the service more workers"
          : failure == Failure::kBroken
              ? "every reward service answers with an error; check its version and its log"
              : "no reward service answers; start `grouper-reward serve` there or correct "
                "reward.addresses";
      error_ = std::make_exception_ptr(
          Error(ErrorKind::kUnavailable, "[reward] " + advice + "; nothing was scored as 0: " +
                                             "problem=" + s.address + ": " + problem));
      given_up_.request_stop();
    } else {
      // The last try comes when the wait is over, not up to a whole pause later.
      s.next_try =
          std::min(s.next_try, std::max(now + Seconds(options_.first_pause_seconds / 2),
                                        *down_since_ + Seconds(options_.max_wait_seconds)));
    }
  }
  Notify();
}

void WorkShare::Distrust(size_t service, const Call& call, const std::string& lie) {
  std::lock_guard lock(mutex_);
  SharedService& s = services_[service];
  --s.calls;
  s.lie = lie;
  GiveBack(call, Failure::kNoAnswer);
  LogError("[reward] " + s.address +
           " is not used any more, because its reply cannot be right: " + lie);
  const bool none = std::none_of(services_.begin(), services_.end(),
                                 [](const SharedService& other) { return other.lie.empty(); });
  if (none && error_ == nullptr) {
    error_ = std::make_exception_ptr(Error(
        ErrorKind::kInternal,
        "[reward] every reward service sent an answer that cannot be right; check its version and "
        "host: service=" +
            s.address + " problem=" + lie));
    given_up_.request_stop();
  }
  Notify();
}

void WorkShare::GiveUp(std::exception_ptr error) {
  std::lock_guard lock(mutex_);
  if (error_ == nullptr) error_ = std::move(error);
  given_up_.request_stop();
  Notify();
}

std::vector<ScoreResult> WorkShare::Finish() {
  std::lock_guard lock(mutex_);
  if (error_ != nullptr) std::rethrow_exception(error_);
  CHECK(open_ == 0, "[reward] items were left without a result", Named("items", open_));
  return std::move(results_);
}

}  // namespace grouper
