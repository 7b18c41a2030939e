// Shares the items of one RewardClient::Score among reward services. Whoever is free takes a call
// of items; what a service fails to judge goes back for another one. The class decides what goes
// into a call, when a service that failed is asked again, and when to give up. It knows no
// transport. Thread-safe.
//
// No verdict depends on the speed of a machine: a call is cut so that its worst case fits a quarter
// of its deadline, and items for which a service had no time come back in smaller calls, until one
// had a deadline for itself alone, twice.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "reward/service/call_items.h"

namespace grouper {

// One service as the client knows it. A WorkShare guards it while it lives.
struct SharedService {
  std::string address;
  std::string lie;  // not empty: its replies cannot be right, so it is not used any more
  std::optional<ServiceAbility> ability;  // empty: it must be asked first
  int failures = 0;                       // since its last answer
  int calls = 0;                          // in progress
  std::chrono::steady_clock::time_point next_try = {};
};

class WorkShare {
 public:
  struct Options {
    double deadline_seconds = 60;
    double max_wait_seconds = 60;
    double first_pause_seconds = 0.1;  // of a service that failed; doubles up to the next
    double most_pause_seconds = 2;
  };
  struct Call {
    std::vector<size_t> items;  // empty: ask the service what it can do
    double deadline_seconds = 0;
    bool share_tasks = false;
  };
  enum class Failure {
    kNoAnswer,  // the service is down, full, or ends
    kLate,      // the deadline passed
    kBroken,    // the service answers with an error
  };

  // The items and the services must outlive this object.
  WorkShare(const CallItems* items, std::vector<SharedService>* services, const Options& options);

  // Waits until there is something to do for the service. Empty when nothing will be: all items
  // have results, the work was given up, the service is not trusted, or a stop was requested. Each
  // call that was taken must be handed to exactly one of the functions below.
  std::optional<Call> Take(size_t service, const std::stop_token& stop);
  void Knows(size_t service, const ServiceAbility& ability);
  // One result per item, in the order of the call.
  void Answered(size_t service, const Call& call, std::vector<reward::v1::ScoreResult> results);
  // The items go back. Gives up with kUnavailable when no service has answered for
  // max_wait_seconds, after three tries at least.
  void Failed(size_t service, const Call& call, Failure failure, const std::string& problem);
  // The items go back, and the service is not used any more. Gives up with kInternal when it was
  // the last one.
  void Distrust(size_t service, const Call& call, const std::string& lie);
  // Gives up with the error, unless another one came first.
  void GiveUp(std::exception_ptr error);
  // Requested when the work has been given up, so that calls in progress can be cancelled.
  std::stop_token given_up() const { return given_up_.get_token(); }

  // The results in the items' order, or the error. No call may be in progress.
  std::vector<reward::v1::ScoreResult> Finish();

 private:
  struct ItemState {
    int failures = 0;
    size_t most_in_call = CallItems::kNoTask;
    size_t failed_at = CallItems::kNoTask;  // the service that failed to judge it
  };
  Call Cut(size_t service);
  bool LeaveTo(size_t other_than, size_t item) const;
  void GiveBack(const Call& call, Failure failure);
  void Retry(size_t service, size_t item, size_t call_size, bool late);
  void Notify();

  const CallItems& items_;
  std::vector<SharedService>& services_;
  const Options options_;
  std::stop_source given_up_;
  std::mutex mutex_;  // guards all below, and the services
  std::condition_variable_any changed_;
  uint64_t changes_ = 0;
  std::deque<size_t> queue_;
  std::vector<ItemState> states_;
  std::vector<reward::v1::ScoreResult> results_;
  size_t open_;  // items without a final result
  std::exception_ptr error_;
  // While every service that is trusted fails:
  std::optional<std::chrono::steady_clock::time_point> down_since_;
  int failures_while_down_ = 0;
  std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace grouper
