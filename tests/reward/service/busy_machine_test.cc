// 256 programs that never end beside 256 good ones, with one worker and with two on a busy machine:
// takes minutes. And one long call.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/reward/service/looping_programs.h"

namespace grouper {
namespace {

using testing::JudgedInTheJail;
using testing::NoJail;
using testing::Right;

// Processes that take all the processor time they get.
class BusyMachine {
 public:
  explicit BusyMachine(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        alarm(3600);
        while (true) {
        }
      }
      pids_.push_back(pid);
    }
  }
  ~BusyMachine() {
    for (const pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> pids_;
};

class ManyLoopingPrograms : public ::testing::TestWithParam<int> {};

TEST_P(ManyLoopingPrograms, GetTheSameVerdictsOnABusyMachine) {
  if (NoJail()) GTEST_SKIP() << "the jail does not stand on this machine";
  const BusyMachine busy(GetParam() == 1 ? 0 : 4);
  EXPECT_EQ(JudgedInTheJail(GetParam(), 512, 60), Right(512));
}

INSTANTIATE_TEST_SUITE_P(Workers, ManyLoopingPrograms, ::testing::Values(1, 2));

// The client pings every 20 s while a call has no data. A service that took offence would end the
// connection at the third ping.
TEST(LongCalls, SurviveTheirPings) {
  std::atomic<int> judged{0};
  const testing::FakeGrader slow([&](const reward::v1::ScoreItem&, const GradeBudget&) {
    ++judged;
    std::this_thread::sleep_for(std::chrono::seconds(95));
    return testing::Judged(reward::v1::ScoreResult::AC);
  });
  const Scorer scorer(nullptr, &slow);
  const RewardService service(&scorer, {});
  RewardClient client({service.address()}, {});
  const std::vector<Rubric> rubrics = {
      testing::RubricFrom("component { name: \"accuracy\" } code { wall_seconds: 100 }")};
  EXPECT_EQ(client.Score(rubrics, {testing::CodeItem("a", "x")})[0].reward(), 1);
  EXPECT_EQ(judged, 1);
}

}  // namespace
}  // namespace grouper
