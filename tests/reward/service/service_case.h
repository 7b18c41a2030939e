// A reward service on loopback and plain callers of it, for the tests of the service and of its
// client.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "proto/health.grpc.pb.h"
#include "proto/reward.grpc.pb.h"
#include "reward/service/service.h"
#include "tests/testing/fake_grader.h"

namespace grouper::testing {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;

inline constexpr std::chrono::seconds kLong{60};  // never reached in a test that passes

inline std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class Caller {
 public:
  explicit Caller(const std::string& address)
      : channel_(ChannelTo(address)),
        reward_(reward::v1::Reward::NewStub(channel_)),
        health_(grpc::health::v1::Health::NewStub(channel_)) {}

  grpc::Status Score(const ScoreBatchRequest& request, ScoreBatchResponse* response,
                     std::chrono::milliseconds deadline = kLong,
                     grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    grpc::ClientContext& used = context != nullptr ? *context : own;
    if (deadline.count() > 0) used.set_deadline(std::chrono::system_clock::now() + deadline);
    return reward_->ScoreBatch(&used, request, response);
  }
  grpc::Status Score(const ScoreBatchRequest& request) {
    ScoreBatchResponse response;
    return Score(request, &response);
  }

  // SERVING, NOT_SERVING, or the words of the error.
  std::string Health(const std::string& service) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLong);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = health_->Check(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return "NOT_FOUND";
    if (!status.ok()) return status.error_message();
    return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
  }

  reward::v1::Capabilities Capabilities() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLong);
    reward::v1::Capabilities capabilities;
    EXPECT_TRUE(reward_->GetCapabilities(&context, {}, &capabilities).ok());
    return capabilities;
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<reward::v1::Reward::Stub> reward_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

inline ScoreBatchRequest Request(const std::vector<reward::v1::ScoreItem>& items,
                                 const std::string& rubric = "component { name: \"accuracy\" }") {
  ScoreBatchRequest request;
  *request.add_rubrics() = RubricFrom(rubric);
  for (const reward::v1::ScoreItem& item : items) *request.add_items() = item;
  return request;
}

inline std::map<std::string, reward::v1::ScoreResult> ById(const ScoreBatchResponse& response) {
  std::map<std::string, reward::v1::ScoreResult> results;
  for (const reward::v1::ScoreResult& r : response.results()) {
    EXPECT_TRUE(results.emplace(r.item_id(), r).second) << "twice: " << r.item_id();
    EXPECT_EQ(r.has_reward(), r.status() == reward::v1::ScoreResult::SCORED) << r.item_id();
  }
  return results;
}

}  // namespace grouper::testing
