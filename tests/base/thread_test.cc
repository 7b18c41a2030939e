#include "base/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <stdexcept>

#include "base/clock.h"
#include "base/error.h"
#include "base/queue.h"

namespace grouper {
namespace {

TEST(NamedThread, CarriesItsName) {
  std::string seen;
  NamedThread thread("fifteen_letters", [&](std::stop_token) {
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof(name));
    seen = name;
  });
  thread.Join();
  EXPECT_EQ(seen, "fifteen_letters");
}

TEST(NamedThread, RefusesNamesThatTheSystemCuts) {
  EXPECT_THROW(NamedThread("sixteen_letters_", [](std::stop_token) {}), Error);
  EXPECT_THROW(NamedThread("", [](std::stop_token) {}), Error);
}

TEST(NamedThread, JoinRethrowsOnce) {
  NamedThread thread("thrower", [](std::stop_token) { ThrowUnavailable("[test] words"); });
  try {
    thread.Join();
    ADD_FAILURE() << "the exception was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_EQ(error.message(), "[test] words");
  }
  thread.Join();
}

TEST(NamedThread, OtherExceptionsAreKeptToo) {
  NamedThread standard("standard", [](std::stop_token) { throw std::out_of_range("x"); });
  EXPECT_THROW(standard.Join(), std::out_of_range);
  NamedThread number("number", [](std::stop_token) { throw 3; });
  EXPECT_THROW(number.Join(), int);
}

TEST(NamedThread, AStopReachesTheBody) {
  Queue<int> empty(1);
  std::atomic<bool> ended{false};
  NamedThread thread("waiter", [&](std::stop_token stop) {
    empty.Pop(stop);
    ended = true;
  });
  thread.RequestStop();
  thread.Join();
  EXPECT_TRUE(ended);
}

TEST(NamedThread, TheDestructorStopsJoinsAndDropsTheException) {
  Queue<int> empty(1);
  std::atomic<bool> ended{false};
  {
    NamedThread thread("waiter", [&](std::stop_token stop) {
      empty.Pop(stop);
      ended = true;
      throw std::runtime_error("nobody asks");
    });
  }
  EXPECT_TRUE(ended);
}

TEST(NamedThread, MovesAndAnEmptyOneJoins) {
  NamedThread empty;
  empty.Join();
  empty.RequestStop();
  Queue<int> queue(1);
  std::atomic<int> ended{0};
  NamedThread thread("first", [&](std::stop_token stop) {
    queue.Pop(stop);
    ++ended;
  });
  NamedThread moved = std::move(thread);
  moved = NamedThread("second", [&](std::stop_token) { throw std::out_of_range("second"); });
  EXPECT_EQ(ended, 1);  // the first was stopped and joined
  EXPECT_THROW(moved.Join(), std::out_of_range);
}

TEST(SystemClock, MonotonicTimeNeverGoesBack) {
  const SystemClock clock;
  int64_t before = clock.MonotonicNanos();
  for (int i = 0; i < 10'000; ++i) {
    const int64_t now = clock.MonotonicNanos();
    ASSERT_GE(now, before);
    before = now;
  }
  EXPECT_GT(clock.WallSeconds(), 1.6e9);  // seconds, not milliseconds or nanoseconds
  EXPECT_LT(clock.WallSeconds(), 1e10);
}

}  // namespace
}  // namespace grouper
