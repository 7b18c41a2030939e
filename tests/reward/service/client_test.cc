// The client against services that work: results by id, how services share the work, what goes into
// a call, which items are tried again.
#include "reward/service/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "reward/scorer.h"
#include "tests/reward/service/client_case.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using grpc::Status;
using grpc::StatusCode;
using reward::v1::ScoreItem;
using reward::v1::ScoreResult;
using testing::Answer;
using testing::FakeService;
using testing::Handler;
using testing::Honest;
using testing::Items;
using testing::Refusing;
using testing::ScoreBatchRequest;
using testing::ScoreBatchResponse;
using testing::SortedSizes;
using Client = testing::ClientCase;

TEST_F(Client, TakesResultsByIdAndCutsCallsByItems) {
  FakeService service(Honest);
  const std::vector<ScoreResult> results = Score(Of({service.address()}), Items(2000));
  ASSERT_EQ(results.size(), 2000u);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].item_id(), "i" + std::to_string(i));
    EXPECT_EQ(results[i].reason(), results[i].item_id());
  }
  EXPECT_EQ(SortedSizes(&service), (std::vector<int>{208, 256, 256, 256, 256, 256, 256, 256}));
  EXPECT_TRUE(Score(Of({service.address()}), {}).empty());
}

TEST_F(Client, CutsCallsByBytes) {
  FakeService service(Honest);
  std::vector<ScoreItem> items = Items(10, 1500 << 10);
  items[3].set_completion(std::string(6 << 20, 'y'));  // alone, however large
  EXPECT_EQ(Score(Of({service.address()}), items).size(), 10u);
  for (const ScoreBatchRequest& request : service.requests())
    EXPECT_TRUE(request.ByteSizeLong() <= 4 << 20 || request.items_size() == 1);
  EXPECT_EQ(SortedSizes(&service), (std::vector<int>{1, 1, 2, 2, 2, 2}));
  try {
    Score(Of({service.address()}), Items(1, 65 << 20));
    ADD_FAILURE() << "no message holds it";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_NE(error.message().find("i0"), std::string::npos);
  }
}

TEST_F(Client, KeepsToWhatTheServiceAccepts) {
  reward::v1::Capabilities capabilities;
  capabilities.set_max_items(7);
  FakeService service(Honest, capabilities);
  EXPECT_EQ(Score(Of({service.address()}), Items(20)).size(), 20u);
  EXPECT_EQ(SortedSizes(&service), (std::vector<int>{6, 7, 7}));
}

// A problem with large tests is shared by all completions of its prompt.
TEST_F(Client, SendsATaskOncePerCallToServicesThatKnowHow) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < 8; ++i) items.push_back(testing::CodeItem("i" + std::to_string(i), "x"));
  for (ScoreItem& item : items) {
    item.mutable_code()->mutable_problem()->mutable_cases(0)->set_arguments_json(
        "[\"" + std::string(3 << 20, 'x') + "\"]");
  }
  items[7].mutable_code()->mutable_problem()->set_entry("other");
  reward::v1::Capabilities capabilities;
  capabilities.set_shared_tasks(true);
  capabilities.set_code_workers(8);
  FakeService service(Honest, capabilities);
  EXPECT_EQ(Score(Of({service.address()}), items).size(), 8u);
  EXPECT_EQ(SortedSizes(&service), (std::vector<int>{1, 7}));  // 4 MiB hold one of the problems
  for (const ScoreBatchRequest& request : service.requests()) {
    ASSERT_EQ(request.tasks_size(), 1);
    for (const ScoreItem& item : request.items()) {
      ASSERT_TRUE(item.has_shared_task());
      EXPECT_EQ(item.shared_task(), 0u);
    }
    EXPECT_EQ(request.tasks(0).code().SerializeAsString(),
              items[request.items_size() == 1 ? 7 : 0].code().SerializeAsString());
  }
  FakeService earlier(Honest);
  EXPECT_EQ(Score(Of({earlier.address()}), items).size(), 8u);
  EXPECT_EQ(earlier.calls(), 8);
  for (const ScoreBatchRequest& request : earlier.requests()) {
    EXPECT_EQ(request.tasks_size(), 0);
    EXPECT_TRUE(request.items(0).has_code());
  }
}

// Waits until `count` threads have come, or 2 s.
class Meeting {
 public:
  void Wait(int count) {
    std::unique_lock lock(mutex_);
    const int round = arrived_++ / count;
    changed_.notify_all();
    changed_.wait_for(lock, 2s, [&] { return arrived_ >= (round + 1) * count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
};

// Both services answer only when each of them has a call, so none of them can do all of the work.
TEST_F(Client, ServicesShareTheWork) {
  Meeting meeting;
  const Handler meet = [&](int call, const ScoreBatchRequest& request,
                           ScoreBatchResponse* response) {
    meeting.Wait(4);  // two calls in progress at each of two services
    return Honest(call, request, response);
  };
  FakeService first(meet), second(meet);
  const std::vector<ScoreResult> results =
      Score(Of({first.address(), second.address()}), Items(512));
  for (size_t i = 0; i < 512; ++i) EXPECT_EQ(results[i].reason(), "i" + std::to_string(i));
  for (FakeService* service : {&first, &second}) {
    EXPECT_GE(service->items(), 512 * 35 / 100);
    EXPECT_LE(service->items(), 512 * 65 / 100);
  }
}

TEST_F(Client, WhatOneServiceFailsAtAnotherOneDoes) {
  FakeService honest(Honest);
  for (const StatusCode code : {StatusCode::INTERNAL, StatusCode::UNAVAILABLE,
                                StatusCode::DEADLINE_EXCEEDED, StatusCode::RESOURCE_EXHAUSTED}) {
    FakeService failing(Refusing(code, 100000));
    const std::vector<ScoreResult> results =
        Score(Of({failing.address(), "127.0.0.1:1", honest.address()}), Items(300));
    for (size_t i = 0; i < 300; ++i) EXPECT_EQ(results[i].reason(), "i" + std::to_string(i));
  }
}

TEST_F(Client, SendsFailedItemsOnceMoreToAnotherService) {
  // The first two items of each call fail.
  const auto failing = [](int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    Answer(request, response);
    for (ScoreResult& r : *response->mutable_results()) {
      const bool first = r.item_id() == request.items(0).item_id();
      if (!first && r.item_id() != request.items(1 % request.items_size()).item_id()) continue;
      r.set_status(first ? ScoreResult::INTERNAL : ScoreResult::TIMEOUT);
      r.clear_reward();
      r.clear_components();
    }
    return Status::OK;
  };
  FakeService bad(failing);
  FakeService honest([&](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    while (bad.calls() == 0) std::this_thread::sleep_for(1ms);
    return Honest(call, request, response);
  });
  const std::vector<ScoreResult> results = Score(Of({bad.address(), honest.address()}), Items(48));
  for (const ScoreResult& r : results) EXPECT_EQ(r.status(), ScoreResult::SCORED) << r.item_id();
  std::set<std::string> seen;
  for (const ScoreBatchRequest& request : bad.requests()) {
    for (const ScoreItem& item : request.items())
      EXPECT_TRUE(seen.insert(item.item_id()).second) << item.item_id();
  }
  // One that fails again stays a failure, and UNSCORABLE is not tried again.
  FakeService alone(failing);
  EXPECT_EQ(Score(Of({alone.address()}), Items(1))[0].status(), ScoreResult::INTERNAL);
  EXPECT_EQ(alone.calls(), 2);
  FakeService unscorable([](int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    Answer(request, response);
    response->mutable_results(0)->set_status(ScoreResult::UNSCORABLE);
    response->mutable_results(0)->clear_reward();
    response->mutable_results(0)->clear_components();
    return Status::OK;
  });
  EXPECT_EQ(Score(Of({unscorable.address()}), Items(1))[0].status(), ScoreResult::UNSCORABLE);
  EXPECT_EQ(unscorable.calls(), 1);
}

// Items for which there was no time come back in smaller calls, and alone at last.
TEST_F(Client, TimedOutItemsGetMoreTime) {
  FakeService busy([](int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    Answer(request, response);
    for (ScoreResult& r : *response->mutable_results()) {
      if (request.items_size() < 3) continue;
      r.set_status(ScoreResult::TIMEOUT);
      r.clear_reward();
      r.clear_components();
    }
    return Status::OK;
  });
  for (const ScoreResult& r : Score(Of({busy.address()}), Items(40)))
    EXPECT_EQ(r.status(), ScoreResult::SCORED);
  FakeService late([](int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    Answer(request, response);
    for (ScoreResult& r : *response->mutable_results()) {
      r.set_status(ScoreResult::TIMEOUT);
      r.clear_reward();
      r.clear_components();
    }
    return Status::OK;
  });
  for (const ScoreResult& r : Score(Of({late.address()}), Items(4)))
    EXPECT_EQ(r.status(), ScoreResult::TIMEOUT);
  EXPECT_EQ(SortedSizes(&late), (std::vector<int>{1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 4}));
}

// No service sees a whole group: the component is added here, over chunks.
TEST_F(Client, AddsLengthOverGroups) {
  FakeService service(Honest);
  std::vector<ScoreItem> items = Items(400);
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].set_group_id(i % 2 == 0 ? "even" : "odd");
    items[i].set_completion_tokens(i % 2 == 0 ? static_cast<uint32_t>(i) : 7);
  }
  const std::vector<ScoreResult> results =
      Score(Of({service.address()}), items,
            "component { name: \"accuracy\" } component { name: \"length\" weight: 2 }");
  EXPECT_EQ(results[0].reward(), 1 + 2 * 0.5);
  EXPECT_EQ(results[398].reward(), 1 - 2 * 0.5);
  EXPECT_EQ(results[399].reward(), 1);
  EXPECT_EQ(results[0].components().at("length"), 0.5);
}

TEST_F(Client, RefusesOptionsThatMeanNothing) {
  for (const double bad : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY), 1e300})
    EXPECT_THROW(Of({"127.0.0.1:1"}, 60, bad), Error) << bad;
  for (const double bad : {-1.0, std::nan("")})
    EXPECT_THROW(Of({"127.0.0.1:1"}, bad), Error) << bad;
  EXPECT_THROW(Of({}), Error);
}

TEST(Health, IsAskedAndItsAbsenceIsNamed) {
  const Scorer scorer(nullptr, nullptr);
  const RewardService service(&scorer, {.isolation = "none", .code_serving = false});
  const ServiceHealth health = AskHealth(service.address(), 60s);
  EXPECT_TRUE(health.serving && health.math);
  EXPECT_FALSE(health.code);
  EXPECT_EQ(health.capabilities.isolation(), "none");
  try {
    AskHealth("127.0.0.1:1", 100ms);
    ADD_FAILURE() << "nobody is there";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_NE(error.message().find("127.0.0.1:1"), std::string::npos);
  }
}

}  // namespace
}  // namespace grouper
