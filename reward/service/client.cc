#include "reward/service/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "proto/health.grpc.pb.h"
#include "proto/reward.grpc.pb.h"
#include "reward/scorer.h"

namespace grouper {
namespace {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using reward::v1::ScoreResult;
using Clock = std::chrono::steady_clock;

constexpr int kChunkItems = 256;
constexpr size_t kChunkBytes = size_t{4} << 20;
constexpr size_t kItemFrameBytes = 8;  // its tag and length in the request
constexpr size_t kMostReasonBytes = 64 * 1024;
constexpr size_t kMostResultBytes = size_t{1} << 20;
constexpr int kMaxMessageBytes = 64 << 20;
constexpr double kMostSeconds = 1e6;
// The most bytes of a service's words that are quoted in logs and on terminals.
constexpr size_t kMostQuotedBytes = 512;

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
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

const Rubric* FindRubric(const ScoreBatchRequest& request, const std::string& name) {
  for (const Rubric& rubric : request.rubrics()) {
    if (rubric.name() == name) return &rubric;
  }
  return nullptr;
}

// Sorts the results into the items' order by their ids, because their order in the reply is not
// defined.
std::vector<ScoreResult> InOrder(const ScoreBatchRequest& request, ScoreBatchResponse* response) {
  std::map<std::string, ScoreResult*> by_id;
  for (ScoreResult& r : *response->mutable_results()) by_id[r.item_id()] = &r;
  std::vector<ScoreResult> results;
  for (const auto& item : request.items()) results.push_back(std::move(*by_id.at(item.item_id())));
  return results;
}

// Adds the component length, which a service cannot compute, because it sees chunks and not groups.
void AddLengths(std::span<const Rubric> rubrics, const std::vector<reward::v1::ScoreItem>& items,
                std::vector<ScoreResult>* results) {
  std::map<std::string, const Rubric*> by_name;
  bool any = false;
  for (const Rubric& rubric : rubrics) {
    by_name[rubric.name()] = &rubric;
    any = any || HasLength(rubric);
  }
  if (!any) return;
  std::map<std::string, std::vector<GroupMember>> groups;
  for (size_t i = 0; i < items.size(); ++i) {
    groups[items[i].group_id()].push_back(
        {&items[i], by_name.at(items[i].rubric()), &(*results)[i]});
  }
  for (const auto& [id, group] : groups) AddLength(group);
}

// The reason why one result cannot be right; empty if it can.
std::string FindLieOf(const ScoreResult& r, const reward::v1::ScoreItem& item,
                      const Rubric* rubric) {
  if (!ScoreResult::Status_IsValid(r.status()) || r.status() == ScoreResult::STATUS_UNSPECIFIED)
    return "unknown status";
  if (!ScoreResult::Verdict_IsValid(r.verdict())) return "unknown verdict";
  const bool scored = r.status() == ScoreResult::SCORED;
  if (scored != r.has_reward())
    return scored ? "SCORED without a reward" : "a reward without SCORED";
  if (scored && (!std::isfinite(r.reward()) || std::fabs(r.reward()) > 1e6))
    return "reward out of range";
  if (scored && rubric != nullptr &&
      ((rubric->clamp().has_low() && r.reward() < rubric->clamp().low()) ||
       (rubric->clamp().has_high() && r.reward() > rubric->clamp().high())))
    return "reward beyond the rubric's clamp";
  if (!scored && r.components_size() > 0) return "components without SCORED";
  for (const auto& [name, value] : r.components()) {
    if (!std::isfinite(value) || name.size() > 64) return "component out of range";
  }
  if (r.reason().size() > kMostReasonBytes || r.extraction().answer().size() > kMostReasonBytes ||
      r.tests_size() > 65536 || r.flags_size() > 1024 || r.ByteSizeLong() > kMostResultBytes) {
    return "oversized";
  }
  if (r.extraction().begin() > r.extraction().end()) return "span runs backwards";
  if (r.extraction().end() > item.completion().size()) return "span beyond the completion";
  return "";
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
  std::map<std::string, const reward::v1::ScoreItem*> wanted;
  for (const auto& item : request.items()) wanted[item.item_id()] = &item;
  for (const ScoreResult& r : response.results()) {
    const std::string at = "item \"" + Excerpt(r.item_id()) + "\": ";
    const auto item = wanted.find(r.item_id());
    if (item == wanted.end()) return at + "unknown or answered twice";
    const std::string lie =
        FindLieOf(r, *item->second, FindRubric(request, item->second->rubric()));
    if (!lie.empty()) return at + lie;
    wanted.erase(item);
  }
  return "";
}

RewardClient::RewardClient(std::vector<std::string> addresses, const RewardClientOptions& options)
    : options_(options) {
  USER_CHECK(!addresses.empty(), "[reward] the client needs the address of a reward service");
  USER_CHECK(
      options.deadline_seconds > 0 && options.deadline_seconds <= kMostSeconds &&
          options.max_wait_seconds >= 0,
      "[reward] reward.deadline_seconds must be above 0, and reward.max_wait_seconds must not be "
      "negative");
  if (!options_.sleep)
    options_.sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  for (const std::string& address : addresses)
    replicas_.push_back(std::make_unique<Replica>(address));
}

RewardClient::~RewardClient() = default;

// kInternal when none is left.
RewardClient::Replica& RewardClient::Trusted() {
  for (size_t i = 0; i < replicas_.size(); ++i) {
    Replica& replica = *replicas_[(next_ + i) % replicas_.size()];
    if (replica.lie.empty()) return replica;
  }
  ThrowInternal(
      "[reward] every reward service failed or sent an answer that cannot be right; check its "
      "version "
      "and host",
      Named("service", replicas_[0]->address), Named("problem", replicas_[0]->lie));
}

void RewardClient::Quarantine(const std::string& lie, Replica* replica) {
  replica->lie = lie;
  LogError("[reward] " + replica->address +
           " is not used any more, because its reply cannot be right: " + lie);
}

std::vector<ScoreResult> RewardClient::ScoreChunk(const ScoreBatchRequest& request,
                                                  const std::stop_token& stop) {
  const Clock::time_point begin = Clock::now();
  double slept = 0;
  bool slow_once = false;
  for (int tried = 0;; ++tried) {
    Replica& replica = Trusted();
    grpc::ClientContext context;
    context.set_deadline(DeadlineIn(options_.deadline_seconds));
    ScoreBatchResponse response;
    const grpc::Status status = [&] {
      const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
      return replica.stub->ScoreBatch(&context, request, &response);
    }();
    if (stop.stop_requested()) {
      ThrowUnavailable("[reward] scoring was given up because the run stops",
                       Named("service", replica.address));
    }
    if (status.ok()) {
      const std::string lie = FindLie(request, response);
      if (lie.empty()) return InOrder(request, &response);
      Quarantine(lie, &replica);
      continue;
    }
    const std::string words = Excerpt(status.error_message(), kMostQuotedBytes);
    const std::string problem = replica.address + ": " + words;
    next_ = (next_ + 1) % replicas_.size();
    switch (status.error_code()) {
      case grpc::StatusCode::INVALID_ARGUMENT:
        ThrowUser("[reward] the service refuses the request: " + words);
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        if (slow_once) {
          ThrowUnavailable(
              "[reward] the service is too slow; raise reward.deadline_seconds or its workers",
              Named("problem", problem));
        }
        slow_once = true;
        continue;  // a whole deadline was waited already
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::RESOURCE_EXHAUSTED:
      case grpc::StatusCode::CANCELLED:  // by a service that ends: our own stop is seen above
        break;
      default:
        Quarantine("it failed: " + words, &replica);
        continue;
    }
    // A sleep counts with the length that was asked for, so tests need not wait.
    const double spent = std::chrono::duration<double>(Clock::now() - begin).count();
    const double rest = options_.max_wait_seconds - std::max(spent, slept);
    if (rest <= 0) {
      ThrowUnavailable(
          "[reward] no reward service answers; start `grouper-reward serve` there or correct "
          "reward.addresses; nothing was scored as 0",
          Named("problem", problem));
    }
    if (tried % 10 == 0) LogWarn("[reward] the run waits for a reward service: " + problem);
    const double base = std::min(2.0, 0.1 * (1 << std::min(tried, 5)));
    const double time =
        std::min(rest, base * std::uniform_real_distribution<double>(0.5, 1.5)(jitter_));
    slept += time;
    options_.sleep(std::chrono::milliseconds(static_cast<int64_t>(std::ceil(time * 1000))));
  }
}

std::vector<ScoreResult> RewardClient::Score(std::span<const Rubric> rubrics,
                                             std::vector<reward::v1::ScoreItem> items,
                                             std::stop_token stop) {
  std::vector<ScoreResult> results(items.size());
  std::vector<size_t> todo(items.size());
  for (size_t i = 0; i < items.size(); ++i) todo[i] = i;
  for (int round = 0; round < 2 && !todo.empty(); ++round) {
    std::vector<size_t> again;
    if (round == 1) next_ = (next_ + 1) % replicas_.size();  // what failed here may go there
    for (size_t begin = 0; begin < todo.size();) {
      ScoreBatchRequest request;
      for (const Rubric& rubric : rubrics) *request.add_rubrics() = rubric;
      size_t end = begin, bytes = request.ByteSizeLong();
      while (end < todo.size() && request.items_size() < kChunkItems) {
        const reward::v1::ScoreItem& item = items[todo[end]];
        const size_t more = item.ByteSizeLong() + kItemFrameBytes;
        if (end > begin && bytes + more > kChunkBytes) break;
        USER_CHECK(bytes + more <= kMaxMessageBytes, "[reward] an item is too large for a message",
                   Named("item_id", Excerpt(item.item_id())), Named("bytes", more));
        bytes += more;
        *request.add_items() = item;
        ++end;
      }
      std::vector<ScoreResult> chunk = ScoreChunk(request, stop);
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
  AddLengths(rubrics, items, &results);
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
      ThrowUnavailable("[health] the service does not answer; is it running?",
                       Named("address", address),
                       Named("problem", Excerpt(status.error_message(), kMostQuotedBytes)));
    }
    return status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  };
  health.serving = ask("");
  health.math = ask("math");
  health.code = ask("code");
  grpc::ClientContext context;
  context.set_deadline(end);
  const grpc::Status status =
      reward::v1::Reward::NewStub(channel)->GetCapabilities(&context, {}, &health.capabilities);
  if (!status.ok()) {
    ThrowUnavailable("[health] the program at this address is no reward service",
                     Named("address", address),
                     Named("problem", Excerpt(status.error_message(), kMostQuotedBytes)));
  }
  return health;
}

}  // namespace grouper
