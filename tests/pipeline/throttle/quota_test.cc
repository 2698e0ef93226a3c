#include "pipeline/throttle/quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "pipeline/throttle/quota_file.h"
#include "pipeline/throttle/quota_state.h"
#include "tests/pipeline/temp_dir.h"
#include "tests/pipeline/throttle/window_check.h"

namespace volley::pipeline {
namespace {

using io::MonoTime;
using ::testing::HasSubstr;
using testing::MostInAnyWindow;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kNoon2026 = 1'780'000'000 * kSecond;
using Words = std::array<uint64_t, Quota::kStateWords>;

MonoTime At(int64_t nanos) { return MonoTime::FromNanos(nanos); }
// The wall clock `ahead` of the monotonic one.
ClockReading Clock(int64_t mono, int64_t ahead = kNoon2026) {
  return {At(mono), absl::FromUnixNanos(mono + ahead)};
}
RateSpec PerDay(uint64_t count) { return {count, absl::Hours(24)}; }

bool Takes(Quota& quota, int64_t nanos, uint32_t n = 1) {
  Quota::Undo undo;
  return quota.Take(At(nanos), n, &undo) == At(nanos);
}

std::unique_ptr<Quota> OpenOrDie(const RateSpec& spec, Words& words, const ClockReading& now,
                                 std::string* note = nullptr) {
  std::string unused;
  auto quota = Quota::Open(spec, words, now, note != nullptr ? note : &unused);
  EXPECT_TRUE(quota.ok()) << quota.status();
  return *std::move(quota);
}

TEST(Quota, GivesItsCountOutAndSaysExactlyWhenThereIsMore) {
  auto quota = Quota::InMemory(PerDay(100), Clock(0));
  EXPECT_TRUE(Takes(*quota, kHour, 60));
  EXPECT_TRUE(Takes(*quota, 2 * kHour, 40));
  Quota::Undo undo;
  const MonoTime one = quota->Take(At(3 * kHour), 1, &undo);
  EXPECT_EQ(one, quota->When(At(3 * kHour), 60));
  const MonoTime more = quota->When(At(3 * kHour), 61);
  EXPECT_GT(one, At(kHour + kDay));
  EXPECT_LE(one, At(kHour + kDay + kDay / 288));
  EXPECT_LE(more, At(2 * kHour + kDay + kDay / 288));
  EXPECT_TRUE(quota->When(At(3 * kHour), 101).is_infinite());
  EXPECT_FALSE(Takes(*quota, one.nanos() - 1));
  EXPECT_TRUE(Takes(*quota, one.nanos(), 60));
  EXPECT_FALSE(Takes(*quota, one.nanos()));
  EXPECT_TRUE(Takes(*quota, more.nanos(), 40));
}

TEST(Quota, TakesUnusedPermitsBackWhoeverHasTakenSince) {
  auto quota = Quota::InMemory(PerDay(2), Clock(0));
  Quota::Undo first, second;
  ASSERT_EQ(quota->Take(At(0), 1, &first), At(0));
  ASSERT_EQ(quota->Take(At(kHour), 1, &second), At(kHour));
  quota->Return(first);
  EXPECT_EQ(quota->Used(At(kHour)), 1u);
  EXPECT_TRUE(Takes(*quota, kHour));
  EXPECT_FALSE(Takes(*quota, kHour));
  // One that has expired already is not given back a second time.
  EXPECT_EQ(quota->Used(At(3 * kDay)), 0u);
  quota->Return(second);
  EXPECT_EQ(quota->Used(At(3 * kDay)), 0u);
}

TEST(Quota, ObeysAChangedLimit) {
  auto quota = Quota::InMemory(PerDay(10), Clock(0));
  EXPECT_TRUE(Takes(*quota, 0, 10));
  quota->SetLimit(5);
  EXPECT_FALSE(Takes(*quota, kHour));
  quota->SetLimit(12);
  EXPECT_TRUE(Takes(*quota, kHour, 2));
  quota->SetLimit(0);
  EXPECT_TRUE(quota->When(At(kHour), 1).is_infinite());
}

// A shard's cached time may be older than what another has expired with.
TEST(Quota, SendsATimeOfBeforeTheNewestBucketAway) {
  auto quota = Quota::InMemory({10, absl::Hours(1)}, Clock(0));
  EXPECT_TRUE(Takes(*quota, 0, 10));
  const int64_t free = quota->When(At(1), 10).nanos();
  EXPECT_TRUE(Takes(*quota, free));
  EXPECT_FALSE(Takes(*quota, free - 1));
  EXPECT_EQ(quota->When(At(free - 1), 1), At(free));
}

// Random takers, counts, returns, pauses, out of order within a bucket and over its edge.
TEST(QuotaProperty, NoSlidingWindowHoldsMoreOverRestartsAndJumpsBack) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const uint64_t limit = 1 + random() % 400;
    const RateSpec spec{limit, absl::Hours(static_cast<int64_t>(1 + random() % 48))};
    const int64_t window = absl::ToInt64Nanoseconds(spec.per);
    Words words{};
    int64_t ahead = kNoon2026;
    auto quota = OpenOrDie(spec, words, Clock(0, ahead));
    std::vector<int64_t> grants;
    int64_t now = 0;
    for (int i = 0; i < 3000; ++i) {
      now += static_cast<int64_t>(random() % (window / 100));
      if (random() % 300 == 0) now += static_cast<int64_t>(random() % window);
      if (random() % 100 == 0) {
        // Killed: the state is all that is left. The wall clock may have been set back.
        quota.reset();
        if (random() % 3 == 0) ahead -= static_cast<int64_t>(random() % (2 * window));
        quota = OpenOrDie(spec, words, Clock(now, ahead));
      }
      const auto n = static_cast<uint32_t>(1 + random() % std::max<uint64_t>(limit / 5, 1));
      const int64_t stale = std::max<int64_t>(now - static_cast<int64_t>(random() % kSecond), 0);
      Quota::Undo undo;
      if (quota->Take(At(stale), n, &undo) != At(stale)) continue;
      if (random() % 5 == 0) {
        quota->Return(undo);
      } else {
        grants.insert(grants.end(), n, stale);
      }
    }
    ASSERT_LE(MostInAnyWindow(grants, window), limit) << "seed " << seed;
    ASSERT_GT(grants.size(), limit);  // it did expire
  }
}

TEST(QuotaProperty, ReachesNinetyNinePercentWhenAlwaysUsedUp) {
  auto quota = Quota::InMemory(PerDay(10'000), Clock(0));
  uint64_t granted = 0;
  int64_t now = 0;
  Quota::Undo undo;
  for (; now < 100 * kDay; now = quota->When(At(now), 1).nanos()) {
    while (quota->Take(At(now), 1, &undo) == At(now)) ++granted;
  }
  EXPECT_GE(granted, 990'000u);
  EXPECT_LE(granted, 1'000'000u);
}

TEST(Quota, CountsWhatIsInTheFutureAsOfNowAndSaysSo) {
  Words words{};
  EXPECT_TRUE(Takes(*OpenOrDie(PerDay(10), words, Clock(0)), 0, 10));
  std::string note;
  auto quota = OpenOrDie(PerDay(10), words, Clock(0, kNoon2026 - 40 * kDay), &note);
  EXPECT_THAT(note, HasSubstr("10 messages count as sent now"));
  EXPECT_FALSE(Takes(*quota, kDay - 1));
  EXPECT_TRUE(Takes(*quota, kDay + kDay / 288, 10));
}

TEST(Quota, ForgetsByAsMuchAsTheClockIsSetForward) {
  Words words{};
  Quota::Undo undo;
  OpenOrDie(PerDay(10), words, Clock(0))->Take(At(0), 10, &undo);
  EXPECT_FALSE(Takes(*OpenOrDie(PerDay(10), words, Clock(0, kNoon2026 + kDay - 1)), 0));
  EXPECT_TRUE(Takes(*OpenOrDie(PerDay(10), words, Clock(0, kNoon2026 + 2 * kDay)), 0, 10));
}

TEST(Quota, CarriesItsCountsToAnotherWindow) {
  for (const auto& [from, to] : {std::pair(24, 1), std::pair(1, 24), std::pair(24, 744)}) {
    Words words{};
    Quota::Undo undo;
    const RateSpec before{100, absl::Hours(from)}, after{100, absl::Hours(to)};
    OpenOrDie(before, words, Clock(0))->Take(At(0), 70, &undo);
    auto quota = OpenOrDie(after, words, Clock(1000));
    EXPECT_EQ(quota->Used(At(1000)), 70u);
    EXPECT_FALSE(Takes(*quota, to * kHour - 1, 31));
    EXPECT_TRUE(Takes(*quota, to * kHour + kDay, 100)) << from << " to " << to;
  }
}

TEST(Quota, RefusesAStateThatIsDamagedOrNewer) {
  Words good{};
  Quota::Undo undo;
  OpenOrDie(PerDay(10), good, Clock(0))->Take(At(0), 3, &undo);
  const auto code = [](Words words) {
    std::string note;
    return Quota::Open(PerDay(10), words, Clock(0), &note).status().code();
  };
  EXPECT_EQ(code(good), absl::StatusCode::kOk);
  const size_t used = static_cast<size_t>(
      std::find_if(good.begin() + Quota::kHeaderWords, good.end(), [](uint64_t w) { return w; }) -
      good.begin());
  // Any one bit.
  for (size_t i = 0; i < Quota::kHeaderWords; ++i) {
    for (int bit = 0; bit < 64; ++bit) {
      Words bad = good;
      bad[i] ^= uint64_t{1} << bit;
      ASSERT_EQ(code(bad), absl::StatusCode::kDataLoss) << i << " " << bit;
    }
  }
  for (int bit = 0; bit < 64; ++bit) {
    Words bad = good;
    bad[used] ^= uint64_t{1} << bit;
    ASSERT_EQ(code(bad), absl::StatusCode::kDataLoss) << bit;
  }
  Words full = good;  // each word right, but more than anybody can have taken
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t bucket = (uint64_t{kNoon2026} / (kDay / 288)) - 1 - i;
    const size_t slot = bucket % Quota::kSlots;
    full[Quota::kHeaderWords + slot] = PackQuotaSlot({bucket, kQuotaCountMax}, slot);
  }
  EXPECT_EQ(code(full), absl::StatusCode::kDataLoss);
}

TEST(Quota, BeginsAnewWhereAnEarlierOneWasKilledWhileMakingIt) {
  Words words{};
  words[2] = 5;  // the magic comes last
  std::string note;
  EXPECT_TRUE(Quota::Open(PerDay(10), words, Clock(0), &note).ok());
}

TEST(Quota, GoesThroughASnapshotUnchanged) {
  auto quota = Quota::InMemory(PerDay(10), Clock(0));
  EXPECT_TRUE(Takes(*quota, 0, 7));
  Words copy = quota->Snapshot();
  EXPECT_EQ(OpenOrDie(PerDay(10), copy, Clock(5))->Used(At(5)), 7u);
}

TEST(QuotaFile, KeepsTheCountsAndLetsOneProcessIn) {
  testing::TempDir dir;
  std::string note;
  {
    auto file = *QuotaFile::Open(dir.path("ses.quota"));
    auto quota = *Quota::Open(PerDay(10), file->state(), Clock(0), &note);
    EXPECT_TRUE(Takes(*quota, 0, 10));
    EXPECT_TRUE(file->Sync().ok());
    const auto second = QuotaFile::Open(dir.path("ses.quota"));
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("ses.quota"));
  }
  auto file = *QuotaFile::Open(dir.path("ses.quota"));
  EXPECT_FALSE(Takes(**Quota::Open(PerDay(10), file->state(), Clock(0), &note), 0));
}

TEST(QuotaFile, RefusesWhatIsNoQuotaAndWhatItCannotMake) {
  testing::TempDir dir;
  EXPECT_EQ(QuotaFile::Open(dir.Write("x", "hello")).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(QuotaFile::Open(dir.path("no/such/folder")).ok());
  EXPECT_FALSE(QuotaFile::Open(dir.path()).ok());
}

// Four threads over the edges of buckets; the clock is shared and read before it is used, so times
// come late and out of order.
TEST(QuotaThreads, KeepTheLimitAndLoseNoPermit) {
  const RateSpec spec{5000, absl::Hours(1)};
  Words words{};
  auto quota = OpenOrDie(spec, words, Clock(0));
  std::atomic<int64_t> clock{0};
  std::vector<std::vector<int64_t>> grants(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < grants.size(); ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 100'000; ++i) {
        const int64_t now = clock.fetch_add(50'000'000);
        Quota::Undo undo;
        if (quota->Take(At(now), 1, &undo) != At(now)) continue;
        if (random() % 4 == 0) {
          quota->Return(undo);
        } else {
          grants[t].push_back(now);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int64_t> all;
  for (const auto& g : grants) all.insert(all.end(), g.begin(), g.end());
  EXPECT_LE(MostInAnyWindow(all, kHour), 5000u);
  // 5.5 windows, each used up: at most an hour's worth is missing at the end.
  EXPECT_GE(all.size(), 5u * 4950);
  // The books: what counts is what the buckets hold, and all of it goes.
  const int64_t end = clock.load();
  uint64_t held = 0;
  const Words now = quota->Snapshot();
  for (size_t i = Quota::kHeaderWords; i < now.size(); ++i) held += UnpackQuotaSlot(now[i]).count;
  EXPECT_EQ(quota->Used(At(end - 50'000'000)), held);
  EXPECT_EQ(quota->Used(At(end + 2 * kHour)), 0u);
}

}  // namespace
}  // namespace volley::pipeline
