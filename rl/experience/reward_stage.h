// Scores groups over gRPC: builds the items, sends them to the services of the config, or to one
// that this object starts on loopback and stops (its lifeline pipe ends it also after kill -9), and
// puts the verdicts beside the completions by id. A failure is a status, never reward 0. An own
// service that died is started again under its address while the client waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/io/process.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "reward/service/client.h"
#include "rl/experience/kept_verdicts.h"

namespace grouper {

class RewardStage {
 public:
  // Starts the own service when config names no address. kUnavailable when it does not come up.
  // `known` (may be empty) fills the scores instead of a service, which is then not started.
  using Known = std::function<void(std::vector<Group>* groups)>;
  RewardStage(const RewardConfig& config, const std::string& run_id, Known known = {});
  ~RewardStage();

  // Fills scores of every group; those that `kept` (may be null) holds are not asked for again.
  // Returns how many verdicts were reused. kUser when a prompt names a rubric that the config
  // lacks; kUnavailable when no service answers within max_wait_seconds, or when
  // stop was requested.
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts* kept = nullptr,
                std::stop_token stop = {});
  const std::string& address() const { return address_; }

 private:
  void StartService(const std::string& listen);
  void Sleep(std::chrono::milliseconds time);

  RewardConfig config_;
  std::string run_id_;
  Known known_;
  std::unique_ptr<Process> service_;
  std::string address_;
  std::unique_ptr<RewardClient> client_;
};

}  // namespace grouper
