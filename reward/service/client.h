// The client of reward services. All services work at the same time: each takes calls of items as
// long as there are some, and what one fails to judge goes to another. It trusts no reply: the
// count, ids, statuses and ranges of each are checked, and a bad reply is rejected whole and its
// service not used any more. Only one thread may use a client.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/reward.pb.h"

namespace grouper {

struct RewardClientOptions {
  double deadline_seconds = 60;      // of one call; longer if a single program may take longer
  double max_wait_seconds = 60;      // while no service answers
  double first_pause_seconds = 0.1;  // of a service that failed; doubles up to 2 s
  double keepalive_seconds = 20;     // a peer that is gone is noticed after 1.5 times this
  // Called by the client's threads, one at a time or several at once, when a call has failed and
  // before the service is asked again. What it throws ends the scoring.
  std::function<void()> on_failure = {};
};

class RewardClient {
 public:
  // addresses: at least one host:port.
  RewardClient(std::vector<std::string> addresses, const RewardClientOptions& options);
  ~RewardClient();

  // Returns one result per item, in the items' order, whoever judged it. Items that come back
  // INTERNAL are tried once more, by another service if there is one; so are items that come back
  // TIMEOUT, in smaller calls, until one has had two calls for itself alone. "length" is added over
  // the items with one group_id, so all items of a group must be in one Score. kUnavailable, naming
  // the address, when no service answers for max_wait_seconds; kInternal, naming the problem, when
  // no service can be trusted; kUser when a service refuses the request. A stop cancels the calls
  // in progress: kUnavailable, and nothing is scored.
  std::vector<reward::v1::ScoreResult> Score(std::span<const Rubric> rubrics,
                                             std::vector<reward::v1::ScoreItem> items,
                                             std::stop_token stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The health of one service: its capabilities and the status of "", "math" and "code".
struct ServiceHealth {
  bool serving = false, math = false, code = false;
  reward::v1::Capabilities capabilities;
};
// kUnavailable when the service does not answer within the deadline.
ServiceHealth AskHealth(const std::string& address, std::chrono::milliseconds deadline);

}  // namespace grouper
