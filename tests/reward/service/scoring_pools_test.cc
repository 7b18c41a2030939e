// Batches on workers: one result an item, bounds that are given back however a batch ends, and
// nobody who waits for somebody else's program.
#include "reward/service/scoring_pools.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "reward/code/result_cache.h"
#include "tests/testing/fake_grader.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using Result = reward::v1::ScoreResult;
using End = ScoringPools::End;
using testing::ByText;
using testing::CodeItem;
using testing::Failed;
using testing::FakeGrader;
using testing::Gate;
using testing::Judged;
using testing::MathItem;
using Clock = std::chrono::steady_clock;

const std::map<std::string, Rubric>& Rubrics() {
  static const std::map<std::string, Rubric> rubrics = {
      {"default", testing::RubricFrom("component { name: \"accuracy\" }")}};
  return rubrics;
}

ScoreBatchRequest Batch(int math, int code, const std::string& completion = "right") {
  ScoreBatchRequest request;
  for (int i = 0; i < math; ++i)
    *request.add_items() = MathItem("m" + std::to_string(i), completion);
  for (int i = 0; i < code; ++i)
    *request.add_items() = CodeItem("c" + std::to_string(i), completion);
  return request;
}

bool Never() { return false; }

End Submit(ScoringPools* pools, const ScoreBatchRequest& request, ScoreBatchResponse* response,
           Clock::time_point deadline = Clock::time_point::max()) {
  return pools->Score(request, Rubrics(), deadline, Never, response);
}
End Submit(ScoringPools* pools, const ScoreBatchRequest& request) {
  ScoreBatchResponse response;
  return Submit(pools, request, &response);
}

// Programs wait at the gate, numbers do not.
class GatedPools : public ::testing::Test {
 protected:
  Judgement Code(const GradeBudget& budget) {
    return gate_.Pass(budget.stop) ? Judged(Result::AC) : Failed(Result::TIMEOUT, "stopped");
  }

  Gate gate_;
  FakeGrader math_{ByText};
  FakeGrader code_{[this](const auto&, const GradeBudget& budget) { return Code(budget); }};
  Scorer scorer_{&math_, &code_};
};

TEST_F(GatedPools, GiveOneResultAnItemInOrder) {
  gate_.Open();
  ScoringPools pools(&scorer_, {});
  ScoreBatchRequest request = Batch(40, 20);
  request.mutable_items(7)->set_completion("wrong");
  ScoreBatchResponse response;
  response.add_results()->set_item_id("left over");
  ASSERT_EQ(Submit(&pools, request, &response), End::kScored);
  ASSERT_EQ(response.results_size(), 60);
  for (int i = 0; i < 60; ++i) {
    const Result& r = response.results(i);
    EXPECT_EQ(r.item_id(), request.items(i).item_id());
    EXPECT_EQ(r.status(), Result::SCORED);
    EXPECT_EQ(r.reward(), i == 7 ? 0 : 1);
    EXPECT_GE(r.timings().queue_seconds(), 0);
    EXPECT_EQ(r.rubric_hash().size(), 32u);
  }
  EXPECT_EQ(Submit(&pools, {}), End::kScored);
}

TEST_F(GatedPools, ProgramsNeverDelayNumbersNorTakeTheirRoom) {
  ScoringPools pools(&scorer_, {.math_workers = 1, .code_workers = 1, .queue_items = 3});
  std::jthread slow([&] { EXPECT_EQ(Submit(&pools, Batch(0, 3)), End::kScored); });
  gate_.AwaitArrivals(1);
  EXPECT_EQ(Submit(&pools, Batch(3, 0)), End::kScored);  // returns although the gate is closed
  EXPECT_EQ(Submit(&pools, Batch(0, 1)), End::kFull);
  EXPECT_EQ(Submit(&pools, Batch(1, 1)), End::kFull);  // refused whole
  EXPECT_EQ(Submit(&pools, Batch(4, 0)), End::kFull);
  gate_.Open();
  slow.join();
  EXPECT_EQ(Submit(&pools, Batch(3, 3)), End::kScored);  // all room is back
}

TEST_F(GatedPools, BoundTheBatchesThatWait) {
  ScoringPools pools(&scorer_, {.batches = 1});
  std::jthread slow([&] { EXPECT_EQ(Submit(&pools, Batch(1, 1)), End::kScored); });
  gate_.AwaitArrivals(1);
  ScoreBatchResponse response;
  EXPECT_EQ(Submit(&pools, Batch(0, 1), &response), End::kFull);
  EXPECT_EQ(response.results_size(), 0);
  EXPECT_EQ(Submit(&pools, Batch(0, 0)), End::kScored);
  gate_.Open();
  slow.join();
  EXPECT_EQ(Submit(&pools, Batch(1, 1)), End::kScored);
}

// A batch must not wait for the programs of others beyond its own deadline.
TEST_F(GatedPools, TimeOutWhatWasNotStartedByTheDeadline) {
  ScoringPools pools(&scorer_, {.code_workers = 1});
  std::jthread slow([&] { EXPECT_EQ(Submit(&pools, Batch(0, 1)), End::kScored); });
  gate_.AwaitArrivals(1);
  ScoreBatchResponse response;
  ASSERT_EQ(Submit(&pools, Batch(2, 3), &response, Clock::now() + 1s), End::kScored);
  for (int i = 0; i < 5; ++i) {
    const Result& r = response.results(i);
    EXPECT_EQ(r.status(), i < 2 ? Result::SCORED : Result::TIMEOUT) << i;
    EXPECT_EQ(r.reason(), i < 2 ? "fake" : "deadline");
    EXPECT_EQ(r.has_reward(), i < 2);
  }
  EXPECT_EQ(gate_.arrived(), 1);
  gate_.Open();
}

TEST_F(GatedPools, DeadlinesInThePastAreTimeouts) {
  ScoringPools pools(&scorer_, {});
  for (const Clock::time_point deadline : {Clock::now() - 1h, Clock::time_point::min()}) {
    ScoreBatchResponse response;
    ASSERT_EQ(Submit(&pools, Batch(3, 3), &response, deadline), End::kScored);
    for (const Result& r : response.results()) {
      EXPECT_EQ(r.status(), Result::TIMEOUT);
      EXPECT_EQ(r.reason(), "deadline");
      EXPECT_FALSE(r.has_reward());
    }
  }
  EXPECT_EQ(gate_.arrived(), 0);
}

TEST_F(GatedPools, CancellationStopsWhatRunsAndTakesBackWhatWaits) {
  ScoringPools pools(&scorer_, {.code_workers = 2, .queue_items = 5});
  ScoreBatchResponse response;
  ASSERT_EQ(pools.Score(
                Batch(0, 5), Rubrics(), Clock::time_point::max(),
                [&] {
                  gate_.AwaitArrivals(2);
                  return true;
                },
                &response),
            End::kScored);
  int stopped = 0, cancelled = 0;
  for (const Result& r : response.results()) {
    EXPECT_EQ(r.status(), Result::TIMEOUT);
    stopped += r.reason() == "stopped" ? 1 : 0;
    cancelled += r.reason() == "cancelled" ? 1 : 0;
  }
  EXPECT_GE(stopped, 2);
  EXPECT_EQ(stopped + cancelled, 5);
  gate_.Open();
  EXPECT_EQ(Submit(&pools, Batch(0, 5)), End::kScored);
}

// The arguments of a Score that throws are gone: nobody may hold them, no room may be lost.
TEST_F(GatedPools, AnExceptionLeavesNothingBehind) {
  ScoringPools pools(&scorer_, {.code_workers = 2, .queue_items = 5, .batches = 1});
  for (int i = 0; i < 3; ++i) {
    auto request = std::make_unique<ScoreBatchRequest>(Batch(2, 5));
    auto response = std::make_unique<ScoreBatchResponse>();
    EXPECT_THROW(pools.Score(
                     *request, Rubrics(), Clock::time_point::max(),
                     []() -> bool { throw std::runtime_error("connection"); }, response.get()),
                 std::runtime_error);
  }
  gate_.Open();
  EXPECT_EQ(Submit(&pools, Batch(5, 5)), End::kScored);
}

TEST_F(GatedPools, DrainRefusesNewBatchesAndWaitsForTheRunningOnes) {
  ScoringPools pools(&scorer_, {});
  ScoreBatchResponse response;
  std::jthread slow([&] { EXPECT_EQ(Submit(&pools, Batch(1, 1), &response), End::kScored); });
  gate_.AwaitArrivals(1);
  EXPECT_FALSE(pools.Drain(0ms));
  EXPECT_EQ(Submit(&pools, Batch(1, 0)), End::kDraining);
  gate_.Open();
  EXPECT_TRUE(pools.Drain(1h));
  slow.join();
  EXPECT_EQ(response.results(1).status(), Result::SCORED);
}

// One worker: were it gone, the second batch would never end.
TEST(ScoringPools, WorkersOutliveWhatThrows) {
  const FakeGrader grader([](const reward::v1::ScoreItem& item, const GradeBudget&) -> Judgement {
    if (item.completion() == "throw") throw std::runtime_error("broken \xff grader");
    return Judged(Result::CORRECT);
  });
  const Scorer scorer(&grader, nullptr);
  ScoringPools pools(&scorer, {.math_workers = 1});
  ScoreBatchResponse response;
  ASSERT_EQ(Submit(&pools, Batch(2, 0, "throw"), &response), End::kScored);
  EXPECT_EQ(response.results(0).status(), Result::INTERNAL);
  EXPECT_EQ(response.results(0).reason(), "grader_failed");
  ASSERT_EQ(pools.Score(Batch(1, 0), {}, Clock::time_point::max(), Never, &response),
            End::kScored);  // no rubric: our own bug
  EXPECT_EQ(response.results(0).status(), Result::INTERNAL);
  EXPECT_EQ(response.results(0).reason(), "not_scored");
  EXPECT_FALSE(response.results(0).has_reward());
  ASSERT_EQ(Submit(&pools, Batch(1, 0), &response), End::kScored);
  EXPECT_EQ(response.results(0).reward(), 1);
}

TEST(ScoringPools, RefuseToStandWithoutWorkersOrRoom) {
  const Scorer scorer(nullptr, nullptr);
  EXPECT_THROW(ScoringPools(&scorer, {.math_workers = 0}), Error);
  EXPECT_THROW(ScoringPools(&scorer, {.queue_items = 0}), Error);
}

// Judges each text once, when the gate of slow ones is open.
class EqualPrograms : public ::testing::Test {
 protected:
  Judgement Code(const reward::v1::ScoreItem& item, const GradeBudget& budget) {
    return cache_.Get(item.completion(), budget, [&] {
      ++made_;
      if (item.completion() != "slow") return Judged(Result::AC);
      return gate_.Pass(budget.stop) ? Judged(Result::TLE) : Failed(Result::TIMEOUT, "stopped");
    });
  }

  Gate gate_;
  std::atomic<int> made_{0};
  ResultCache cache_{1 << 20};
  FakeGrader code_{
      [this](const auto& item, const GradeBudget& budget) { return Code(item, budget); }};
  Scorer scorer_{nullptr, &code_};
};

TEST_F(EqualPrograms, WaitForTheOneThatRunsWithoutAWorker) {
  ScoringPools pools(&scorer_, {.code_workers = 2});
  ScoreBatchResponse slow;
  std::jthread caller([&] { EXPECT_EQ(Submit(&pools, Batch(0, 9, "slow"), &slow), End::kScored); });
  gate_.AwaitArrivals(1);
  ScoreBatchResponse quick;  // the other worker is free for it
  ASSERT_EQ(Submit(&pools, Batch(0, 5, "quick"), &quick, Clock::now() + 60s), End::kScored);
  for (const Result& r : quick.results()) EXPECT_EQ(r.verdict(), Result::AC);
  EXPECT_EQ(gate_.arrived(), 1);
  gate_.Open();
  caller.join();
  int cached = 0;
  for (const Result& r : slow.results()) {
    EXPECT_EQ(r.verdict(), Result::TLE);
    cached += r.cached() ? 1 : 0;
  }
  EXPECT_EQ(cached, 8);
  EXPECT_EQ(made_, 2);
}

TEST_F(EqualPrograms, WaitNoLongerThanTheirBatch) {
  ScoringPools pools(&scorer_, {.code_workers = 2, .queue_items = 9});
  std::jthread caller([&] {
    ScoreBatchResponse response;
    EXPECT_EQ(Submit(&pools, Batch(0, 1, "slow"), &response), End::kScored);
    EXPECT_EQ(response.results(0).verdict(), Result::TLE);
  });
  gate_.AwaitArrivals(1);
  for (int round = 0; round < 3; ++round) {
    ScoreBatchResponse late;
    ASSERT_EQ(Submit(&pools, Batch(0, 8, "slow"), &late, Clock::now() + 50ms), End::kScored);
    for (const Result& r : late.results()) EXPECT_EQ(r.status(), Result::TIMEOUT);
    EXPECT_THROW(pools.Score(
                     Batch(0, 8, "slow"), Rubrics(), Clock::time_point::max(),
                     []() -> bool { throw std::runtime_error("connection"); }, &late),
                 std::runtime_error);
  }
  EXPECT_EQ(made_, 1);
  gate_.Open();
}

// The batch whose program the others wait for is cancelled: one of them runs it again.
TEST_F(EqualPrograms, AreJudgedForAnotherBatchWhenTheFirstIsCancelled) {
  ScoringPools pools(&scorer_, {.code_workers = 2});
  std::atomic<bool> cancelled{false};
  std::jthread first([&] {
    ScoreBatchResponse response;
    EXPECT_EQ(pools.Score(
                  Batch(0, 1, "slow"), Rubrics(), Clock::time_point::max(),
                  [&] { return cancelled.load(); }, &response),
              End::kScored);
    EXPECT_EQ(response.results(0).status(), Result::TIMEOUT);
  });
  gate_.AwaitArrivals(1);
  ScoreBatchResponse second;
  std::jthread caller(
      [&] { EXPECT_EQ(Submit(&pools, Batch(0, 6, "slow"), &second), End::kScored); });
  std::this_thread::sleep_for(20ms);  // most of them wait by now, or not yet: both are right
  cancelled = true;
  first.join();
  gate_.AwaitArrivals(2);
  gate_.Open();
  caller.join();
  for (const Result& r : second.results()) EXPECT_EQ(r.verdict(), Result::TLE);
  EXPECT_EQ(made_, 2);
}

// Everything at once: batches that end well, late, cancelled and with an exception.
TEST(ScoringPools, ManyBatchesAtOnceLoseNothing) {
  const FakeGrader grader(ByText);
  const Scorer scorer(&grader, &grader);
  ScoringPools pools(&scorer, {.math_workers = 3, .code_workers = 3, .queue_items = 100});
  std::atomic<int> scored{0}, refused{0}, thrown{0};
  {
    std::vector<std::jthread> callers;
    for (int t = 0; t < 6; ++t) {
      callers.emplace_back([&, t] {
        for (int round = 0; round < 60; ++round) {
          ScoreBatchRequest request = Batch(9, 9);
          ScoreBatchResponse response;
          const int kind = (t + round) % 4;
          try {
            const End end = pools.Score(
                request, Rubrics(),
                kind == 1 ? Clock::now() + std::chrono::microseconds(round)
                          : Clock::time_point::max(),
                [kind]() -> bool {
                  if (kind == 3) throw std::runtime_error("gone");
                  return kind == 2;
                },
                &response);
            ++(end == End::kScored ? scored : refused);
            if (end != End::kScored) continue;
            ASSERT_EQ(response.results_size(), 18);
            for (const Result& r : response.results()) {
              ASSERT_TRUE(r.status() == Result::SCORED || r.status() == Result::TIMEOUT);
              ASSERT_EQ(r.has_reward(), r.status() == Result::SCORED);
            }
          } catch (const std::runtime_error&) {
            ++thrown;
          }
        }
      });
    }
  }
  EXPECT_EQ(scored + refused + thrown, 360);
  EXPECT_EQ(Submit(&pools, Batch(100, 100)), End::kScored);
  EXPECT_TRUE(pools.Drain(0ms));
}

}  // namespace
}  // namespace grouper
