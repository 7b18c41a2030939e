#include "reward/service.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"
#include "proto/reward.grpc.pb.h"
#include "reward/scorer.h"

namespace grouper {
namespace {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using Clock = std::chrono::steady_clock;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr int kMaxItems = 4096;

bool IsLoopback(const std::string& listen) {
  return listen.rfind("127.", 0) == 0 || listen.rfind("localhost:", 0) == 0 ||
         listen.rfind("[::1]:", 0) == 0 || listen.rfind("unix:", 0) == 0;
}

// The one place where an Error becomes a status.
grpc::Status ToStatus(const Error& error) {
  LogWarn("[reward] " + error.message());
  switch (error.kind()) {
    case ErrorKind::kUser:
      return {grpc::StatusCode::INVALID_ARGUMENT, error.message()};
    case ErrorKind::kUnavailable:
      return {grpc::StatusCode::UNAVAILABLE, error.message()};
    case ErrorKind::kInternal:
      break;
  }
  return {grpc::StatusCode::INTERNAL, error.message()};
}

// Items of one call that are still to be scored.
struct Batch {
  std::mutex mutex;
  std::condition_variable done;
  size_t left = 0;
};

}  // namespace

struct RewardService::State final : public reward::v1::Reward::Service {
  State(const Scorer* s, const RewardServiceOptions& o)
      : scorer(s),
        options(o),
        math_queue(static_cast<size_t>(o.queue_items)),
        code_queue(static_cast<size_t>(o.queue_items)) {
    for (int i = 0; i < std::max(1, o.math_workers); ++i) StartWorker("math", &math_queue);
    for (int i = 0; i < std::max(1, o.code_workers); ++i) StartWorker("code", &code_queue);
  }

  ~State() override {
    math_queue.Close();
    code_queue.Close();
    for (NamedThread& worker : workers) worker.Join();
  }

  void StartWorker(const char* name, Queue<std::function<void()>>* queue) {
    workers.emplace_back(name, [queue](std::stop_token) {
      while (auto task = queue->Pop()) (*task)();
    });
  }

  static std::map<std::string, Rubric> RubricsOf(const ScoreBatchRequest& request) {
    std::map<std::string, Rubric> rubrics;
    for (const Rubric& rubric : request.rubrics()) {
      CheckRubric(rubric);
      USER_CHECK(rubrics.emplace(rubric.name(), rubric).second, "[reward] two rubrics of one name",
                 rubric.name());
    }
    USER_CHECK(request.items_size() <= kMaxItems,
               "[reward] too many items in one call; send at most", kMaxItems);
    std::map<std::string, int> seen;
    for (const reward::v1::ScoreItem& item : request.items()) {
      USER_CHECK(rubrics.count(item.rubric()) == 1,
                 "[reward] an item names a rubric that the call lacks (item, rubric)",
                 item.item_id(), item.rubric());
      USER_CHECK(++seen[item.item_id()] == 1, "[reward] an item id stands twice", item.item_id());
    }
    return rubrics;
  }

  grpc::Status ScoreBatch(grpc::ServerContext* context, const ScoreBatchRequest* request,
                          ScoreBatchResponse* response) override {
    try {
      const std::map<std::string, Rubric> rubrics = RubricsOf(*request);
      const int items = request->items_size();
      if (outstanding.fetch_add(items) + items > options.queue_items) {
        outstanding.fetch_sub(items);
        return {grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full; try again"};
      }
      const grpc::Status status = ScoreItems(context, *request, rubrics, response);
      outstanding.fetch_sub(items);
      return status;
    } catch (const Error& error) {
      return ToStatus(error);
    }
  }

  grpc::Status ScoreItems(grpc::ServerContext* context, const ScoreBatchRequest& request,
                          const std::map<std::string, Rubric>& rubrics,
                          ScoreBatchResponse* response) {
    const auto begin = Clock::now();
    // The answer must still travel: a small part of the caller's time is kept for that.
    const auto caller = std::chrono::duration_cast<std::chrono::milliseconds>(
        context->deadline() - std::chrono::system_clock::now());
    const auto own = options.default_deadline;
    const auto time = caller < own ? caller - std::min<std::chrono::milliseconds>(
                                                  caller / 10, std::chrono::milliseconds(200))
                                   : own;
    std::stop_source cancel;
    const GradeBudget budget{begin + time, cancel.get_token()};
    auto batch = std::make_shared<Batch>();
    batch->left = static_cast<size_t>(request.items_size());
    for (int i = 0; i < request.items_size(); ++i) response->add_results();
    for (int i = 0; i < request.items_size(); ++i) {
      const reward::v1::ScoreItem* item = &request.items(i);
      const Rubric* rubric = &rubrics.at(item->rubric());
      reward::v1::ScoreResult* result = response->mutable_results(i);
      auto task = [this, item, rubric, result, batch, budget] {
        *result = scorer->Score(*item, *rubric, budget);
        std::lock_guard lock(batch->mutex);
        if (--batch->left == 0) batch->done.notify_all();
      };
      // The bound on outstanding items keeps the queues from filling: this never waits.
      (item->has_code() ? code_queue : math_queue).Push(std::move(task));
    }
    std::unique_lock lock(batch->mutex);
    while (!batch->done.wait_for(lock, std::chrono::milliseconds(20),
                                 [&] { return batch->left == 0; })) {
      if (context->IsCancelled()) cancel.request_stop();
    }
    const double queued = std::chrono::duration<double>(Clock::now() - begin).count();
    for (reward::v1::ScoreResult& result : *response->mutable_results()) {
      result.mutable_timings()->set_queue_seconds(
          std::max(0.0, queued - result.timings().score_seconds()));
    }
    return grpc::Status::OK;
  }

  grpc::Status GetCapabilities(grpc::ServerContext*, const reward::v1::CapabilitiesRequest*,
                               reward::v1::Capabilities* response) override {
    response->set_grader_version(kGraderVersion);
    if (options.code_serving) response->add_languages("python");
    response->set_isolation(options.isolation);
    response->set_max_items(kMaxItems);
    response->set_max_message_bytes(kMaxMessageBytes);
    return grpc::Status::OK;
  }

  const Scorer* scorer;
  RewardServiceOptions options;
  std::atomic<int> outstanding{0};
  Queue<std::function<void()>> math_queue, code_queue;
  std::vector<NamedThread> workers;
  std::unique_ptr<grpc::Server> server;
};

RewardService::RewardService(const Scorer* scorer, const RewardServiceOptions& options) {
  USER_CHECK(options.insecure || IsLoopback(options.listen),
             "[reward] refuses to listen beyond loopback without TLS; use 127.0.0.1 or add "
             "--insecure-i-know, asked for",
             options.listen);
  const size_t colon = options.listen.rfind(':');
  USER_CHECK(colon != std::string::npos, "[reward] --listen must be host:port, got",
             options.listen);
  state_ = std::make_unique<State>(scorer, options);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // Two services on one port would share its calls at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(state_.get());
  state_->server = builder.BuildAndStart();
  if (state_->server == nullptr || port == 0) {
    ThrowUnavailable(
        "[reward] cannot listen; is the port in use? name another with --listen, asked for",
        options.listen);
  }
  address_ = options.listen.substr(0, colon + 1) + std::to_string(port);
  if (options.listen.rfind("unix:", 0) == 0) address_ = options.listen;
  grpc::HealthCheckServiceInterface* health = state_->server->GetHealthCheckService();
  health->SetServingStatus(true);
  health->SetServingStatus("math", true);
  health->SetServingStatus("code", options.code_serving);
}

void RewardService::Drain(std::chrono::milliseconds grace) {
  if (state_->server == nullptr) return;
  state_->server->GetHealthCheckService()->SetServingStatus(false);
  state_->server->Shutdown(std::chrono::system_clock::now() + grace);
  state_->server->Wait();
}

RewardService::~RewardService() { Drain(std::chrono::milliseconds(2000)); }

}  // namespace grouper
