// The gRPC reward service (proto/reward.proto): batches with one result per item, deadlines,
// cancellation, bounded queues, health and reflection. Math and code have separate workers, so slow
// programs never delay numbers.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "proto/reward.pb.h"

namespace grouper {

class Scorer;

struct RewardServiceOptions {
  std::string listen = "127.0.0.1:0";
  int math_workers = 2;
  int code_workers = 2;
  int queue_items = 65536;  // of math and of code, waiting and running; beyond: RESOURCE_EXHAUSTED
  int calls = 256;          // with math and with code; beyond: RESOURCE_EXHAUSTED
  std::chrono::milliseconds default_deadline{60000};  // for a call that has none
  bool insecure = false;                              // allow an address beyond loopback
  reward::v1::CodeCaps caps = {};                     // shown in capabilities
  std::string isolation = {};                         // shown in capabilities
  reward::v1::IsolationTier isolation_tier = reward::v1::NOT_ISOLATED;  // likewise
  bool code_serving = true;  // false: health of "code" is NOT_SERVING
};

class RewardService {
 public:
  // Binds the address and starts. kUser for an address beyond loopback without `insecure`, before
  // the port is bound; kUnavailable when the port is in use. scorer outlives the service.
  RewardService(const Scorer* scorer, const RewardServiceOptions& options);
  // Gives the running calls 2 s to end.
  ~RewardService();

  const std::string& address() const { return address_; }  // host:port as bound
  // From now on health is NOT_SERVING and new calls are UNAVAILABLE. The running calls get `grace`
  // to end; those that still run then are cancelled, and the port is closed. One thread calls it.
  void Drain(std::chrono::milliseconds grace);

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string address_;
};

}  // namespace grouper
