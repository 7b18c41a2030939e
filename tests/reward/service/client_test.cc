// The client against services that lie, refuse, fail, are down, slow or full: results by id, how
// services share the work, retries and waits, quarantine, what goes into a call.
#include "reward/service/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "reward/scorer.h"
#include "reward/service/reply_check.h"
#include "tests/reward/service/service_case.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using grpc::Status;
using grpc::StatusCode;
using reward::v1::ScoreItem;
using reward::v1::ScoreResult;
using testing::MathItem;
using testing::RubricFrom;
using testing::ScoreBatchRequest;
using testing::ScoreBatchResponse;

// What an honest service answers: reward 1 and the id as the reason, in reversed order.
void Answer(const ScoreBatchRequest& request, ScoreBatchResponse* response) {
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

Status Honest(int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
  Answer(request, response);
  return Status::OK;
}

// Refuses the first `times` calls.
Handler Refusing(StatusCode code, int times) {
  return [=](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    return call < times ? Status(code, "not now \x1b[2J") : Honest(call, request, response);
  };
}

class Client : public ::testing::Test {
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

std::vector<ScoreItem> Items(int count, size_t bytes = 1) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < count; ++i)
    items.push_back(MathItem("i" + std::to_string(i), std::string(bytes, 'x')));
  return items;
}

std::vector<int> SortedSizes(FakeService* service) {
  std::vector<int> sizes;
  for (const ScoreBatchRequest& request : service->requests())
    sizes.push_back(request.items_size());
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

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

using Twist = std::function<void(ScoreBatchResponse*)>;
struct Lie {
  const char* words;
  Twist twist;
};

const Lie kLies[] = {
    {"count", [](auto* r) { r->mutable_results()->RemoveLast(); }},
    {"count", [](auto* r) { r->add_results()->set_item_id("more"); }},
    {"answered twice", [](auto* r) { *r->mutable_results(0) = r->results(1); }},
    {"unknown or", [](auto* r) { r->mutable_results(1)->set_item_id("\x1b other"); }},
    {"status", [](auto* r) { r->mutable_results(1)->clear_status(); }},
    {"status",
     [](auto* r) { r->mutable_results(1)->set_status(static_cast<ScoreResult::Status>(9)); }},
    {"verdict",
     [](auto* r) { r->mutable_results(1)->set_verdict(static_cast<ScoreResult::Verdict>(99)); }},
    {"SCORED without", [](auto* r) { r->mutable_results(1)->clear_reward(); }},
    {"reward without", [](auto* r) { r->mutable_results(1)->set_status(ScoreResult::TIMEOUT); }},
    {"reward without", [](auto* r) { r->mutable_results(1)->set_status(ScoreResult::INTERNAL); }},
    {"out of range", [](auto* r) { r->mutable_results(1)->set_reward(std::nan("")); }},
    {"out of range", [](auto* r) { r->mutable_results(1)->set_reward(-INFINITY); }},
    {"out of range", [](auto* r) { r->mutable_results(1)->set_reward(1e7); }},
    {"clamp", [](auto* r) { r->mutable_results(1)->set_reward(2.5); }},
    {"clamp", [](auto* r) { r->mutable_results(1)->set_reward(-2.5); }},
    {"components without",
     [](auto* r) {
       r->mutable_results(1)->set_status(ScoreResult::UNSCORABLE);
       r->mutable_results(1)->clear_reward();
     }},
    {"component out",
     [](auto* r) { (*r->mutable_results(1)->mutable_components())["accuracy"] = INFINITY; }},
    {"component out",
     [](auto* r) { (*r->mutable_results(1)->mutable_components())[std::string(65, 'x')] = 1; }},
    {"oversized", [](auto* r) { r->mutable_results(1)->set_reason(std::string(1 << 17, 'x')); }},
    {"oversized",
     [](auto* r) {
       r->mutable_results(1)->mutable_extraction()->set_answer(std::string(1 << 17, 'x'));
     }},
    {"oversized",
     [](auto* r) {
       for (int i = 0; i < 1025; ++i) r->mutable_results(1)->add_flags();
     }},
    {"oversized",
     [](auto* r) {
       for (int i = 0; i < 65537; ++i) r->mutable_results(1)->add_tests();
     }},
    {"oversized", [](auto* r) { r->mutable_results(1)->add_flags(std::string(1 << 21, 'x')); }},
    {"backwards", [](auto* r) { r->mutable_results(1)->mutable_extraction()->set_begin(2); }},
    {"beyond", [](auto* r) { r->mutable_results(1)->mutable_extraction()->set_end(2); }},
};

const char kClamped[] = "component { name: \"accuracy\" } clamp { low: -2 high: 2 }";

TEST_F(Client, RejectsEveryLieWholeAndAsksTheNextReplica) {
  FakeService* asked_first = nullptr;
  FakeService honest([&](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    if (asked_first->calls() == 0) return Status(StatusCode::UNAVAILABLE, "not yet");
    return Honest(call, request, response);
  });
  int lie_number = 0;
  for (const Lie& lie : kLies) {
    SCOPED_TRACE(std::to_string(lie_number++) + " " + lie.words);
    FakeService liar([&](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
      Honest(call, request, response);
      lie.twist(response);
      response->mutable_results(0)->set_reason("from the liar");
      return Status::OK;
    });
    asked_first = &liar;
    RewardClient client = Of({liar.address(), honest.address()});
    const std::vector<Rubric> rubrics = {RubricFrom(kClamped)};
    for (int round = 0; round < 2; ++round) {
      const std::vector<ScoreResult> results = client.Score(rubrics, Items(3));
      for (size_t i = 0; i < 3; ++i) EXPECT_EQ(results[i].reason(), "i" + std::to_string(i));
    }
    EXPECT_EQ(liar.calls(), 1);  // quarantined
    try {
      Score(Of({liar.address()}), Items(3), kClamped);
      ADD_FAILURE() << "was believed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      EXPECT_NE(error.message().find(lie.words), std::string::npos) << error.message();
      EXPECT_NE(error.message().find(liar.address()), std::string::npos);
      EXPECT_EQ(error.message().find('\x1b'), std::string::npos);
    }
  }
}

TEST_F(Client, HonestRepliesAreNoLies) {
  ScoreBatchRequest request = testing::Request(Items(3), kClamped);
  ScoreBatchResponse response;
  Answer(request, &response);
  EXPECT_EQ(FindLie(request, response), "");
  response.mutable_results(0)->set_reward(-2);
  ScoreResult* failed = response.mutable_results(1);
  failed->set_status(ScoreResult::UNSCORABLE);
  failed->clear_reward();
  failed->clear_components();
  EXPECT_EQ(FindLie(request, response), "");
}

// Only replies that cannot be right make a service untrusted. A status may be a passing fault.
TEST_F(Client, WaitsForAServiceThatIsDownFullOrBroken) {
  for (const StatusCode code : {StatusCode::UNAVAILABLE, StatusCode::RESOURCE_EXHAUSTED,
                                StatusCode::CANCELLED, StatusCode::INTERNAL, StatusCode::UNKNOWN,
                                StatusCode::UNIMPLEMENTED, StatusCode::DEADLINE_EXCEEDED}) {
    FakeService service(Refusing(code, 3));
    RewardClient client = Of({service.address()});
    const std::vector<Rubric> rubrics = {RubricFrom("component { name: \"accuracy\" }")};
    EXPECT_EQ(client.Score(rubrics, Items(1)).size(), 1u) << code;
    EXPECT_EQ(service.calls(), 4) << code;
    EXPECT_EQ(client.Score(rubrics, Items(1)).size(), 1u) << code;
    EXPECT_EQ(service.calls(), 5) << code;
  }
}

TEST_F(Client, GivesUpAfterItsWait) {
  for (const StatusCode code :
       {StatusCode::RESOURCE_EXHAUSTED, StatusCode::INTERNAL, StatusCode::UNIMPLEMENTED}) {
    FakeService full(Refusing(code, 100000));
    const auto begin = std::chrono::steady_clock::now();
    const Error error = Failure(Of({full.address()}, 0.3));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_NE(error.message().find(full.address()), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("not now"), std::string::npos) << error.message();
    EXPECT_EQ(error.message().find('\x1b'), std::string::npos);
    EXPECT_EQ(Failure(Of({full.address()}, 0)).kind(), ErrorKind::kUnavailable);
  }
  const Error down = Failure(Of({"127.0.0.1:1"}, 0.1));
  EXPECT_EQ(down.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(down.message().find("127.0.0.1:1"), std::string::npos);
}

// The wait, not the number of deadlines, decides; and two of them are no reason even if they took
// all of the wait.
TEST_F(Client, DeadlinesCountAsWaiting) {
  for (const double max_wait : {0.0, 60.0}) {
    FakeService slow_twice(Refusing(StatusCode::DEADLINE_EXCEEDED, 2));
    EXPECT_EQ(Score(Of({slow_twice.address()}, max_wait), Items(1)).size(), 1u);
    EXPECT_EQ(slow_twice.calls(), 3);
  }
  FakeService many(Refusing(StatusCode::DEADLINE_EXCEEDED, 8));
  EXPECT_EQ(Score(Of({many.address()}), Items(1)).size(), 1u);
  FakeService slow(Refusing(StatusCode::DEADLINE_EXCEEDED, 1000));
  const Error error = Failure(Of({slow.address()}, 0.05));
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(error.message().find("reward.deadline_seconds"), std::string::npos);
  EXPECT_GE(slow.calls(), 3);
}

// Accepts connections and greets like a server, and is silent from then on: a machine that died.
class SilentPeer {
 public:
  SilentPeer() {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    thread_ = std::jthread([this] {
      const unsigned char settings[9] = {0, 0, 0, 4, 0, 0, 0, 0, 0};  // an empty SETTINGS frame
      for (int c = accept(listener_, nullptr, nullptr); c >= 0;
           c = accept(listener_, nullptr, nullptr)) {
        EXPECT_EQ(write(c, settings, sizeof(settings)), 9);
        connections_.push_back(c);
      }
    });
  }
  ~SilentPeer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (const int c : connections_) close(c);
    close(listener_);
  }
  const std::string& address() const { return address_; }

 private:
  int listener_ = -1;
  std::string address_;
  std::vector<int> connections_;
  std::jthread thread_;
};

TEST_F(Client, ADeadPeerIsNoticedLongBeforeTheDeadline) {
  SilentPeer dead;
  const auto begin = std::chrono::steady_clock::now();
  const Error error = Failure(RewardClient({dead.address()}, {.deadline_seconds = 3600,
                                                              .max_wait_seconds = 0.1,
                                                              .first_pause_seconds = 0.002,
                                                              .keepalive_seconds = 0.2}));
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(error.message().find(dead.address()), std::string::npos) << error.message();
  // Three tries. Without pings each of them takes 10 s: the deadline of the first question.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 25s);
}

TEST_F(Client, AStopEndsPausesAndCalls) {
  FakeService full(Refusing(StatusCode::RESOURCE_EXHAUSTED, 100000));
  std::atomic<bool> arrived{false}, open{false};
  FakeService stuck([&](int, const ScoreBatchRequest&, ScoreBatchResponse*) {
    arrived = true;
    while (!open) std::this_thread::sleep_for(1ms);
    return Status::OK;
  });
  const std::vector<Rubric> rubrics = {RubricFrom("component { name: \"accuracy\" }")};
  for (FakeService* service : {&full, &stuck}) {
    std::stop_source stop;
    std::jthread stopper([&] {
      while (service->calls() < 1) std::this_thread::sleep_for(1ms);
      stop.request_stop();
    });
    try {
      RewardClient({service->address()}, {.max_wait_seconds = 3600, .first_pause_seconds = 600})
          .Score(rubrics, Items(1), stop.get_token());
      ADD_FAILURE() << "was scored";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
      EXPECT_NE(error.message().find("the run stops"), std::string::npos) << error.message();
    }
  }
  open = true;
}

TEST_F(Client, RefusedRequestsAreThePersonsToFix) {
  FakeService service(Refusing(StatusCode::INVALID_ARGUMENT, 1));
  const Error error = Failure(Of({service.address()}));
  EXPECT_EQ(error.kind(), ErrorKind::kUser);
  EXPECT_NE(error.message().find("not now"), std::string::npos);
  EXPECT_EQ(service.calls(), 1);
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
