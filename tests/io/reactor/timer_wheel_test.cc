#include "io/reactor/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "tests/io/reactor/recorder.h"

namespace volley::io {
namespace {

using ::testing::ElementsAre;

constexpr MonoTime kStart = MonoTime::FromNanos(987'654'321'012'345);
constexpr absl::Duration kTick = absl::Nanoseconds(1 << 20);

TEST(TimerWheel, FiresNotBeforeTheDeadlineAndWithinATickOfIt) {
  std::mt19937_64 random(7);
  for (const absl::Duration range :
       {absl::Milliseconds(3), absl::Milliseconds(100), absl::Seconds(10), absl::Minutes(20),
        absl::Hours(50), absl::Hours(24 * 365 * 100)}) {
    TimerWheel wheel(kStart);
    MonoTime now = kStart;
    int fired = 0;
    std::vector<std::unique_ptr<TestTimer>> timers;
    const auto range_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(range));
    for (int i = 0; i < 300; ++i) {
      const MonoTime due = kStart + absl::Nanoseconds(static_cast<int64_t>(random() % range_ns));
      timers.push_back(std::make_unique<TestTimer>([&fired, &now, due] {
        ++fired;
        EXPECT_GE(now, due);
        EXPECT_LE(now - due, kTick);
      }));
      wheel.Set(timers.back().get(), due);
    }
    EXPECT_EQ(wheel.set_timers(), 300u);
    int turns = 0;
    while (!wheel.NextExpiry().is_infinite()) {
      ASSERT_GT(wheel.NextExpiry(), now) << "time must go on";
      now = wheel.NextExpiry();
      wheel.Advance(now);
      ++turns;
    }
    EXPECT_EQ(fired, 300);
    EXPECT_LE(turns, 300 * 8) << "at most once a level for each timer";
  }
}

TEST(TimerWheel, AgreesWithASortedListWhateverIsDone) {
  std::mt19937_64 random(11);
  TimerWheel wheel(kStart);
  MonoTime now = kStart;
  struct Known {
    MonoTime due = MonoTime::Infinite();
    int fired = 0;
  };
  constexpr int kTimers = 200;
  std::vector<Known> known(kTimers);
  std::vector<std::unique_ptr<TestTimer>> timers(kTimers);
  const auto make = [&](int i) {
    timers[i] = std::make_unique<TestTimer>([&, i] {
      ++known[i].fired;
      EXPECT_GE(now, known[i].due);
      known[i].due = MonoTime::Infinite();
    });
  };
  for (int i = 0; i < kTimers; ++i) make(i);
  for (int step = 0; step < 60'000; ++step) {
    const int i = static_cast<int>(random() % kTimers);
    switch (random() % 5) {
      case 0:
      case 1: {
        const int64_t reach = int64_t{1} << (20 + random() % 22);
        known[i].due = now + absl::Nanoseconds(static_cast<int64_t>(random() % reach));
        wheel.Set(timers[i].get(), known[i].due);
        break;
      }
      case 2:
        wheel.Cancel(timers[i].get());
        known[i].due = MonoTime::Infinite();
        break;
      case 3:
        timers[i].reset();
        known[i].due = MonoTime::Infinite();
        make(i);
        break;
      case 4:
        now = now + absl::Nanoseconds(static_cast<int64_t>(random() % (1 << 24)));
        wheel.Advance(now);
        for (const Known& timer : known) {
          ASSERT_TRUE(timer.due.is_infinite() || timer.due + kTick >= now) << "one was forgotten";
        }
        break;
    }
    ASSERT_EQ(timers[i]->is_set(), !known[i].due.is_infinite());
    MonoTime soonest = MonoTime::Infinite();
    size_t set = 0;
    for (const Known& timer : known) {
      soonest = std::min(soonest, timer.due);
      set += !timer.due.is_infinite();
    }
    ASSERT_EQ(wheel.set_timers(), set);
    ASSERT_EQ(wheel.NextExpiry().is_infinite(), set == 0);
    if (set != 0) {
      ASSERT_LE(wheel.NextExpiry(), std::max(soonest, now) + 2 * kTick);
    }
  }
  const int total = std::accumulate(known.begin(), known.end(), 0,
                                    [](int sum, const Known& timer) { return sum + timer.fired; });
  EXPECT_GT(total, 1000) << "the walk must really have fired timers";
}

TEST(TimerWheel, FiresByDeadlineAlsoWithinOneTickAndAfterALongSleep) {
  TimerWheel wheel(kStart);
  std::vector<int> fired;
  std::vector<std::unique_ptr<TestTimer>> timers;
  const int64_t delays_us[] = {900, 100, 500, 4'000'000, 300, 3'999'999, 70'000};
  for (int i = 0; i < 7; ++i) {
    timers.push_back(std::make_unique<TestTimer>([&fired, i] { fired.push_back(i); }));
    wheel.Set(timers.back().get(), kStart + absl::Microseconds(delays_us[i]));
  }
  EXPECT_EQ(wheel.Advance(kStart + absl::Hours(1)), 7u);
  EXPECT_THAT(fired, ElementsAre(1, 4, 2, 0, 6, 5, 3));
}

TEST(TimerWheel, FiresEqualDeadlinesInTheOrderTheyWereSet) {
  for (const absl::Duration delay : {absl::Milliseconds(2), absl::Milliseconds(90),
                                     absl::Seconds(6), absl::Minutes(7), absl::Hours(9)}) {
    TimerWheel wheel(kStart);
    std::vector<int> fired, expected;
    std::vector<std::unique_ptr<TestTimer>> timers;
    for (int i = 0; i < 20; ++i) {
      timers.push_back(std::make_unique<TestTimer>([&fired, i] { fired.push_back(i); }));
      wheel.Set(timers.back().get(), kStart + delay);
      expected.push_back(i);
    }
    while (!wheel.NextExpiry().is_infinite()) wheel.Advance(wheel.NextExpiry());
    EXPECT_EQ(fired, expected) << delay;
  }
}

TEST(TimerWheel, MovingLaterAgainAndAgainFiresOnce) {
  TimerWheel wheel(kStart);
  MonoTime now = kStart;
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  for (int i = 0; i < 10'000; ++i) {  // a reply time-out that is pushed on by every reply
    wheel.Set(&timer, now + absl::Seconds(300));
    now = now + absl::Milliseconds(10);
    wheel.Advance(now);
  }
  EXPECT_EQ(fired, 0);
  EXPECT_EQ(wheel.set_timers(), 1u);
  wheel.Advance(now + absl::Seconds(289));
  EXPECT_EQ(fired, 0);
  wheel.Advance(now + absl::Seconds(301));
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheel, ACallbackMayMoveCancelAndDestroyThoseDueWithIt) {
  TimerWheel wheel(kStart);
  const MonoTime due = kStart + absl::Milliseconds(10);
  std::vector<std::string> fired;
  auto destroyed = std::make_unique<TestTimer>([&] { fired.push_back("destroyed"); });
  TestTimer cancelled([&] { fired.push_back("cancelled"); });
  TestTimer moved([&] { fired.push_back("moved"); });
  TestTimer last([&] { fired.push_back("last"); });
  TestTimer first([&] {
    fired.push_back("first");
    destroyed.reset();
    wheel.Cancel(&cancelled);
    wheel.Set(&moved, due + absl::Seconds(1));
    wheel.Set(&first, due + absl::Seconds(2));
  });
  wheel.Set(&first, due);
  for (Timer* timer : {static_cast<Timer*>(destroyed.get()), static_cast<Timer*>(&cancelled),
                       static_cast<Timer*>(&moved), static_cast<Timer*>(&last)}) {
    wheel.Set(timer, due + absl::Microseconds(1));
  }
  wheel.Advance(due + absl::Milliseconds(2));
  EXPECT_THAT(fired, ElementsAre("first", "last"));
  wheel.Advance(due + absl::Milliseconds(1500));
  EXPECT_THAT(fired, ElementsAre("first", "last", "moved"));
  wheel.Cancel(&first);
  wheel.Advance(due + absl::Seconds(5));
  EXPECT_EQ(fired.size(), 3u);
}

TEST(TimerWheel, AWheelThatGoesCancelsItsTimers) {
  auto wheel = std::make_unique<TimerWheel>(kStart);
  TestTimer set([] {}), cancelled([] {});
  wheel->Set(&set, kStart + absl::Seconds(1));
  wheel->Set(&cancelled, kStart + absl::Seconds(1));
  wheel->Cancel(&cancelled);
  wheel.reset();
  EXPECT_FALSE(set.is_set());
  TimerWheel other(kStart);  // and they can be used elsewhere
  other.Set(&set, kStart + absl::Seconds(2));
  other.Set(&cancelled, kStart + absl::Seconds(2));
  EXPECT_EQ(other.set_timers(), 2u);
}

TEST(TimerWheel, AnInfiniteDeadlineIsNone) {
  TimerWheel wheel(kStart);
  TestTimer timer([] { FAIL(); });
  wheel.Set(&timer, MonoTime::Infinite());
  EXPECT_FALSE(timer.is_set());
  wheel.Set(&timer, kStart + absl::Milliseconds(5));
  wheel.Set(&timer, MonoTime::Infinite());
  EXPECT_EQ(wheel.set_timers(), 0u);
  EXPECT_TRUE(wheel.NextExpiry().is_infinite());
  wheel.Advance(kStart + absl::Seconds(1));
}

TEST(TimerWheelDeathTest, ATimerBelongsToOneWheelAtATime) {
  TimerWheel one(kStart), other(kStart);
  TestTimer timer([] {});
  one.Set(&timer, kStart + absl::Seconds(1));
  EXPECT_DEATH(other.Set(&timer, kStart + absl::Seconds(1)), "check failed");
}

}  // namespace
}  // namespace volley::io
