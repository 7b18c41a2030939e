// Scores groups over gRPC: it builds the items, sends them to the services of the config or to a
// service of its own on loopback, and stores the verdicts by rollout id. A failure to score is a
// status, never reward 0. Its own service holds one end of a pipe, so it ends with this process,
// also after kill -9; if it dies earlier, it is started again under the same address while the
// client waits, until it has died several times without judging a batch.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/io/process.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "reward/service/client.h"
#include "rl/experience/group_scorer.h"

namespace grouper {

class RewardStage final : public GroupScorer {
 public:
  // Starts a service of its own when config names no address; kUnavailable when that does not come
  // up. run_id names the run in the requests.
  RewardStage(const RewardConfig& config, const std::string& run_id);
  ~RewardStage() override;

  // kUser when a prompt names a rubric that the config lacks; kUnavailable when no service answers
  // within max_wait_seconds, or when a stop was requested.
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts* kept = nullptr,
                std::stop_token stop = {}) override;
  // Of the services that judge; the one of this process if the config names none.
  std::vector<std::string> addresses() const;

 private:
  void StartService(const std::string& listen);
  void Revive();

  RewardConfig config_;
  std::string run_id_;
  std::mutex mutex_;  // guards what is below, while the client works
  std::unique_ptr<Process> service_;
  std::string address_;
  bool served_ = false;  // the own service was up since its last end
  int ends_ = 0;         // of the own service since it last judged a batch
  std::unique_ptr<RewardClient> client_;
};

}  // namespace grouper
