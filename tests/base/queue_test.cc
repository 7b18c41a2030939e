#include "base/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

namespace grouper {
namespace {

TEST(Queue, KeepsOrderAndItsBound) {
  Queue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.Push(2));
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_TRUE(queue.TryPush(4));
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.Pop(), 4);
}

TEST(Queue, AClosedQueueHandsOutWhatItHolds) {
  Queue<std::unique_ptr<int>> queue(3);  // values that only move
  queue.Push(std::make_unique<int>(1));
  queue.Push(std::make_unique<int>(2));
  queue.Close();
  queue.Close();
  EXPECT_FALSE(queue.Push(std::make_unique<int>(3)));
  EXPECT_FALSE(queue.TryPush(std::make_unique<int>(3)));
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_EQ(**queue.Pop(), 2);
  EXPECT_FALSE(queue.Pop().has_value());
}

TEST(Queue, EveryValueArrivesOnceAndTheBoundHolds) {
  constexpr int kProducers = 4, kConsumers = 3, kEach = 2'000;
  constexpr size_t kCapacity = 3;
  Queue<int> queue(kCapacity);
  std::vector<std::atomic<int>> seen(kProducers * kEach);
  std::atomic<bool> over{false}, disordered{false};
  {
    std::vector<std::jthread> consumers;
    for (int c = 0; c < kConsumers; ++c) {
      consumers.emplace_back([&] {
        std::vector<int> last(kProducers, -1);
        while (const std::optional<int> value = queue.Pop()) {
          if (queue.size() > kCapacity) over = true;
          ++seen[static_cast<size_t>(*value)];
          int& before = last[static_cast<size_t>(*value / kEach)];
          if (*value <= before) disordered = true;  // one producer's values stay in order
          before = *value;
        }
      });
    }
    {
      std::vector<std::jthread> producers;
      for (int p = 0; p < kProducers; ++p) {
        producers.emplace_back([&, p] {
          for (int i = 0; i < kEach; ++i) queue.Push(p * kEach + i);
        });
      }
    }
    queue.Close();
  }
  for (const std::atomic<int>& count : seen) ASSERT_EQ(count.load(), 1);
  EXPECT_FALSE(over);
  EXPECT_FALSE(disordered);
}

// Many rounds, so that the close comes before, while and after the others begin to wait. A waiter
// that is not woken hangs the test.
TEST(Queue, CloseWakesAllWaiters) {
  for (int round = 0; round < 100; ++round) {
    Queue<int> empty(1), full(1);
    full.Push(0);
    std::atomic<int> refused{0};
    std::latch started(6);
    {
      std::vector<std::jthread> waiters;
      for (int i = 0; i < 3; ++i) {
        waiters.emplace_back([&] {
          started.arrive_and_wait();
          if (!empty.Pop().has_value()) ++refused;
        });
        waiters.emplace_back([&] {
          started.arrive_and_wait();
          if (!full.Push(1)) ++refused;
        });
      }
      started.wait();
      empty.Close();
      full.Close();
    }
    ASSERT_EQ(refused, 6);
    ASSERT_EQ(full.Pop(), 0);
    ASSERT_FALSE(full.Pop().has_value());
  }
}

TEST(Queue, AStopEndsTheWaitsAndLosesNothing) {
  for (int round = 0; round < 100; ++round) {
    Queue<int> empty(1), full(1);
    full.Push(7);
    std::stop_source stop;
    std::atomic<int> refused{0};
    std::latch started(2);
    {
      std::jthread popper([&] {
        started.arrive_and_wait();
        if (!empty.Pop(stop.get_token()).has_value()) ++refused;
      });
      std::jthread pusher([&] {
        started.arrive_and_wait();
        if (!full.Push(8, stop.get_token())) ++refused;
      });
      started.wait();
      stop.request_stop();
    }
    ASSERT_EQ(refused, 2);
    ASSERT_EQ(full.size(), 1u);
    ASSERT_EQ(full.Pop(stop.get_token()), 7);  // held values are handed out after a stop, too
  }
}

}  // namespace
}  // namespace grouper
