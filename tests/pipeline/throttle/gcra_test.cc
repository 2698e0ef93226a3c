#include "pipeline/throttle/gcra.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "tests/pipeline/throttle/window_check.h"

namespace volley::pipeline {
namespace {

using io::MonoTime;
using testing::HoldsInEveryWindow;
using testing::MostInAnyWindow;

constexpr int64_t kSecond = 1'000'000'000;

MonoTime At(int64_t nanos) { return MonoTime::FromNanos(nanos); }

bool Takes(Gcra& gcra, int64_t nanos, uint32_t n = 1) {
  Gcra::Undo undo;
  return gcra.Take(At(nanos), n, &undo) == At(nanos);
}

RateSpec PerMinute(uint64_t count) { return {count, absl::Minutes(1)}; }

TEST(Gcra, PacesOneByOneWithoutABurst) {
  Gcra gcra(PerMinute(30), 1);
  Gcra::Undo undo;
  EXPECT_TRUE(Takes(gcra, 0));
  const MonoTime next = gcra.Take(At(0), 1, &undo);
  EXPECT_EQ(next, At(2 * kSecond + 1));  // (60 s + 1 ns) / 30, in whole nanoseconds
  EXPECT_FALSE(Takes(gcra, next.nanos() - 1));
  EXPECT_TRUE(Takes(gcra, next.nanos()));
}

TEST(Gcra, NamesTheExactTimeForEveryRateAndCount) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 2000; ++round) {
    const RateSpec rate{1 + random() % 5000,
                        absl::Nanoseconds(1'000'000 + random() % (3600 * kSecond))};
    if (!CheckRate(rate).ok()) continue;
    Gcra gcra(rate,
              random() % 2 ? std::optional<uint32_t>(1 + random() % BurstMax(rate)) : std::nullopt);
    int64_t now = static_cast<int64_t>(random() % kSecond);
    for (int i = 0; i < 20; ++i) {
      const auto n = static_cast<uint32_t>(1 + random() % gcra.most_at_once());
      Gcra::Undo undo;
      const MonoTime when = gcra.When(At(now), n);
      const MonoTime again = gcra.Take(At(now), n, &undo);
      ASSERT_EQ(again, when);
      if (again == At(now)) continue;
      ASSERT_GT(again, At(now));
      ASSERT_FALSE(Takes(gcra, again.nanos() - 1, n));
      ASSERT_TRUE(Takes(gcra, again.nanos(), n));
      now = again.nanos();
    }
  }
}

TEST(Gcra, LetsABurstOutAtOnceAndNeverMoreThanTheCountInItsSpan) {
  Gcra gcra(PerMinute(500), 50);
  EXPECT_EQ(gcra.most_at_once(), 50u);
  std::vector<int64_t> grants;
  for (int64_t now = 0; now < 300 * kSecond; now += 1'000'000) {
    while (Takes(gcra, now)) grants.push_back(now);
  }
  EXPECT_EQ(std::count(grants.begin(), grants.end(), 0), 50);
  EXPECT_EQ(MostInAnyWindow(grants, 60 * kSecond), 500u);
}

TEST(Gcra, NeverGrantsMoreAtOnceThanItsBurst) {
  Gcra gcra(PerMinute(500), 50);
  Gcra::Undo undo;
  EXPECT_TRUE(gcra.Take(At(0), 51, &undo).is_infinite());
  EXPECT_TRUE(gcra.When(At(0), UINT32_MAX).is_infinite());
  EXPECT_TRUE(Takes(gcra, 0, 50));
  EXPECT_FALSE(Takes(gcra, 0));
}

// An idle time saves up nothing beyond the burst.
TEST(Gcra, ForgetsTheTimeNobodyCame) {
  Gcra gcra({7, absl::Seconds(1)}, 3);
  EXPECT_TRUE(Takes(gcra, 3600 * kSecond, 3));
  EXPECT_FALSE(Takes(gcra, 3600 * kSecond));
}

TEST(Gcra, KeepsOddRatesForYearsWithoutDrift) {
  for (const auto& [count, per] : {std::pair<uint64_t, int64_t>{7, 1}, {30, 60}, {11, 3600}}) {
    Gcra gcra({count, absl::Seconds(per)}, 1);
    // The pace is the interval alone, so a long run is a multiplication: ten years of it.
    const double exact = static_cast<double>(per) / static_cast<double>(count);
    const double interval = absl::ToDoubleSeconds(gcra.interval());
    EXPECT_GE(interval, exact);
    EXPECT_LT(interval / exact - 1, 2e-9) << count << "/" << per;
  }
  Gcra gcra({7, absl::Seconds(1)}, 1);
  std::vector<int64_t> grants;
  int64_t now = 20ll * 365 * 86400 * kSecond;  // the machine has been up for long
  for (int i = 0; i < 700'000; ++i) {
    Gcra::Undo undo;
    now = std::max(now, gcra.When(At(now), 1).nanos());
    ASSERT_EQ(gcra.Take(At(now), 1, &undo), At(now));
    grants.push_back(now);
  }
  EXPECT_TRUE(HoldsInEveryWindow(grants, 7, kSecond, 0));
  EXPECT_LT(grants.back() - grants.front(), 100'000 * kSecond + kSecond / 1000);
}

TEST(Gcra, SpansFromOneADayToTenMillionASecond) {
  Gcra slow({1, absl::Hours(24)});
  EXPECT_TRUE(Takes(slow, 5));
  EXPECT_FALSE(Takes(slow, 5 + 86'400 * kSecond));
  EXPECT_TRUE(Takes(slow, 6 + 86'400 * kSecond + 5'000'000));
  Gcra fast({10'000'000, absl::Seconds(1)});
  EXPECT_NEAR(fast.per_second(), 1e7, 1e5);
}

TEST(Gcra, TakesAnUnusedPermitBack) {
  Gcra gcra(PerMinute(60), 1);
  Gcra::Undo undo;
  ASSERT_EQ(gcra.Take(At(0), 1, &undo), At(0));
  EXPECT_TRUE(gcra.Return(undo));
  EXPECT_TRUE(Takes(gcra, 0));
}

TEST(Gcra, KeepsAReturnedPermitSpentOnceAnotherWasTaken) {
  Gcra gcra(PerMinute(60), 1);
  Gcra::Undo first, second;
  ASSERT_EQ(gcra.Take(At(0), 1, &first), At(0));
  ASSERT_EQ(gcra.Take(At(5 * kSecond), 1, &second), At(5 * kSecond));
  EXPECT_FALSE(gcra.Return(first));
  EXPECT_FALSE(Takes(gcra, 5 * kSecond));  // two in the same instant
  EXPECT_TRUE(gcra.Return(second));
  EXPECT_FALSE(gcra.Return(second));
}

TEST(Gcra, HoldsToALowerRateFromWhenItIsSet) {
  Gcra gcra(PerMinute(600));
  std::vector<int64_t> before, after;
  for (int64_t now = 0; now < 600 * kSecond; now += 500'000) {
    if (now == 120 * kSecond) gcra.SetRate(PerMinute(10));
    if (Takes(gcra, now)) (now < 120 * kSecond ? before : after).push_back(now);
  }
  EXPECT_LE(MostInAnyWindow(before, 60 * kSecond), 600u);
  EXPECT_LE(MostInAnyWindow(after, 60 * kSecond), 10u);
  EXPECT_GE(after.size(), 79u);  // eight minutes of ten
}

TEST(Gcra, WaitsAtMostTheOldIntervalAfterARaise) {
  Gcra gcra(PerMinute(500), 100);
  gcra.SetRate(PerMinute(6));
  int64_t now = 0;
  for (int i = 0; i < 20; ++i) {
    now = gcra.When(At(now), 1).nanos();
    ASSERT_TRUE(Takes(gcra, now));
  }
  const absl::Duration old_interval = gcra.interval();
  gcra.SetRate(PerMinute(500));
  EXPECT_LE(gcra.When(At(now), 1) - At(now), old_interval + absl::Nanoseconds(1));
}

// A burst keeps its share of the pace when the rate falls below its number.
TEST(Gcra, KeepsItsPaceWhenTheRateFallsBelowTheBurst) {
  Gcra gcra(PerMinute(500), 100);
  const double share = gcra.per_second() / (500.0 / 60);
  gcra.SetRate(PerMinute(10));
  EXPECT_NEAR(gcra.per_second() / (10.0 / 60), share, 0.01);
  gcra.SetRate({1, absl::Seconds(1)});
  EXPECT_NEAR(gcra.per_second(), share, 0.01);
  gcra.SetRate(PerMinute(500));
  EXPECT_EQ(gcra.most_at_once(), 100u);
}

// Random rates, bursts, arrival patterns, counts and returns, on a simulated clock whose readings
// reach the limit out of order, as those of several shards do.
TEST(GcraProperty, NoWindowOfAnyLengthHoldsMoreThanTheLimit) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    std::mt19937_64 random(seed);
    const RateSpec rate{1 + random() % 1000,
                        absl::Nanoseconds(1'000'000 + random() % (120 * kSecond))};
    if (!CheckRate(rate).ok()) continue;
    std::optional<uint32_t> burst;
    if (random() % 2) burst = static_cast<uint32_t>(1 + random() % BurstMax(rate));
    Gcra gcra(rate, burst);
    const int64_t d = absl::ToInt64Nanoseconds(rate.per);
    const int64_t l = (absl::ToInt64Nanoseconds(gcra.tolerance()) + 1);
    const int64_t step = std::max<int64_t>(d / static_cast<int64_t>(rate.count) / 3, 1);
    struct Out {
      Gcra::Undo undo;
      int64_t at;
      uint32_t n;
    };
    std::vector<Out> out;
    int64_t now = d;
    for (int i = 0; i < 4000; ++i) {
      now += random() % 8 ? static_cast<int64_t>(random() % (2 * step)) : 0;
      if (random() % 500 == 0) now += d;
      const int64_t stale = now - static_cast<int64_t>(random() % (step + 1));
      const auto n =
          static_cast<uint32_t>(1 + random() % std::min<uint64_t>(gcra.most_at_once(), 3));
      Out taken{{}, stale, n};
      if (gcra.Take(At(stale), n, &taken.undo) == At(stale)) out.push_back(taken);
      if (!out.empty() && random() % 4 == 0) {
        const size_t which = random() % 2 ? out.size() - 1 : random() % out.size();
        if (gcra.Return(out[which].undo)) out.erase(out.begin() + static_cast<long>(which));
      }
    }
    std::vector<int64_t> grants;
    for (const Out& o : out) grants.insert(grants.end(), o.n, o.at);
    ASSERT_LE(MostInAnyWindow(grants, d), rate.count) << "seed " << seed;
    ASSERT_LE(MostInAnyWindow(grants, 3 * d), 3 * rate.count) << "seed " << seed;
    ASSERT_TRUE(HoldsInEveryWindow(grants, rate.count, d, l)) << "seed " << seed;
  }
}

// Spans across a change hold to the looser of the two rates, spans after it to the new one.
TEST(GcraProperty, NoWindowHoldsMoreThanTheLooserOfTwoRates) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    const RateSpec first{2 + random() % 300, absl::Seconds(60)};
    const RateSpec second{2 + random() % 300, absl::Seconds(60)};
    std::optional<uint32_t> burst;
    if (random() % 2) burst = static_cast<uint32_t>(1 + random() % BurstMax(first));
    Gcra gcra(first, burst);
    std::vector<int64_t> all, after;
    bool changed = false;
    const int64_t change = 30 * kSecond + static_cast<int64_t>(random() % (120 * kSecond));
    for (int64_t now = 0; now < 400 * kSecond;) {
      now += static_cast<int64_t>(random() % 200'000'000);
      if (random() % 300 == 0) now += static_cast<int64_t>(random() % (60 * kSecond));
      if (!changed && now >= change) {
        gcra.SetRate(second);
        changed = true;
      }
      for (int tries = 0; tries < 20; ++tries) {
        if (!Takes(gcra, now)) break;
        all.push_back(now);
        if (changed) after.push_back(now);
      }
    }
    ASSERT_LE(MostInAnyWindow(all, 60 * kSecond), std::max(first.count, second.count)) << seed;
    ASSERT_LE(MostInAnyWindow(after, 60 * kSecond), second.count) << seed;
  }
}

TEST(GcraProperty, ReachesItsRateWhenAskedLate) {
  std::mt19937_64 random(7);
  for (const RateSpec& rate :
       {RateSpec{10, absl::Seconds(1)}, PerMinute(500), RateSpec{20'000, absl::Seconds(1)},
        RateSpec{1'000'000, absl::Seconds(1)}}) {
    Gcra gcra(rate);
    uint64_t granted = 0;
    const int64_t end = rate.count > 10'000 ? 5 * kSecond : 600 * kSecond;
    // A taker that comes back when told to, up to 3 ms late.
    for (int64_t now = 0; now < end;) {
      while (Takes(gcra, now)) ++granted;
      now = gcra.When(At(now), 1).nanos() + static_cast<int64_t>(random() % 3'000'000);
    }
    const double allowed = static_cast<double>(rate.count) * static_cast<double>(end) /
                           static_cast<double>(absl::ToInt64Nanoseconds(rate.per));
    EXPECT_GE(static_cast<double>(granted), 0.99 * allowed) << FormatRate(rate);
    EXPECT_LE(static_cast<double>(granted), allowed) << FormatRate(rate);
  }
}

using Grants = std::vector<int64_t>;

// Four threads, one limit; every thread reads the clock, takes, and sometimes gives back.
Grants RunThreads(Gcra& gcra, int tries, const std::function<int64_t()>& read_clock, bool returns) {
  std::vector<std::vector<int64_t>> grants(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < grants.size(); ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t + 1);
      for (int i = 0; i < tries; ++i) {
        const int64_t now = read_clock();
        Gcra::Undo undo;
        if (gcra.Take(At(now), 1, &undo) != At(now)) continue;
        if (returns && random() % 3 == 0 && gcra.Return(undo)) continue;
        grants[t].push_back(now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Grants all;
  for (const auto& g : grants) all.insert(all.end(), g.begin(), g.end());
  return all;
}

TEST(GcraThreads, KeepTheLimitAndReachIt) {
  for (const bool returns : {false, true}) {
    const RateSpec rate{100'000, absl::Seconds(1)};
    Gcra gcra(rate);
    std::atomic<int64_t> clock{kSecond};
    Grants run = RunThreads(
        gcra, 200'000, [&] { return clock.fetch_add(1000, std::memory_order_relaxed); }, returns);
    EXPECT_LE(MostInAnyWindow(run, kSecond), rate.count);
    EXPECT_TRUE(HoldsInEveryWindow(run, rate.count, kSecond, 5'000'000));
    const double seconds = static_cast<double>(clock.load() - kSecond) / 1e9;
    if (!returns) {
      EXPECT_GE(static_cast<double>(run.size()), 0.99 * seconds * 100'000);
    }
  }
}

TEST(GcraThreads, KeepTheLimitOnTheRealClockWithABurst) {
  const RateSpec rate{20'000, absl::Milliseconds(10)};
  Gcra gcra(rate, 500);
  Grants run = RunThreads(
      gcra, 150'000, [] { return io::MonotonicNow().nanos(); }, /*returns=*/true);
  EXPECT_FALSE(run.empty());
  EXPECT_LE(MostInAnyWindow(run, 10'000'000), rate.count);
  EXPECT_TRUE(HoldsInEveryWindow(run, rate.count, 10'000'000,
                                 absl::ToInt64Nanoseconds(gcra.tolerance()) + 1));
}

TEST(GcraThreads, KeepTheStricterRateFromWhenItIsSet) {
  Gcra gcra({200'000, absl::Seconds(1)});
  std::atomic<int64_t> clock{kSecond};
  std::atomic<int64_t> changed_at{0};
  std::thread changer([&] {
    while (clock.load() < 2 * kSecond / 10 + kSecond) std::this_thread::yield();
    gcra.SetRate({1000, absl::Seconds(1)});
    changed_at = clock.fetch_add(1);  // who reads a later clock has seen the rate
  });
  Grants run = RunThreads(
      gcra, 200'000, [&] { return clock.fetch_add(1000); }, false);
  changer.join();
  std::vector<int64_t> after;
  for (const int64_t grant : run) {
    if (grant > changed_at) after.push_back(grant);
  }
  EXPECT_TRUE(HoldsInEveryWindow(after, 1000, kSecond, 5'000'000));
}

}  // namespace
}  // namespace volley::pipeline
