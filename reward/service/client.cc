#include "reward/service/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/health.grpc.pb.h"
#include "proto/reward.grpc.pb.h"
#include "reward/scorer.h"
#include "reward/service/reply_check.h"
#include "reward/service/work_share.h"

namespace grouper {
namespace {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using reward::v1::ScoreResult;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr double kMostSeconds = 1e6;
// The most bytes of a service's words that are quoted in logs and on terminals.
constexpr size_t kMostQuotedBytes = 512;
// A service has two calls in progress, so that its workers never wait for the next one.
constexpr int kThreadsPerService = 2;
constexpr double kMostSecondsToAsk = 10;

std::shared_ptr<grpc::Channel> Connect(const std::string& address, double keepalive_seconds = 20) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // our own loop is the one that counts
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A peer that is gone without a word (its machine died, a cable was pulled) is noticed long
  // before the deadline: a ping while a call runs, and half of that time for its answer.
  const int ping = static_cast<int>(keepalive_seconds * 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ping);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, std::max(1, ping / 2));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::chrono::system_clock::time_point DeadlineIn(double seconds) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::milliseconds>(
                                                std::chrono::duration<double>(seconds));
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
void AddLengths(std::span<const Rubric> rubrics, const CallItems& items,
                std::vector<ScoreResult>* results) {
  if (std::none_of(rubrics.begin(), rubrics.end(), HasLength)) return;
  std::map<std::string, std::vector<GroupMember>> groups;
  for (size_t i = 0; i < items.size(); ++i) {
    groups[items.item(i).group_id()].push_back({&items.item(i), &items.rubric(i), &(*results)[i]});
  }
  for (const auto& [id, group] : groups) AddLength(group);
}

WorkShare::Failure FailureOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::CANCELLED:  // by a service that ends: our own stop is seen elsewhere
      return WorkShare::Failure::kNoAnswer;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return WorkShare::Failure::kLate;
    default:
      return WorkShare::Failure::kBroken;
  }
}

// Another service may give a program other limits, so verdicts could depend on who judged.
void WarnOfCaps(const std::string& address, std::span<const Rubric> rubrics,
                const reward::v1::CodeCaps& caps) {
  for (const Rubric& rubric : rubrics) {
    std::string smaller;
    const auto compare = [&](const char* name, auto asked, auto cap) {
      if (cap <= 0 || asked <= cap) return;
      std::ostringstream out;
      out << ' ' << name << '=' << cap << " (asked for: " << asked << ')';
      smaller += out.str();
    };
    compare("cpu_seconds", rubric.code().cpu_seconds(), caps.cpu_seconds());
    compare("wall_seconds", rubric.code().wall_seconds(), caps.wall_seconds());
    compare("memory_bytes", rubric.code().memory_bytes(), caps.memory_bytes());
    compare("output_bytes", rubric.code().output_bytes(), caps.output_bytes());
    if (!smaller.empty()) {
      LogWarn("[reward] " + address +
              " gives programs smaller limits than a rubric asks for; start it with larger --max-* "
              "flags or lower the rubric's: rubric=" +
              Excerpt(rubric.name()) + smaller);
    }
  }
}

std::string Words(const grpc::Status& status) {
  return Excerpt(status.error_message(), kMostQuotedBytes);
}

}  // namespace

struct RewardClient::State {
  RewardClientOptions options;
  std::vector<SharedService> services;
  std::vector<std::unique_ptr<reward::v1::Reward::Stub>> stubs;  // one per service
  std::vector<char> caps_compared;                               // one per service

  void Work(size_t service, const CallItems& items, WorkShare* share, const std::stop_token& stop);
  // Both are false when the call failed.
  bool Send(size_t service, const WorkShare::Call& call, const CallItems& items, WorkShare* share,
            const std::stop_token& stop);
  bool Ask(size_t service, const WorkShare::Call& call, const CallItems& items, WorkShare* share,
           const std::stop_token& stop);
};

RewardClient::RewardClient(std::vector<std::string> addresses, const RewardClientOptions& options)
    : state_(std::make_unique<State>()) {
  USER_CHECK(!addresses.empty(), "[reward] the client needs the address of a reward service");
  USER_CHECK(
      options.deadline_seconds > 0 && options.deadline_seconds <= kMostSeconds &&
          options.max_wait_seconds >= 0 && options.max_wait_seconds <= kMostSeconds,
      "[reward] reward.deadline_seconds must be above 0, and reward.max_wait_seconds must not be "
      "negative; both must not be above a million");
  state_->options = options;
  for (const std::string& address : addresses) {
    state_->services.emplace_back().address = address;
    state_->caps_compared.push_back(0);
    state_->stubs.push_back(
        reward::v1::Reward::NewStub(Connect(address, options.keepalive_seconds)));
  }
}

RewardClient::~RewardClient() = default;

// Asks what the service can do. One that does not know the question is an earlier version.
bool RewardClient::State::Ask(size_t service, const WorkShare::Call& call, const CallItems& items,
                              WorkShare* share, const std::stop_token& stop) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(std::min(call.deadline_seconds, kMostSecondsToAsk)));
  reward::v1::Capabilities capabilities;
  const grpc::Status status = [&] {
    const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
    return stubs[service]->GetCapabilities(&context, {}, &capabilities);
  }();
  if (status.ok() || status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    // One thread at a time asks a service.
    if (!caps_compared[service])
      WarnOfCaps(services[service].address, items.rubrics(), capabilities.caps());
    caps_compared[service] = true;
    share->Knows(service, AbilityOf(capabilities));
    return true;
  }
  share->Failed(service, call, FailureOf(status.error_code()), Words(status));
  return false;
}

bool RewardClient::State::Send(size_t service, const WorkShare::Call& call, const CallItems& items,
                               WorkShare* share, const std::stop_token& stop) {
  const ScoreBatchRequest request = items.Request(call.items, call.share_tasks);
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(call.deadline_seconds));
  ScoreBatchResponse response;
  const grpc::Status status = [&] {
    const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
    return stubs[service]->ScoreBatch(&context, request, &response);
  }();
  if (status.ok()) {
    const std::string lie = FindLie(request, response);
    if (lie.empty()) {
      share->Answered(service, call, InOrder(request, &response));
    } else {
      share->Distrust(service, call, lie);
    }
    return true;
  }
  if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
    ThrowUser("[reward] the service refuses the request: " + Words(status),
              Named("service", services[service].address));
  }
  share->Failed(service, call, FailureOf(status.error_code()), Words(status));
  return false;
}

void RewardClient::State::Work(size_t service, const CallItems& items, WorkShare* share,
                               const std::stop_token& stop) {
  try {
    while (const std::optional<WorkShare::Call> call = share->Take(service, stop)) {
      const bool answered = call->items.empty() ? Ask(service, *call, items, share, stop)
                                                : Send(service, *call, items, share, stop);
      if (!answered && options.on_failure && !stop.stop_requested()) options.on_failure();
    }
  } catch (...) {
    share->GiveUp(std::current_exception());
  }
}

std::vector<ScoreResult> RewardClient::Score(std::span<const Rubric> rubrics,
                                             std::vector<reward::v1::ScoreItem> items,
                                             std::stop_token stop) {
  const CallItems call_items(rubrics, std::move(items));
  WorkShare share(&call_items, &state_->services,
                  {.deadline_seconds = state_->options.deadline_seconds,
                   .max_wait_seconds = state_->options.max_wait_seconds,
                   .first_pause_seconds = state_->options.first_pause_seconds});
  {
    const std::stop_callback give_up(stop, [&] {
      share.GiveUp(std::make_exception_ptr(Error(
          ErrorKind::kUnavailable, "[reward] scoring was given up because the run stops: service=" +
                                       state_->services[0].address)));
    });
    std::vector<NamedThread> threads;
    for (size_t s = 0; s < state_->services.size(); ++s) {
      for (int t = 0; t < kThreadsPerService; ++t) {
        threads.emplace_back("reward-call", [&, s](const std::stop_token&) {
          state_->Work(s, call_items, &share, share.given_up());
        });
      }
    }
    for (NamedThread& thread : threads) thread.Join();
  }
  std::vector<ScoreResult> results = share.Finish();
  AddLengths(rubrics, call_items, &results);
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
