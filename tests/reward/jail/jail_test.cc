// The jail's own promises: it fails closed, keeps to deadlines and cancellations, gives the same
// answers in every run, and takes what ordinary programs use.
#include "reward/jail/jail.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "reward/code/code_grader.h"
#include "reward/scorer.h"
#include "tests/reward/jail/standing_jail.h"

namespace grouper {
namespace {

using End = JailResult::End;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

JailRequest Request(const std::string& program, std::vector<std::string> calls = {"[]"}) {
  JailRequest request;
  request.program = program;
  request.entry = "f";
  request.calls = std::move(calls);
  return request;
}

// The values of all calls; the end into *result.
std::vector<std::string> Values(const Jail& jail, const JailRequest& request, JailResult* result) {
  std::vector<std::string> values;
  *result = jail.Run(request, [&](size_t, const std::string& json) {
    values.push_back(json);
    return true;
  });
  return values;
}

// A program that stands where bubblewrap should, readable by any user.
class FakeBubblewrap {
 public:
  explicit FakeBubblewrap(const std::string& body) {
    char name[] = "/tmp/grouper-fake-XXXXXX";
    folder_ = mkdtemp(name);
    chmod(folder_.c_str(), 0755);
    std::ofstream(path()) << "#!/bin/sh\n" << body;
    chmod(path().c_str(), 0755);
  }
  ~FakeBubblewrap() {
    unlink(path().c_str());
    rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/bwrap"; }

 private:
  std::string folder_;
};

// Nothing runs, and a code item is the task's misfortune, never a 0.
void ExpectClosed(const Jail& jail, const std::string& words) {
  EXPECT_FALSE(jail.standing());
  EXPECT_NE(jail.problem().find(words), std::string::npos) << jail.problem();
  JailResult result;
  EXPECT_TRUE(Values(jail, Request("def f(): return 1"), &result).empty());
  EXPECT_EQ(result.end, End::kBroken);

  const CodeGrader code(&jail);
  const Scorer scorer(nullptr, &code);
  Rubric rubric;
  rubric.set_extraction(Rubric::WHOLE);
  rubric.add_component()->set_name("accuracy");
  reward::v1::ScoreItem item;
  item.set_completion("def f(): return 1");
  item.mutable_code()->mutable_problem()->set_entry("f");
  reward::v1::CodeCase* test = item.mutable_code()->mutable_problem()->add_cases();
  test->set_arguments_json("[]");
  test->set_expected_json("1");
  const reward::v1::ScoreResult score = scorer.Score(item, rubric, {});
  EXPECT_EQ(score.status(), reward::v1::ScoreResult::UNSCORABLE);
  EXPECT_EQ(score.reason(), "no_isolation");
  EXPECT_FALSE(score.has_reward());
}

// The tier of namespaces alone, with these programs.
Jail Bubblewrapped(const std::string& bwrap) {
  JailOptions options = Only(reward::v1::NAMESPACES);
  options.programs.bwrap = bwrap;
  return Jail(options);
}

TEST(Jail, IsClosedWithoutBubblewrap) {
  ExpectClosed(Bubblewrapped("/nowhere/bwrap"), "/nowhere/bwrap is missing; install");
}

TEST(Jail, IsClosedWithoutPython) {
  ExpectClosed(Jail({.programs = {.python = "/nowhere/python3"}}),
               "/nowhere/python3 is missing; install");
}

TEST(Jail, IsClosedWithoutATier) {
  JailOptions options;
  options.tiers.clear();
  const Jail jail(options);
  EXPECT_FALSE(jail.standing());
  EXPECT_EQ(jail.tier(), reward::v1::NOT_ISOLATED);
  EXPECT_NE(jail.problem(), "");
}

TEST(Jail, FallsBackToOneProcessAndSaysWhy) {
  const Jail jail({.programs = {.bwrap = "/nowhere/bwrap"}});
  SKIP_UNLESS_STANDING(jail);
  EXPECT_EQ(jail.tier(), reward::v1::PROCESS);
  EXPECT_NE(jail.problem().find("tier namespaces: /nowhere/bwrap is missing"), std::string::npos)
      << jail.problem();
  EXPECT_NE(jail.isolation().find("Landlock"), std::string::npos) << jail.isolation();
}

TEST(Jail, TakesNoTierBelowTheLeast) {
  EXPECT_EQ(Jail::AtLeast("namespaces").tiers, Only(reward::v1::NAMESPACES).tiers);
  EXPECT_EQ(Jail::AtLeast("process").tiers.size(), 2u);
  for (const char* word : {"", "none", "PROCESS"}) EXPECT_THROW(Jail::AtLeast(word), Error);
}

TEST(Jail, IsClosedWhenBubblewrapDoesNothing) {
  ExpectClosed(Bubblewrapped("/usr/bin/true"), "the probe did not end");
}

TEST(Jail, IsClosedWhenBubblewrapComplains) {
  const FakeBubblewrap fake("echo 'setting up uid map: Permission denied' >&2; exit 1\n");
  ExpectClosed(Bubblewrapped(fake.path()), "setting up uid map: Permission denied");
}

TEST(Jail, IsClosedWhenBubblewrapBuildsNoWalls) {
  const FakeBubblewrap fake(
      "while [ \"$1\" != /usr/bin/python3 ]; do shift; done\nexec \"$@\" 4<&-\n");
  ExpectClosed(Bubblewrapped(fake.path()), "the walls do not stand");
}

class StandingJail : public testing::TestWithParam<reward::v1::IsolationTier> {
 protected:
  void SetUp() override { SKIP_UNLESS_STANDING(jail_); }
  const Jail& jail_ = JailOf(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Tiers, StandingJail, testing::ValuesIn(kTiers),
                         [](const auto& each) { return std::string(TierWord(each.param)); });

TEST_P(StandingJail, AnswersCallAfterCall) {
  JailResult result;
  const std::vector<std::string> values = Values(
      jail_, Request("def f(x): return {'v': [x, None, 1.5, 'a\\u00e9\"\\n']}", {"[1]", "[true]"}),
      &result);
  EXPECT_EQ(result.end, End::kFinished);
  EXPECT_EQ(result.answered, 2u);
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0], R"({"v":[1,null,1.5,"a\u00e9\"\n"]})");
  EXPECT_EQ(values[1], R"({"v":[true,null,1.5,"a\u00e9\"\n"]})");
}

TEST_P(StandingJail, StopsWhereTheJudgeHasSeenEnough) {
  size_t seen = 0;
  const JailResult result = jail_.Run(Request("def f(x): return x", {"[1]", "[2]", "[3]"}),
                                      [&](size_t, const std::string&) { return ++seen < 2; });
  EXPECT_EQ(result.end, End::kFinished);
  EXPECT_EQ(seen, 2u);
}

TEST_P(StandingJail, GivesTheSameAnswerInEveryRun) {
  const JailRequest request = Request(
      "import os\n"
      "def f(): return [list({'ab', 'cd', 'ef', 'gh', 'ij'}), hash('a'), os.uname().nodename,\n"
      "                 sorted(os.environ), os.getcwd(), os.umask(0)]");
  JailResult result;
  const std::vector<std::string> first = Values(jail_, request, &result);
  ASSERT_EQ(first.size(), 1u);
  for (int run = 0; run < 3; ++run) EXPECT_EQ(Values(jail_, request, &result), first);
}

TEST_P(StandingJail, TakesWhatOrdinaryProgramsUse) {
  JailRequest request = Request(
      "import ast, asyncio, bisect, collections, contextlib, copy, csv, dataclasses, datetime, "
      "enum\n"
      "import decimal, fractions, functools, hashlib, heapq, io, itertools, json, logging, math\n"
      "import operator, random, re, statistics, string, textwrap, threading, time, typing, uuid\n"
      "from concurrent.futures import ThreadPoolExecutor\n"
      "async def later():\n"
      "    await asyncio.sleep(0.001)\n"
      "    return 5\n"
      "def f():\n"
      "    with ThreadPoolExecutor(4) as pool: squares = sum(pool.map(lambda v: v * v, range(9)))\n"
      "    random.seed(1); uuid.uuid4(); time.sleep(0.001); datetime.datetime.now()\n"
      "    print('not a result')\n"
      "    return [squares, asyncio.run(later()), json.loads('[1]'), math.comb(5, 2),\n"
      "            hashlib.sha256(b'').hexdigest()[:4], str(decimal.Decimal('0.1') * 3)]\n");
  JailResult result;
  const std::vector<std::string> values = Values(jail_, request, &result);
  EXPECT_EQ(result.end, End::kFinished) << result.detail;
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(values[0], R"([204,5,[1],10,"e3b0","0.3"])");
}

TEST_P(StandingJail, OutlivesAReaderThatDied) {
  // The process ends between its first value and the second call, which meets a closed pipe.
  const JailResult result = jail_.Run(Request("import os, threading\n"
                                              "def f(x):\n"
                                              "    threading.Timer(0.01, os._exit, (0,)).start()\n"
                                              "    return x",
                                              {"[1]", "[\"" + std::string(200000, 'a') + "\"]"}),
                                      [&](size_t, const std::string&) {
                                        std::this_thread::sleep_for(milliseconds(150));
                                        return true;
                                      });
  EXPECT_EQ(result.end, End::kEnded);
  EXPECT_EQ(result.answered, 1u);
}

TEST_P(StandingJail, EndsAtTheServicesDeadline) {
  JailRequest request = Request("import time\ndef f(): time.sleep(60)");
  request.deadline = Clock::now() + milliseconds(150);
  JailResult result;
  Values(jail_, request, &result);
  EXPECT_EQ(result.end, End::kDeadline);
  EXPECT_LT(Clock::now() - request.deadline, milliseconds(1000));
}

TEST_P(StandingJail, TheJudgesOwnTimeIsNotTheProgramsTime) {
  JailRequest request = Request("def f(x): return x", {"[1]", "[2]", "[3]"});
  request.limits.wall_seconds = 1;
  const JailResult result = jail_.Run(request, [](size_t, const std::string&) {
    std::this_thread::sleep_for(milliseconds(700));
    return true;
  });
  EXPECT_EQ(result.end, End::kFinished) << result.detail;
  EXPECT_EQ(result.answered, 3u);
}

// Twelve others want the one processor: a tenth of a second of work takes more than one.
TEST_P(StandingJail, AStarvedProgramIsNoSleeper) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the checks of the sanitizer slow the judge down, not the program";
#endif
  cpu_set_t before, one;
  CPU_ZERO(&one);
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (CPU_ISSET(cpu, &before) != 0 && CPU_COUNT(&one) == 0) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  std::vector<pid_t> others;
  for (int i = 0; i < 12; ++i) {
    others.push_back(fork());
    if (others.back() > 0) continue;
    setsid();  // or the scheduler may share by session, and they would be one
    alarm(60);
    for (volatile int spin = 0;;) {
      static_cast<void>(spin);
    }
  }
  JailRequest work = Request("def f():\n    return len(str(sum(range(8000000))))\n");
  work.limits.wall_seconds = 0.5;
  JailRequest sleep = Request("import time\ndef f():\n    time.sleep(30)\n");
  sleep.limits.wall_seconds = 0.5;
  JailResult worked, slept;
  const std::vector<std::string> values = Values(jail_, work, &worked);
  Values(jail_, sleep, &slept);
  for (const pid_t other : others) {
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(worked.end, End::kFinished) << worked.detail;
  EXPECT_EQ(values, std::vector<std::string>{"14"});
  EXPECT_EQ(slept.end, End::kWallLimit) << slept.detail;
}

TEST_P(StandingJail, EndsWhenCancelled) {
  for (const char* program :
       {"import time\ndef f(): time.sleep(60)", "import os, time\nos.close(3)\ntime.sleep(60)"}) {
    std::stop_source stop;
    JailRequest request = Request(program);
    request.stop = stop.get_token();
    const auto begin = Clock::now();
    std::jthread canceller([&] {
      std::this_thread::sleep_for(milliseconds(100));
      stop.request_stop();
    });
    JailResult result;
    Values(jail_, request, &result);
    EXPECT_EQ(result.end, End::kDeadline) << program;
    EXPECT_LT(Clock::now() - begin, milliseconds(1000));
  }
}

TEST_P(StandingJail, SlotsDoNotDisturbEachOther) {
  // Threads are counted per jail: together these would pass any one limit.
  const JailRequest request = Request(
      "import threading, time\n"
      "def f():\n"
      "    group = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(15)]\n"
      "    for t in group: t.start()\n"
      "    for t in group: t.join()\n"
      "    return len(group)");
  std::vector<std::string> ends(6);
  {
    std::vector<std::jthread> slots;
    for (std::string& end : ends) {
      slots.emplace_back([&] {
        JailResult result;
        const std::vector<std::string> values = Values(jail_, request, &result);
        end = values.empty() ? result.detail : values[0];
      });
    }
  }
  EXPECT_EQ(ends, std::vector<std::string>(6, "15"));
}

}  // namespace
}  // namespace grouper
