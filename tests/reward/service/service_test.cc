// The service over loopback: results and statuses, refused requests, bounds, deadlines,
// cancellation, draining, health, reflection.
#include "reward/service/service.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "reward/code/code_grader.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"
#include "tests/reward/service/service_case.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;
using reward::v1::ScoreItem;
using reward::v1::ScoreResult;
using testing::ById;
using testing::Caller;
using testing::CodeItem;
using testing::Failed;
using testing::FakeGrader;
using testing::Gate;
using testing::Judged;
using testing::MathItem;
using testing::Request;
using testing::ScoreBatchRequest;
using testing::ScoreBatchResponse;

// Numbers are judged, programs wait at the gate.
class Service : public ::testing::Test {
 protected:
  void Start(const RewardServiceOptions& options = {}) {
    service_ = std::make_unique<RewardService>(&scorer_, options);
  }
  Judgement Code(const GradeBudget& budget) {
    return gate_.Pass(budget.stop) ? Judged(ScoreResult::AC) : Failed(ScoreResult::TIMEOUT, "stop");
  }
  Caller Call() { return Caller(service_->address()); }

  Gate gate_;
  MathGrader math_;
  FakeGrader code_{[this](const auto&, const GradeBudget& budget) { return Code(budget); }};
  Scorer scorer_{&math_, &code_};
  std::unique_ptr<RewardService> service_;
};

struct Expected {
  ScoreItem item;
  ScoreResult::Status status;
  ScoreResult::Verdict verdict;
  std::string reason;
};

ScoreItem WithId(ScoreItem item, const std::string& id) {
  item.set_item_id(id);
  return item;
}

TEST_F(Service, GivesOneResultAnItemWithAStatusOfItsOwn) {
  const Scorer without_code(&math_, nullptr);
  const RewardService service(&without_code, {});
  ScoreItem no_tests = CodeItem("", "x");
  no_tests.mutable_code()->mutable_problem()->clear_cases();
  ScoreItem no_gold = MathItem("", "\\boxed{1}");
  no_gold.mutable_math()->clear_golds();
  const std::string bytes("\xff\x00\xc3(\xed\xa0\x80", 7);
  const std::vector<Expected> cases = {
      {MathItem("", "so \\boxed{1}"), ScoreResult::SCORED, ScoreResult::CORRECT, "exact"},
      {MathItem("", "so \\boxed{2}"), ScoreResult::SCORED, ScoreResult::WRONG, "different"},
      {MathItem("", "no idea"), ScoreResult::SCORED, ScoreResult::NO_ANSWER, "no_answer"},
      {MathItem("", ""), ScoreResult::SCORED, ScoreResult::NO_ANSWER, "no_answer"},
      {MathItem("", "\\boxed{1}", "\\frac{"), ScoreResult::UNSCORABLE, {}, "gold_unparsable"},
      {no_gold, ScoreResult::UNSCORABLE, {}, "gold_missing"},
      {no_tests, ScoreResult::UNSCORABLE, {}, "no_tests"},
      {CodeItem("", "def f(x): return x"), ScoreResult::UNSCORABLE, {}, "no_isolation"},
      {MathItem("", std::string(size_t{3} << 19, 'x')), ScoreResult::SCORED,
       ScoreResult::OVER_BUDGET, "completion_too_long"},
      {MathItem("", bytes + "\\boxed{1}"), ScoreResult::SCORED, ScoreResult::CORRECT, "exact"},
      {MathItem("", "\\boxed{" + bytes + "}"), ScoreResult::SCORED, ScoreResult::UNPARSABLE, ""},
  };
  std::vector<ScoreItem> items;
  for (const Expected& e : cases) items.push_back(WithId(e.item, std::to_string(items.size())));
  ScoreBatchResponse response;
  const grpc::Status status = Caller(service.address()).Score(Request(items), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::map<std::string, ScoreResult> results = ById(response);
  ASSERT_EQ(results.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    const ScoreResult& r = results[std::to_string(i)];
    EXPECT_EQ(r.status(), cases[i].status) << i << r.reason();
    EXPECT_EQ(r.verdict(), cases[i].verdict) << i;
    if (!cases[i].reason.empty()) {
      EXPECT_EQ(r.reason(), cases[i].reason) << i;
    }
    EXPECT_EQ(r.reward(), r.verdict() == ScoreResult::CORRECT ? 1 : 0);
    EXPECT_EQ(r.grader_version(), kGraderVersion);
  }
}

TEST_F(Service, RefusesMalformedRequestsNamingTheField) {
  Start({.queue_items = 9});
  const ScoreItem item = MathItem("a", "\\boxed{1}");
  ScoreItem other = MathItem("b", "x");
  other.set_rubric("other");
  ScoreBatchRequest twice = Request({item});
  *twice.add_rubrics() = twice.rubrics(0);
  ScoreBatchRequest no_task = Request({item, WithId(item, "b")}), many_tasks = Request({item});
  no_task.add_tasks();
  no_task.mutable_items(1)->set_shared_task(1);
  for (int i = 0; i < 10; ++i) many_tasks.add_tasks();
  std::vector<ScoreItem> many;
  for (int i = 0; i < 10; ++i) many.push_back(WithId(item, std::to_string(i)));
  other.set_item_id(std::string(1 << 20, 'b'));  // must not break the trailer
  for (const auto& [request, words] : std::vector<std::pair<ScoreBatchRequest, std::string>>{
           {Request({item, other}), "items[1].rubric"},
           {Request({item, WithId(other, "b")}),
            "items[1].rubric: the call has no rubric of this name: item_id=b rubric=other"},
           {Request({item, WithId(item, "b"), item}),
            "items[2].item_id: another item of the call has it: item_id=a"},
           {no_task,
            "items[1].shared_task: the call has no task of this index: item_id=b shared_task=1 "
            "tasks=1"},
           {many_tasks, "tasks: the call has too many; send fewer: limit=9"},
           {Request(many), "items: the call has too many; send fewer: limit=9"},
           {Request({item}, "component { name: \"acuracy\" }"), "rubrics[0]"},
           {Request({item}, "component { name: \"accuracy\" weight: nan }"),
            "component[0].weight=nan"},
           {Request({}, "name: \"r\""), "it has no component"},
           {twice, "rubrics[1].name: another rubric has this name: name=default"},
       }) {
    const grpc::Status status = Call().Score(request);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_NE(status.error_message().find(words), std::string::npos) << status.error_message();
    EXPECT_LT(status.error_message().size(), 400u);
  }
  EXPECT_TRUE(Call().Score(Request({item})).ok());
  EXPECT_TRUE(Call().Score(Request({})).ok());
  EXPECT_EQ(Call().Capabilities().max_items(), 9u);
}

TEST_F(Service, RefusesMessagesThatAreTooLarge) {
  Start();
  const grpc::Status status = Call().Score(Request({MathItem("a", std::string(65 << 20, 'x'))}));
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("larger than max"), std::string::npos)
      << status.error_message();
  EXPECT_TRUE(Call().Score(Request({MathItem("a", "\\boxed{1}")})).ok());
}

TEST_F(Service, SharedTasksAreJudgedLikeTheItemsOwn) {
  gate_.Open();
  Start();
  const std::vector<ScoreItem> items = {MathItem("right", "\\boxed{1}"),
                                        MathItem("wrong", "\\boxed{2}"), CodeItem("code", "x"),
                                        MathItem("seven", "\\boxed{7}", "7")};
  ScoreBatchRequest request = Request(items);
  *request.add_tasks()->mutable_code() = items[2].code();
  *request.add_tasks()->mutable_math() = items[0].math();
  request.add_tasks();  // holds nothing
  for (const int i : {0, 1}) request.mutable_items(i)->set_shared_task(1);
  request.mutable_items(2)->set_shared_task(0);
  *request.add_items() = WithId(request.items(0), "empty");
  request.mutable_items(4)->set_shared_task(2);
  ScoreBatchResponse response;
  ASSERT_TRUE(Call().Score(request, &response).ok());
  std::map<std::string, ScoreResult> results = ById(response);
  EXPECT_EQ(results["right"].reward(), 1);
  EXPECT_EQ(results["wrong"].verdict(), ScoreResult::WRONG);
  EXPECT_EQ(results["code"].verdict(), ScoreResult::AC);
  EXPECT_EQ(results["seven"].reward(), 1);
  EXPECT_EQ(results["empty"].reason(), "no_task");
  EXPECT_TRUE(Call().Capabilities().shared_tasks());
  EXPECT_EQ(Call().Capabilities().code_workers(), 2u);
}

// Slow programs fill their own queue: numbers pass, and the room comes back.
TEST_F(Service, FullQueueIsExhaustedAndGivenBack) {
  Start({.code_workers = 1, .queue_items = 2});
  const ScoreBatchRequest two = Request({CodeItem("a", "x"), CodeItem("b", "x")});
  std::jthread slow([&] { EXPECT_TRUE(Call().Score(two).ok()); });
  gate_.AwaitArrivals(1);
  EXPECT_EQ(Call().Score(Request({CodeItem("c", "x")})).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(Call().Score(Request({MathItem("m", "\\boxed{1}"), MathItem("n", "")})).ok());
  }
  gate_.Open();
  slow.join();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Call().Score(two).ok());
}

TEST_F(Service, DeadlinesReachTheItemsBeforeTheCaller) {
  Start({.code_workers = 1});
  std::jthread slow([&] { EXPECT_TRUE(Call().Score(Request({CodeItem("a", "x")})).ok()); });
  gate_.AwaitArrivals(1);
  ScoreBatchResponse response;
  // The slot is taken: the program has no time, the number has its result.
  const grpc::Status status = Call().Score(
      Request({CodeItem("late", "x"), MathItem("in time", "\\boxed{1}")}), &response, 1500ms);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::map<std::string, ScoreResult> results = ById(response);
  EXPECT_EQ(results["late"].status(), ScoreResult::TIMEOUT);
  EXPECT_EQ(results["late"].reason(), "deadline");
  EXPECT_EQ(results["in time"].reward(), 1);
  gate_.Open();
}

TEST_F(Service, CallsWithoutADeadlineGetTheServicesOwn) {
  Start({.code_workers = 1, .default_deadline = 200ms});
  ScoreBatchResponse response;
  ASSERT_TRUE(Call().Score(Request({CodeItem("a", "x")}), &response, 0ms).ok());
  EXPECT_EQ(response.results(0).status(), ScoreResult::TIMEOUT);
  // A deadline of the caller's is the caller's, longer ones too.
  std::jthread opener([&] {
    gate_.AwaitArrivals(2);
    std::this_thread::sleep_for(400ms);
    gate_.Open();
  });
  ASSERT_TRUE(Call().Score(Request({CodeItem("a", "x")}), &response).ok());
  EXPECT_EQ(response.results(0).status(), ScoreResult::SCORED);
}

TEST_F(Service, SurvivesAGraderThatThrows) {
  const FakeGrader bad(
      [](const auto&, const auto&) -> Judgement { throw std::runtime_error("not \xff utf-8"); });
  const Scorer scorer(&bad, nullptr);
  const RewardService service(&scorer, {.math_workers = 1});
  for (int i = 0; i < 3; ++i) {
    ScoreBatchResponse response;
    ASSERT_TRUE(Caller(service.address()).Score(Request({MathItem("a", "x")}), &response).ok());
    EXPECT_EQ(response.results(0).status(), ScoreResult::INTERNAL);
    EXPECT_EQ(response.results(0).reason(), "grader_failed");
  }
}

TEST_F(Service, CancellationFreesTheSlot) {
  Start({.code_workers = 1, .queue_items = 3});
  grpc::ClientContext context;
  std::jthread cancelled([&] {
    ScoreBatchResponse response;
    EXPECT_EQ(Call()
                  .Score(Request({CodeItem("a", "x"), CodeItem("b", "x"), CodeItem("c", "x")}),
                         &response, testing::kLong, &context)
                  .error_code(),
              StatusCode::CANCELLED);
  });
  gate_.AwaitArrivals(1);
  context.TryCancel();
  cancelled.join();
  gate_.Open();
  // The room of all three is back when the handler has seen it.
  grpc::Status status;
  do {
    status = Call().Score(Request({CodeItem("d", "x"), CodeItem("e", "x"), CodeItem("f", "x")}));
  } while (status.error_code() == StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_LE(gate_.arrived(), 6);
}

TEST_F(Service, DrainsRunningCallsAndRefusesNewOnes) {
  Start();
  Caller caller = Call();
  EXPECT_EQ(caller.Health(""), "SERVING");
  ScoreBatchResponse response;
  std::jthread slow(
      [&] { EXPECT_TRUE(Call().Score(Request({CodeItem("a", "x")}), &response).ok()); });
  gate_.AwaitArrivals(1);
  std::jthread drain([&] { service_->Drain(testing::kLong); });
  // The port stays open while the call runs.
  while (caller.Health("") == "SERVING") std::this_thread::yield();
  for (const char* name : {"", "math", "code", "grouper.reward.v1.Reward"})
    EXPECT_EQ(caller.Health(name), "NOT_SERVING") << name;
  grpc::Status refused;
  do {
    refused = caller.Score(Request({MathItem("m", "\\boxed{1}")}));
  } while (refused.ok());  // between the two steps of the drain
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE) << refused.error_message();
  EXPECT_NE(refused.error_message().find("drains"), std::string::npos);
  gate_.Open();
  slow.join();
  drain.join();
  EXPECT_EQ(response.results(0).status(), ScoreResult::SCORED);
  EXPECT_EQ(Call().Score(Request({})).error_code(), StatusCode::UNAVAILABLE);
}

// A grace that is too short cancels; nothing hangs, nothing is scored.
TEST_F(Service, DrainCancelsWhatOutlivesTheGrace) {
  Start();
  grpc::Status status;
  std::jthread slow([&] { status = Call().Score(Request({CodeItem("a", "x")})); });
  gate_.AwaitArrivals(1);
  service_->Drain(0ms);
  slow.join();
  EXPECT_TRUE(status.error_code() == StatusCode::UNAVAILABLE ||
              status.error_code() == StatusCode::CANCELLED)
      << status.error_code() << status.error_message();
  service_.reset();  // draining twice is fine
}

TEST_F(Service, HealthNamesMathCodeAndTheService) {
  reward::v1::CodeCaps caps;
  caps.set_tests(9);
  Start({.caps = caps, .isolation = "bubblewrap is missing", .code_serving = false});
  Caller caller = Call();
  EXPECT_EQ(caller.Health(""), "SERVING");
  EXPECT_EQ(caller.Health("math"), "SERVING");
  EXPECT_EQ(caller.Health("code"), "NOT_SERVING");
  EXPECT_EQ(caller.Health("grouper.reward.v1.Reward"), "SERVING");
  EXPECT_EQ(caller.Health("other"), "NOT_FOUND");
  const reward::v1::Capabilities capabilities = caller.Capabilities();
  EXPECT_EQ(capabilities.languages_size(), 0);
  EXPECT_EQ(capabilities.isolation(), "bubblewrap is missing");
  EXPECT_EQ(capabilities.grader_version(), kGraderVersion);
  EXPECT_EQ(capabilities.max_message_bytes(), 64u << 20);
  EXPECT_EQ(capabilities.max_items(), 4096u);
  EXPECT_EQ(capabilities.caps().tests(), 9);
}

TEST_F(Service, ReflectionListsTheService) {
  Start();
  Caller caller = Call();
  grpc::GenericStub stub(caller.channel());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  void* tag = nullptr;
  bool ok = false;
  const auto next = [&] { return queue.Next(&tag, &ok) && ok; };
  stream->StartCall(nullptr);
  ASSERT_TRUE(next());
  const grpc::Slice list_services("\x3a\x01*", 3);  // field 7 of the request, a string
  stream->Write(grpc::ByteBuffer(&list_services, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer reply;
  stream->Read(&reply, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice text;
  ASSERT_TRUE(reply.DumpToSingleSlice(&text).ok());
  EXPECT_NE(std::string(reinterpret_cast<const char*>(text.begin()), text.size())
                .find("grouper.reward.v1.Reward"),
            std::string::npos);
  context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
}

TEST_F(Service, ListensOnLoopbackUnlessTold) {
  for (const char* listen : {"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.0.0.1.example.org:0",
                             "localhost.example.org:0", "127.1:0", ":0", "", "127.0.0.1"}) {
    try {
      Start({.listen = listen});
      ADD_FAILURE() << "listens on " << listen;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser) << listen;
    }
  }
  Start({.listen = "0.0.0.0:0", .insecure = true});
  EXPECT_EQ(Caller("127.0.0.1" + service_->address().substr(7)).Health(""), "SERVING");
  Start({.listen = "localhost:0"});
  EXPECT_EQ(Call().Health(""), "SERVING");
  try {
    const RewardService second(&scorer_, {.listen = service_->address()});
    ADD_FAILURE() << "the port is in use";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  }
  const std::string socket = "unix:" + ::testing::TempDir() + "g" + std::to_string(getpid());
  Start({.listen = socket});
  EXPECT_EQ(service_->address(), socket);
  EXPECT_EQ(Call().Health(""), "SERVING");
  EXPECT_THROW(Start({.math_workers = 0}), Error);
}

// The real jail: programs are judged beside numbers, and a cancelled one is killed at once.
TEST(ServiceWithJail, JudgesProgramsAndKillsCancelledOnes) {
  const Jail jail;
  if (!jail.standing()) GTEST_SKIP() << jail.problem();
  const MathGrader math;
  const CodeGrader code(&jail);
  const Scorer scorer(&math, &code);
  const RewardService service(&scorer, {.code_workers = 1});
  Caller caller(service.address());
  const std::string rubric =
      "extraction: WHOLE component { name: \"accuracy\" } code { cpu_seconds: 50 wall_seconds: 50 "
      "}";
  ScoreBatchResponse response;
  ASSERT_TRUE(caller
                  .Score(Request({CodeItem("right", "def f(x):\n  return x\n"),
                                  CodeItem("wrong", "def f(x):\n  return 2\n"),
                                  CodeItem("bytes", "\xff\xfe"), MathItem("m", "1")},
                                 rubric),
                         &response)
                  .ok());
  std::map<std::string, ScoreResult> results = ById(response);
  EXPECT_EQ(results["right"].verdict(), ScoreResult::AC);
  EXPECT_EQ(results["right"].reward(), 1);
  EXPECT_EQ(results["wrong"].verdict(), ScoreResult::WA);
  EXPECT_EQ(results["bytes"].verdict(), ScoreResult::CE);
  EXPECT_EQ(results["m"].reward(), 1);
  // Past its deadline a program is the service's TIMEOUT: its own limits are far away.
  const ScoreBatchRequest endless =
      Request({CodeItem("loop", "while True: pass"), CodeItem("behind", "x = 1")}, rubric);
  ASSERT_TRUE(caller.Score(endless, &response, 2000ms).ok());
  for (const ScoreResult& r : response.results()) EXPECT_EQ(r.status(), ScoreResult::TIMEOUT);
  // 0.5 s is no synchronisation: cancelled earlier or later, the slot must be free.
  grpc::ClientContext context;
  std::jthread cancel([&] {
    std::this_thread::sleep_for(500ms);
    context.TryCancel();
  });
  EXPECT_EQ(caller.Score(endless, &response, testing::kLong, &context).error_code(),
            StatusCode::CANCELLED);
  ASSERT_TRUE(
      caller.Score(Request({CodeItem("next", "def f(x):\n  return x\n")}, rubric), &response, 20s)
          .ok());
  EXPECT_EQ(response.results(0).verdict(), ScoreResult::AC);
}

}  // namespace
}  // namespace grouper
