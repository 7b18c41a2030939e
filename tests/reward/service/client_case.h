// Services that answer as a test says, and a client of them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "reward/service/client.h"
#include "tests/reward/service/service_case.h"

namespace grouper::testing {

using grpc::Status;
using grpc::StatusCode;
using reward::v1::ScoreItem;
using reward::v1::ScoreResult;

// What an honest service answers: reward 1 and the id as the reason, in reversed order.
inline void Answer(const ScoreBatchRequest& request, ScoreBatchResponse* response) {
  for (int i = request.items_size() - 1; i >= 0; --i) {
    ScoreResult* r = response->add_results();
    r->set_item_id(request.items(i).item_id());
    r->set_status(ScoreResult::SCORED);
    r->set_verdict(ScoreResult::CORRECT);
    r->set_reward(1);
    r->set_reason(request.items(i).item_id());
    (*r->mutable_components())["accuracy"] = 1;
    r->mutable_extraction()->set_end(static_cast<uint32_t>(request.items(i).completion().size()));
  }
}

// `call` counts from 0.
using Handler = std::function<Status(int call, const ScoreBatchRequest&, ScoreBatchResponse*)>;

class FakeService final : public reward::v1::Reward::Service {
 public:
  // Without capabilities it is a service of a version that did not know the question.
  explicit FakeService(Handler handler, std::optional<reward::v1::Capabilities> capabilities = {})
      : handler_(std::move(handler)), capabilities_(std::move(capabilities)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeService() override { server_->Shutdown(std::chrono::system_clock::now()); }

  Status ScoreBatch(grpc::ServerContext*, const ScoreBatchRequest* request,
                    ScoreBatchResponse* response) override {
    int call = 0;
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(*request);
      call = static_cast<int>(requests_.size()) - 1;
    }
    return handler_(call, *request, response);
  }
  Status GetCapabilities(grpc::ServerContext*, const reward::v1::CapabilitiesRequest*,
                         reward::v1::Capabilities* response) override {
    if (!capabilities_.has_value()) return Status(StatusCode::UNIMPLEMENTED, "unknown");
    *response = *capabilities_;
    return Status::OK;
  }
  const std::string& address() const { return address_; }
  std::vector<ScoreBatchRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  int calls() {
    std::lock_guard lock(mutex_);
    return static_cast<int>(requests_.size());
  }
  int items() {
    int items = 0;
    for (const ScoreBatchRequest& request : requests()) items += request.items_size();
    return items;
  }

 private:
  Handler handler_;
  std::optional<reward::v1::Capabilities> capabilities_;
  std::mutex mutex_;
  std::vector<ScoreBatchRequest> requests_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

inline Status Honest(int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
  Answer(request, response);
  return Status::OK;
}

// Refuses the first `times` calls.
inline Handler Refusing(StatusCode code, int times) {
  return [=](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    return call < times ? Status(code, "not now \x1b[2J") : Honest(call, request, response);
  };
}

class ClientCase : public ::testing::Test {
 protected:
  RewardClient Of(std::vector<std::string> addresses, double max_wait = 60, double deadline = 60) {
    return RewardClient(
        std::move(addresses),
        {.deadline_seconds = deadline, .max_wait_seconds = max_wait, .first_pause_seconds = 0.002});
  }
  std::vector<ScoreResult> Score(RewardClient&& client, std::vector<ScoreItem> items,
                                 const std::string& rubric = "component { name: \"accuracy\" }") {
    const std::vector<Rubric> rubrics = {RubricFrom(rubric)};
    return client.Score(rubrics, std::move(items));
  }
  // The error that scoring one item ends in.
  Error Failure(RewardClient&& client) {
    try {
      Score(std::move(client), {MathItem("a", "x")});
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error(ErrorKind::kUser, "");
  }
};

inline std::vector<ScoreItem> Items(int count, size_t bytes = 1) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < count; ++i)
    items.push_back(MathItem("i" + std::to_string(i), std::string(bytes, 'x')));
  return items;
}

inline std::vector<int> SortedSizes(FakeService* service) {
  std::vector<int> sizes;
  for (const ScoreBatchRequest& request : service->requests())
    sizes.push_back(request.items_size());
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

}  // namespace grouper::testing
