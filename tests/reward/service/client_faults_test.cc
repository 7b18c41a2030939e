// The client against services that lie, refuse, fail, are down, slow, full or gone: retries and
// waits, whom it trusts, when it gives up.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "reward/service/client.h"
#include "reward/service/reply_check.h"
#include "tests/reward/service/client_case.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using grpc::Status;
using grpc::StatusCode;
using reward::v1::ScoreResult;
using testing::Answer;
using testing::FakeService;
using testing::Honest;
using testing::Items;
using testing::Refusing;
using testing::RubricFrom;
using testing::ScoreBatchRequest;
using testing::ScoreBatchResponse;
using Client = testing::ClientCase;

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

}  // namespace
}  // namespace grouper
