#include "reward/service/service.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/error.h"
#include "base/log.h"
#include "proto/check/rubric_check.h"
#include "proto/reward.grpc.pb.h"
#include "reward/scorer.h"
#include "reward/service/scoring_pools.h"
#include "reward/service/shared_task.h"

namespace grouper {
namespace {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using std::chrono::milliseconds;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr int kMaxItems = 4096;
constexpr milliseconds kTravelTime{500};
// Threads for short calls, in addition to those for calls that wait for scores.
constexpr int kOtherThreads = 64;

// 127.0.0.1.example.org is an ordinary name and not loopback.
bool IsLoopback(const std::string& listen) {
  if (listen.rfind("unix:", 0) == 0) return true;
  const std::string host = listen.substr(0, listen.rfind(':'));
  in_addr address;
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
  return host == "localhost" || host == "[::1]";
}

grpc::Status Refusal(grpc::StatusCode code, const std::string& message) {
  LogWarn(message);
  return {code, message};
}

// The one place where an Error becomes a status.
grpc::Status ToStatus(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::kUser:
      return Refusal(grpc::StatusCode::INVALID_ARGUMENT, error.message());
    case ErrorKind::kUnavailable:
      return Refusal(grpc::StatusCode::UNAVAILABLE, error.message());
    case ErrorKind::kInternal:
      break;
  }
  return Refusal(grpc::StatusCode::INTERNAL, error.message());
}

// By name. kUser naming the field that is wrong: "items[3].rubric".
std::map<std::string, Rubric> CheckRequest(const ScoreBatchRequest& request, int most_items) {
  USER_CHECK(request.items_size() <= most_items,
             "[reward] items: the call has too many; send fewer", Named("limit", most_items));
  CheckSharedTasks(request, most_items);
  std::map<std::string, Rubric> rubrics;
  for (int i = 0; i < request.rubrics_size(); ++i) {
    const Rubric& rubric = request.rubrics(i);
    const std::string where = "[reward] rubrics[" + std::to_string(i) + "]";
    try {
      CheckRubric(rubric);
    } catch (const Error& error) {
      ThrowUser(where + " " + error.message());
    }
    USER_CHECK(rubrics.emplace(rubric.name(), rubric).second,
               where + ".name: another rubric has this name",
               Named("name", Excerpt(rubric.name())));
  }
  std::unordered_set<std::string> seen;
  for (int i = 0; i < request.items_size(); ++i) {
    const reward::v1::ScoreItem& item = request.items(i);
    const std::string where = "[reward] items[" + std::to_string(i) + "]";
    USER_CHECK(rubrics.count(item.rubric()) == 1,
               where + ".rubric: the call has no rubric of this name",
               Named("item_id", Excerpt(item.item_id())), Named("rubric", Excerpt(item.rubric())));
    USER_CHECK(seen.insert(item.item_id()).second,
               where + ".item_id: another item of the call has it",
               Named("item_id", Excerpt(item.item_id())));
  }
  return rubrics;
}

// The time at which work must end. A small part of the caller's time is kept for sending the
// answer.
std::chrono::steady_clock::time_point WorkDeadline(std::chrono::system_clock::time_point caller,
                                                   milliseconds without) {
  const auto now = std::chrono::steady_clock::now();
  if (caller == std::chrono::system_clock::time_point::max()) return now + without;
  const auto rest =
      std::max(milliseconds(0),
               std::chrono::duration_cast<milliseconds>(caller - std::chrono::system_clock::now()));
  return now + rest - std::min(rest / 10, milliseconds(200));
}

ScoringPools::Options PoolOptions(const RewardServiceOptions& options) {
  USER_CHECK(options.math_workers > 0 && options.code_workers > 0,
             "[reward] there must be at least one worker for math and one for code");
  USER_CHECK(options.queue_items > 0 && options.calls > 0,
             "[reward] queue_items and calls must be above 0");
  return {.math_workers = options.math_workers,
          .code_workers = options.code_workers,
          .queue_items = options.queue_items,
          .batches = options.calls};
}

}  // namespace

struct RewardService::State final : public reward::v1::Reward::Service {
  State(const Scorer* scorer, const RewardServiceOptions& o)
      : options(o),
        // A batch that is larger than the queue would never fit.
        max_items(std::min(kMaxItems, o.queue_items)),
        pools(scorer, PoolOptions(o)) {}

  grpc::Status ScoreBatch(grpc::ServerContext* context, const ScoreBatchRequest* request,
                          ScoreBatchResponse* response) override {
    try {
      const std::map<std::string, Rubric> rubrics = CheckRequest(*request, max_items);
      switch (pools.Score(
          *request, rubrics, WorkDeadline(context->deadline(), options.default_deadline),
          [context] { return context->IsCancelled(); }, response)) {
        case ScoringPools::End::kScored:
          return grpc::Status::OK;
        case ScoringPools::End::kFull:
          return {grpc::StatusCode::RESOURCE_EXHAUSTED, "[reward] the queue is full; try again"};
        case ScoringPools::End::kDraining:
          return {grpc::StatusCode::UNAVAILABLE, "[reward] the service drains; try another"};
      }
      ThrowInternal("[reward] a batch ended in an unknown way");
    } catch (const Error& error) {
      return ToStatus(error);
    } catch (const std::exception& error) {
      return ToStatus(Error(ErrorKind::kInternal, std::string("[reward] ") + error.what()));
    }
  }

  grpc::Status GetCapabilities(grpc::ServerContext*, const reward::v1::CapabilitiesRequest*,
                               reward::v1::Capabilities* response) override {
    response->set_grader_version(kGraderVersion);
    if (options.code_serving) response->add_languages("python");
    response->set_isolation(options.isolation);
    response->set_isolation_tier(options.isolation_tier);
    response->set_max_items(static_cast<uint32_t>(max_items));
    response->set_max_message_bytes(kMaxMessageBytes);
    response->set_math_workers(static_cast<uint32_t>(options.math_workers));
    response->set_code_workers(static_cast<uint32_t>(options.code_workers));
    response->set_shared_tasks(true);
    *response->mutable_caps() = options.caps;
    return grpc::Status::OK;
  }

  const RewardServiceOptions options;
  const int max_items;
  ScoringPools pools;
  std::unique_ptr<grpc::Server> server;  // last: its threads use all of the above
};

RewardService::RewardService(const Scorer* scorer, const RewardServiceOptions& options) {
  USER_CHECK(
      options.insecure || IsLoopback(options.listen),
      "[reward] the service has no TLS and refuses to listen beyond loopback; use 127.0.0.1 or add "
      "--insecure-i-know",
      Named("listen", options.listen));
  const size_t colon = options.listen.rfind(':');
  USER_CHECK(colon != std::string::npos, "[reward] --listen must be host:port",
             Named("listen", options.listen));
  state_ = std::make_unique<State>(scorer, options);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // Clients ask every 20 s whether the service is still there, also while a long call has no data.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  // Two services on one port would share its calls at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A call that waits holds a thread. Math and code have bounds of their own, so neither takes all
  // threads.
  builder.SetResourceQuota(grpc::ResourceQuota("reward").SetMaxThreads(
      2 * std::min(options.calls, 16384) + kOtherThreads));
  builder.RegisterService(state_.get());
  state_->server = builder.BuildAndStart();
  if (state_->server == nullptr || port == 0) {
    ThrowUnavailable(
        "[reward] the service cannot listen; if the port is in use, name another with --listen",
        Named("listen", options.listen));
  }
  address_ = options.listen.substr(0, colon + 1) + std::to_string(port);
  if (options.listen.rfind("unix:", 0) == 0) address_ = options.listen;
  grpc::HealthCheckServiceInterface* health = state_->server->GetHealthCheckService();
  health->SetServingStatus(true);
  health->SetServingStatus(reward::v1::Reward::service_full_name(), true);
  health->SetServingStatus("math", true);
  health->SetServingStatus("code", options.code_serving);
}

void RewardService::Drain(milliseconds grace) {
  if (state_->server == nullptr) return;
  // The port stays open meanwhile, so a caller who asks for health or sends a batch gets a clear
  // answer.
  state_->server->GetHealthCheckService()->Shutdown();
  const bool done = state_->pools.Drain(grace);
  // Answers that are ready are still sent. Work that runs beyond the grace is cancelled.
  const auto travel = done ? std::min(grace, kTravelTime) : milliseconds(0);
  state_->server->Shutdown(std::chrono::system_clock::now() + travel);
  state_->server->Wait();
}

RewardService::~RewardService() { Drain(milliseconds(2000)); }

}  // namespace grouper
