// The client of reward services: it sends chunks with deadlines and tries again over the replicas.
// It trusts no reply: the count, ids, statuses and ranges of each are checked, and a bad reply is
// rejected whole and its replica quarantined. Only one thread may use a client.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/reward.pb.h"

namespace grouper {

struct RewardClientOptions {
  double deadline_seconds = 60;  // of one call
  double max_wait_seconds = 60;  // for a service that is down or full
  // Waits between tries; tests replace it. The time it was asked to wait counts as waited.
  std::function<void(std::chrono::milliseconds)> sleep = {};
};

class RewardClient {
 public:
  // addresses: at least one host:port.
  RewardClient(std::vector<std::string> addresses, const RewardClientOptions& options);
  ~RewardClient();

  // Returns one result per item, in the items' order. Items that come back INTERNAL or TIMEOUT are
  // tried once more, by another replica if there is one. "length" is added over the items with one
  // group_id, so a group must be sent whole. kUnavailable, naming the address, when no replica
  // answers within max_wait_seconds; kInternal, naming the problem, when every replica is
  // quarantined; kUser when the service refuses the request. A stop cancels the call in progress:
  // kUnavailable, and nothing is scored.
  std::vector<reward::v1::ScoreResult> Score(std::span<const Rubric> rubrics,
                                             std::vector<reward::v1::ScoreItem> items,
                                             std::stop_token stop = {});

 private:
  struct Replica;
  Replica& Trusted();
  void Quarantine(const std::string& lie, Replica* replica);
  std::vector<reward::v1::ScoreResult> ScoreChunk(const reward::v1::ScoreBatchRequest& request,
                                                  const std::stop_token& stop);
  RewardClientOptions options_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  size_t next_ = 0;
  std::minstd_rand jitter_{std::random_device{}()};
};

// The reason why a reply cannot be right; empty if it can.
std::string FindLie(const reward::v1::ScoreBatchRequest& request,
                    const reward::v1::ScoreBatchResponse& response);

// The health of one service: its capabilities and the status of "", "math" and "code".
struct ServiceHealth {
  bool serving = false, math = false, code = false;
  reward::v1::Capabilities capabilities;
};
// kUnavailable when the service does not answer within the deadline.
ServiceHealth AskHealth(const std::string& address, std::chrono::milliseconds deadline);

}  // namespace grouper
