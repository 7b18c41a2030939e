// The client against services that lie, refuse, are down, slow or full: results by id, retries and
// waits, quarantine, chunks. No test waits: the sleep is injected.
#include "reward/service/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "reward/scorer.h"
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
  explicit FakeService(Handler handler) : handler_(std::move(handler)) {
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
    std::lock_guard lock(mutex_);
    requests_.push_back(*request);
    return handler_(static_cast<int>(requests_.size()) - 1, *request, response);
  }
  const std::string& address() const { return address_; }
  std::vector<ScoreBatchRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  int calls() { return static_cast<int>(requests().size()); }

 private:
  Handler handler_;
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
    return RewardClient(std::move(addresses), {.deadline_seconds = deadline,
                                               .max_wait_seconds = max_wait,
                                               .sleep = [this](auto time) { slept_ += time; }});
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

  std::chrono::milliseconds slept_{0};
};

std::vector<ScoreItem> Items(int count, size_t bytes = 1) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < count; ++i)
    items.push_back(MathItem("i" + std::to_string(i), std::string(bytes, 'x')));
  return items;
}

TEST_F(Client, TakesResultsByIdAndChunksByItems) {
  FakeService service(Honest);
  const std::vector<ScoreResult> results = Score(Of({service.address()}), Items(600));
  ASSERT_EQ(results.size(), 600u);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].item_id(), "i" + std::to_string(i));
    EXPECT_EQ(results[i].reason(), results[i].item_id());
  }
  ASSERT_EQ(service.calls(), 3);
  EXPECT_EQ(service.requests()[0].items_size(), 256);
  EXPECT_EQ(service.requests()[2].items_size(), 88);
  EXPECT_TRUE(Score(Of({service.address()}), {}).empty());
}

TEST_F(Client, ChunksByBytes) {
  FakeService service(Honest);
  std::vector<ScoreItem> items = Items(10, 1500 << 10);
  items[3].set_completion(std::string(6 << 20, 'y'));  // alone, however large
  EXPECT_EQ(Score(Of({service.address()}), items).size(), 10u);
  std::vector<int> sizes;
  for (const ScoreBatchRequest& request : service.requests()) {
    sizes.push_back(request.items_size());
    EXPECT_TRUE(request.ByteSizeLong() <= 4 << 20 || request.items_size() == 1);
  }
  EXPECT_EQ(sizes, (std::vector<int>{2, 1, 1, 2, 2, 2}));
  try {
    Score(Of({service.address()}), Items(1, 65 << 20));
    ADD_FAILURE() << "no message holds it";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_NE(error.message().find("i0"), std::string::npos);
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
  FakeService honest(Honest);
  int lie_number = 0;
  for (const Lie& lie : kLies) {
    SCOPED_TRACE(std::to_string(lie_number++) + " " + lie.words);
    FakeService liar([&](int call, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
      Honest(call, request, response);
      lie.twist(response);
      response->mutable_results(0)->set_reason("from the liar");
      return Status::OK;
    });
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
  EXPECT_EQ(slept_, 0ms);
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

TEST_F(Client, WaitsForAServiceThatIsDownOrFull) {
  for (const StatusCode code :
       {StatusCode::UNAVAILABLE, StatusCode::RESOURCE_EXHAUSTED, StatusCode::CANCELLED}) {
    FakeService service(Refusing(code, 3));
    slept_ = 0ms;
    EXPECT_EQ(Score(Of({service.address()}), Items(2)).size(), 2u);
    EXPECT_EQ(service.calls(), 4);
    EXPECT_GE(slept_, 50ms + 100ms + 200ms);
    EXPECT_LE(slept_, 150ms + 300ms + 600ms);
  }
  // The next replica is asked first.
  FakeService full(Refusing(StatusCode::RESOURCE_EXHAUSTED, 1000)), honest(Honest);
  EXPECT_EQ(Score(Of({full.address(), honest.address()}), Items(300)).size(), 300u);
  EXPECT_EQ(full.calls(), 1);
  EXPECT_EQ(honest.calls(), 2);
}

TEST_F(Client, GivesUpAfterItsWait) {
  FakeService full(Refusing(StatusCode::RESOURCE_EXHAUSTED, 1000));
  const Error error = Failure(Of({full.address()}, 5));
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(error.message().find(full.address()), std::string::npos) << error.message();
  EXPECT_NE(error.message().find("not now"), std::string::npos) << error.message();
  EXPECT_EQ(error.message().find('\x1b'), std::string::npos);
  EXPECT_GE(slept_, 5s);
  EXPECT_LE(slept_, 5100ms);  // not a whole pause beyond it
  EXPECT_EQ(Failure(Of({full.address()}, 0)).kind(), ErrorKind::kUnavailable);
  const Error down = Failure(Of({"127.0.0.1:1"}, 1));
  EXPECT_EQ(down.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(down.message().find("127.0.0.1:1"), std::string::npos);
}

// With the defaults a first deadline takes all of the wait: it gets its second try none the less.
TEST_F(Client, DeadlineIsTriedOnceMore) {
  FakeService slow_once(Refusing(StatusCode::DEADLINE_EXCEEDED, 1));
  EXPECT_EQ(Score(Of({slow_once.address()}, 0), Items(1)).size(), 1u);
  EXPECT_EQ(slow_once.calls(), 2);
  FakeService slow(Refusing(StatusCode::DEADLINE_EXCEEDED, 1000));
  const Error error = Failure(Of({slow.address()}));
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  EXPECT_NE(error.message().find("reward.deadline_seconds"), std::string::npos);
  EXPECT_EQ(slow.calls(), 2);
  EXPECT_EQ(slept_, 0ms);
}

TEST_F(Client, RefusedRequestsAreThePersonsToFix) {
  FakeService service(Refusing(StatusCode::INVALID_ARGUMENT, 1));
  const Error error = Failure(Of({service.address()}));
  EXPECT_EQ(error.kind(), ErrorKind::kUser);
  EXPECT_NE(error.message().find("not now"), std::string::npos);
  EXPECT_EQ(service.calls(), 1);
}

TEST_F(Client, BrokenReplicasAreLeftForOthers) {
  for (const StatusCode code :
       {StatusCode::INTERNAL, StatusCode::UNKNOWN, StatusCode::UNIMPLEMENTED}) {
    FakeService broken(Refusing(code, 1000)), honest(Honest);
    EXPECT_EQ(Score(Of({broken.address(), honest.address()}), Items(300)).size(), 300u);
    EXPECT_EQ(broken.calls(), 1);
    EXPECT_EQ(Failure(Of({broken.address()})).kind(), ErrorKind::kInternal);
  }
}

TEST_F(Client, SendsFailedItemsOnceMoreToAnotherReplica) {
  const auto failing = [](int, const ScoreBatchRequest& request, ScoreBatchResponse* response) {
    Answer(request, response);
    for (ScoreResult& r : *response->mutable_results()) {
      const std::string& id = r.item_id();
      if (id == "i4") continue;
      r.set_status(id == "i0"   ? ScoreResult::INTERNAL
                   : id == "i1" ? ScoreResult::TIMEOUT
                                : ScoreResult::UNSCORABLE);
      r.clear_reward();
      r.clear_components();
    }
    return Status::OK;
  };
  FakeService bad(failing), honest(Honest);
  const std::vector<ScoreResult> results = Score(Of({bad.address(), honest.address()}), Items(5));
  EXPECT_EQ(bad.calls(), 1);
  ASSERT_EQ(honest.calls(), 1);
  EXPECT_EQ(honest.requests()[0].items_size(), 2);
  for (const size_t i : {0, 1, 4}) EXPECT_EQ(results[i].status(), ScoreResult::SCORED) << i;
  for (const size_t i : {2, 3}) EXPECT_EQ(results[i].status(), ScoreResult::UNSCORABLE) << i;
  // Failing again it stays a failure.
  FakeService alone(failing);
  EXPECT_EQ(Score(Of({alone.address()}), Items(1))[0].status(), ScoreResult::INTERNAL);
  EXPECT_EQ(alone.calls(), 2);
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
