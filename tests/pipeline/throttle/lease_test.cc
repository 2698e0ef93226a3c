#include "pipeline/throttle/lease.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace volley::pipeline {
namespace {

struct CountingListener : RoomListener {
  void OnRoom() override { ++calls; }
  std::atomic<int> calls{0};
};

TEST(Lease, GivesNoMoreThanTheMaximumOut) {
  ConnectionLimit limit(2, 50);
  Lease a = limit.TryAcquire(), b = limit.TryAcquire();
  EXPECT_TRUE(a && b);
  EXPECT_EQ(a.messages_per_connection(), 50u);
  EXPECT_FALSE(limit.TryAcquire());
  a = Lease();
  EXPECT_TRUE(limit.HasRoom());
  EXPECT_EQ(limit.in_use(), 1u);
}

TEST(Lease, IsGivenBackOnceHoweverItIsMoved) {
  ConnectionLimit limit(2);
  {
    Lease a = limit.TryAcquire();
    Lease b(std::move(a));
    Lease c = limit.TryAcquire();
    c = std::move(b);  // its own goes back
    EXPECT_EQ(limit.in_use(), 1u);
    EXPECT_TRUE(c);
    Lease& same = c;
    c = std::move(same);
    EXPECT_EQ(limit.in_use(), 1u);
  }
  EXPECT_EQ(limit.in_use(), 0u);
}

TEST(Lease, TellsOfRoomOnlyWhenSomebodyWasRefused) {
  CountingListener listener;
  ConnectionLimit limit(1, 0, &listener);
  { Lease a = limit.TryAcquire(); }
  EXPECT_EQ(listener.calls, 0);
  {
    Lease a = limit.TryAcquire();
    EXPECT_FALSE(limit.TryAcquire());
    EXPECT_FALSE(limit.HasRoom());
  }
  EXPECT_EQ(listener.calls, 1);
  { Lease a = limit.TryAcquire(); }
  EXPECT_EQ(listener.calls, 1);
}

TEST(Lease, FollowsALowerAndAHigherMaximum) {
  CountingListener listener;
  ConnectionLimit limit(3, 0, &listener);
  Lease a = limit.TryAcquire(), b = limit.TryAcquire(), c = limit.TryAcquire();
  limit.SetMax(1);
  EXPECT_FALSE(limit.HasRoom());
  a = Lease();
  b = Lease();
  EXPECT_EQ(listener.calls, 0);  // still none to have
  EXPECT_FALSE(limit.TryAcquire());
  limit.SetMax(2);
  EXPECT_EQ(listener.calls, 1);
  EXPECT_TRUE(limit.TryAcquire());
  limit.SetMax(0);
  c = Lease();
  EXPECT_FALSE(limit.TryAcquire());
}

// Four threads open and close; a waiter is always told, so none sleeps for ever.
TEST(LeaseThreads, NeverExceedTheMaximumAndLoseNoWakeUp) {
  struct Waker : RoomListener {
    void OnRoom() override {
      room.fetch_add(1);
      room.notify_all();
    }
    std::atomic<int> room{0};
  } waker;
  ConnectionLimit limit(2, 0, &waker);
  std::atomic<int> open{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        for (;;) {
          const int seen = waker.room.load();
          Lease lease = limit.TryAcquire();
          if (!lease) {
            waker.room.wait(seen);  // for ever, if the wake-up is lost
            continue;
          }
          const int now = open.fetch_add(1) + 1;
          int before = most.load();
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          if (i % 64 == 0) std::this_thread::yield();
          open.fetch_sub(1);
          break;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 2);
  EXPECT_EQ(limit.in_use(), 0u);
}

}  // namespace
}  // namespace volley::pipeline
