#include "reward/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "proto/health.grpc.pb.h"
#include "proto/reward.grpc.pb.h"

namespace grouper {
namespace {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using reward::v1::ScoreResult;
using Clock = std::chrono::steady_clock;

constexpr int kChunkItems = 256;
constexpr size_t kChunkBytes = size_t{4} << 20;
constexpr size_t kMostReasonBytes = 64 * 1024;

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetMaxSendMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // our own loop is the one that counts
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::chrono::system_clock::time_point DeadlineIn(double seconds) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::milliseconds>(
                                                std::chrono::duration<double>(seconds));
}

}  // namespace

struct RewardClient::Replica {
  explicit Replica(const std::string& a)
      : address(a), stub(reward::v1::Reward::NewStub(Connect(a))) {}
  std::string address;
  std::unique_ptr<reward::v1::Reward::Stub> stub;
  std::string lie;  // quarantined when not empty
};

std::string FindLie(const ScoreBatchRequest& request, const ScoreBatchResponse& response) {
  if (response.results_size() != request.items_size()) {
    return "count: " + std::to_string(response.results_size()) + " results for " +
           std::to_string(request.items_size()) + " items";
  }
  std::set<std::string> wanted;
  for (const auto& item : request.items()) wanted.insert(item.item_id());
  for (const ScoreResult& r : response.results()) {
    const std::string at = "item \"" + r.item_id().substr(0, 64) + "\": ";
    if (wanted.erase(r.item_id()) != 1) return at + "unknown or answered twice";
    if (!ScoreResult::Status_IsValid(r.status()) || r.status() == ScoreResult::STATUS_UNSPECIFIED) {
      return at + "unknown status";
    }
    if (!ScoreResult::Verdict_IsValid(r.verdict())) return at + "unknown verdict";
    const bool scored = r.status() == ScoreResult::SCORED;
    if (scored != r.has_reward())
      return at + (scored ? "SCORED without a reward" : "a reward without SCORED");
    if (scored && (!std::isfinite(r.reward()) || std::fabs(r.reward()) > 1e6))
      return at + "reward out of range";
    if (!scored && r.components_size() > 0) return at + "components without SCORED";
    for (const auto& [name, value] : r.components()) {
      if (!std::isfinite(value) || name.size() > 64) return at + "component out of range";
    }
    if (r.reason().size() > kMostReasonBytes || r.extraction().answer().size() > kMostReasonBytes ||
        r.tests_size() > 65536 || r.flags_size() > 1024) {
      return at + "oversized";
    }
    if (r.extraction().begin() > r.extraction().end()) return at + "span runs backwards";
  }
  return "";
}

RewardClient::RewardClient(std::vector<std::string> addresses, const RewardClientOptions& options)
    : options_(options) {
  USER_CHECK(!addresses.empty(), "[reward] no address of a reward service");
  USER_CHECK(
      options.deadline_seconds > 0 && options.max_wait_seconds >= 0,
      "[reward] reward.deadline_seconds must be above 0 and reward.max_wait_seconds not negative");
  if (!options_.sleep)
    options_.sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  for (const std::string& address : addresses)
    replicas_.push_back(std::make_unique<Replica>(address));
}

RewardClient::~RewardClient() = default;

std::vector<ScoreResult> RewardClient::ScoreChunk(const ScoreBatchRequest& request) {
  const Clock::time_point begin = Clock::now();
  std::string problem = "no answer";
  bool slow_once = false;
  std::minstd_rand jitter(static_cast<unsigned>(request.items_size()) + 17);
  for (int tried = 0;; ++tried) {
    Replica* replica = nullptr;
    for (size_t i = 0; i < replicas_.size() && replica == nullptr; ++i) {
      Replica* candidate = replicas_[(next_ + i) % replicas_.size()].get();
      if (candidate->lie.empty()) replica = candidate;
    }
    if (replica == nullptr) {
      ThrowInternal(
          "[reward] every reward service answered what cannot be believed; check its version and "
          "host (service, lie)",
          replicas_[0]->address, replicas_[0]->lie);
    }
    grpc::ClientContext context;
    context.set_deadline(DeadlineIn(options_.deadline_seconds));
    ScoreBatchResponse response;
    const grpc::Status status = replica->stub->ScoreBatch(&context, request, &response);
    if (status.ok()) {
      replica->lie = FindLie(request, response);
      if (replica->lie.empty()) {
        std::map<std::string, const ScoreResult*> by_id;
        for (const ScoreResult& r : response.results()) by_id[r.item_id()] = &r;
        std::vector<ScoreResult> results;
        for (const auto& item : request.items()) results.push_back(*by_id.at(item.item_id()));
        return results;
      }
      LogError("[reward] " + replica->address +
               " is quarantined, its reply was rejected whole: " + replica->lie);
      continue;
    }
    problem = replica->address + ": " + status.error_message();
    next_ = (next_ + 1) % replicas_.size();
    switch (status.error_code()) {
      case grpc::StatusCode::INVALID_ARGUMENT:
        ThrowUser("[reward] the service refuses the request: " + status.error_message());
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        if (slow_once) {
          ThrowUnavailable(
              "[reward] the service is too slow; raise reward.deadline_seconds or its workers",
              problem);
        }
        slow_once = true;
        break;
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::RESOURCE_EXHAUSTED:
        break;
      default:
        ThrowInternal("[reward] the service failed", problem);
    }
    const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
    if (waited >= options_.max_wait_seconds) {
      ThrowUnavailable(
          "[reward] no reward service answers; start `grouper-reward serve` there or fix "
          "reward.addresses, "
          "nothing was scored as 0 (last problem)",
          problem);
    }
    if (tried % 10 == 0) LogWarn("[reward] waits for a reward service: " + problem);
    const int base = std::min(2000, 100 << std::min(tried, 5));
    options_.sleep(std::chrono::milliseconds(
        base / 2 + static_cast<int>(jitter() % static_cast<unsigned>(base))));
  }
}

std::vector<ScoreResult> RewardClient::Score(std::span<const Rubric> rubrics,
                                             std::vector<reward::v1::ScoreItem> items) {
  std::vector<ScoreResult> results(items.size());
  std::vector<size_t> todo(items.size());
  for (size_t i = 0; i < items.size(); ++i) todo[i] = i;
  for (int round = 0; round < 2 && !todo.empty(); ++round) {
    std::vector<size_t> again;
    for (size_t begin = 0; begin < todo.size();) {
      ScoreBatchRequest request;
      for (const Rubric& rubric : rubrics) *request.add_rubrics() = rubric;
      size_t end = begin, bytes = 0;
      while (end < todo.size() && request.items_size() < kChunkItems && bytes < kChunkBytes) {
        bytes += items[todo[end]].ByteSizeLong();
        *request.add_items() = items[todo[end++]];
      }
      std::vector<ScoreResult> chunk = ScoreChunk(request);
      for (size_t i = begin; i < end; ++i) {
        ScoreResult& result = chunk[i - begin];
        const bool ours =
            result.status() == ScoreResult::INTERNAL || result.status() == ScoreResult::TIMEOUT;
        if (ours) again.push_back(todo[i]);
        results[todo[i]] = std::move(result);
      }
      begin = end;
    }
    todo = std::move(again);
  }
  return results;
}

ServiceHealth AskHealth(const std::string& address, std::chrono::milliseconds deadline) {
  const std::shared_ptr<grpc::Channel> channel = Connect(address);
  ServiceHealth health;
  const auto end = std::chrono::system_clock::now() + deadline;
  const auto ask = [&](const char* service) {
    grpc::ClientContext context;
    context.set_deadline(end);
    context.set_wait_for_ready(true);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status =
        grpc::health::v1::Health::NewStub(channel)->Check(&context, request, &response);
    if (!status.ok() && status.error_code() != grpc::StatusCode::NOT_FOUND) {
      ThrowUnavailable("[health] the service does not answer; is it running? (address, problem)",
                       address, status.error_message());
    }
    return status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  };
  health.serving = ask("");
  health.math = ask("math");
  health.code = ask("code");
  grpc::ClientContext context;
  context.set_deadline(end);
  reward::v1::Reward::NewStub(channel)->GetCapabilities(&context, {}, &health.capabilities);
  return health;
}

}  // namespace grouper
