// Programs that never end must not cost other programs their verdicts, whatever the number of
// workers.
#include "tests/reward/service/looping_programs.h"

#include <gtest/gtest.h>

#include <thread>

namespace grouper {
namespace {

using namespace std::chrono_literals;
using reward::v1::ScoreItem;
using reward::v1::ScoreResult;
using testing::JudgedInTheJail;
using testing::NoJail;
using testing::Right;
using testing::Verdicts;

// Loops take 50 ms each, three times the deadline in sum: one call of all items would leave the
// last ones without time, also if it was tried twice.
TEST(LoopingPrograms, NeverTakeTheTimeOfOthers) {
  const testing::FakeGrader code([](const ScoreItem& item, const GradeBudget& budget) {
    if (item.completion().find("while") == std::string::npos)
      return testing::Judged(ScoreResult::AC);
    for (int i = 0; i < 10; ++i) {
      if (budget.stop.stop_requested()) return testing::Failed(ScoreResult::TIMEOUT, "deadline");
      std::this_thread::sleep_for(5ms);
    }
    return testing::Judged(ScoreResult::TLE);
  });
  const Scorer scorer(nullptr, &code);
  for (const int workers : {1, 2}) EXPECT_EQ(Verdicts(scorer, workers, 120, 1), Right(120));
}

// One loop takes longer than the deadline that is set: calls get the time of their worst case.
TEST(LoopingPrograms, GetTheSameVerdictsInTheJailFromOneWorkerAndFromTwo) {
  if (NoJail()) GTEST_SKIP() << "the jail does not stand on this machine";
  for (const int workers : {1, 2}) EXPECT_EQ(JudgedInTheJail(workers, 6, 0.5), Right(6));
}

}  // namespace
}  // namespace grouper
