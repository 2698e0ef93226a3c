#include "pipeline/throttle/limit_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using io::MonoTime;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Time kWall = absl::FromCivil(absl::CivilHour(2026, 3, 28, 12), absl::UTCTimeZone());
const ClockReading kStart{MonoTime::FromNanos(0), kWall};
const LimitKey kLane{"news", "192.0.2.1", "gmail.com", "ses"};
const LimitSpec kQuota{.quota = RateSpec{10, absl::Hours(24)}};

struct CountingListener : RoomListener {
  void OnRoom() override { ++calls; }
  int calls = 0;
};

bool Takes(LimitSet& set, absl::Duration now, uint32_t n = 1) {
  Permit permit;
  return set.Take(MonoTime::FromNanos(absl::ToInt64Nanoseconds(now)), n, &permit).granted();
}

TEST(LimitTable, KeepsOneLimitForAKey) {
  LimitTable table({});
  Limit* first = *table.FindOrAdd({.relay = "ses"}, kQuota, kStart);
  EXPECT_EQ(*table.FindOrAdd({.relay = "ses"}, {.connections = 4}, kStart), first);
  EXPECT_EQ(table.Find({.relay = "ses"}), first);
  EXPECT_EQ(table.Find({.relay = "other"}), nullptr);
  EXPECT_THAT(table.limits(), SizeIs(1));
}

TEST(LimitTable, NamesTheImpossibleLimit) {
  LimitTable table({});
  const auto limit = table.FindOrAdd({.provider = "gmail.com"}, {.connections = 0}, kStart);
  EXPECT_EQ(limit.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(limit.status().message()),
              AllOf(HasSubstr("limit of provider gmail.com"), HasSubstr("connections = 0")));
  EXPECT_EQ(table.Find({.provider = "gmail.com"}), nullptr);
}

TEST(LimitTable, SaysHowAKeyIsCalled) {
  EXPECT_EQ(Describe({}), "everything");
  EXPECT_EQ(Describe({.campaign = "news", .relay = "ses"}), "campaign news, relay ses");
  EXPECT_EQ(Describe(kLane), "campaign news, lane 192.0.2.1 -> gmail.com, relay ses");
}

TEST(LimitTable, RefusesALaneWithMoreLimitsThanItCanHold) {
  LimitTable table({});
  for (int i = 0; i < 8; ++i) {
    const LimitKey key{.campaign = i & 1 ? "news" : "",
                       .source = i & 2 ? "192.0.2.1" : "",
                       .provider = i & 4 ? "gmail.com" : "",
                       .relay = ""};
    ASSERT_TRUE(table
                    .FindOrAdd(key,
                               {.rate = RateSpec{1, absl::Seconds(1)},
                                .quota = RateSpec{10, absl::Hours(24)}},
                               kStart)
                    .ok());
  }
  EXPECT_EQ(table.SetFor(kLane).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table.SetFor({.provider = "gmail.com"}).ok());
}

TEST(LimitTable, CountsQuotasOverRestarts) {
  testing::TempDir dir;
  const LimitKey key{.source = "2001:db8::1", .relay = "../../etc/passwd\n"};
  const LimitKey lane{"news", "2001:db8::1", "gmail.com", "../../etc/passwd\n"};
  {
    LimitTable table({.quota_dir = dir.path()});
    ASSERT_TRUE(table.FindOrAdd(key, kQuota, kStart).ok());
    LimitSet set = *table.SetFor(lane);
    EXPECT_TRUE(Takes(set, absl::Seconds(1), 10));
    EXPECT_TRUE(table.Sync().ok());
    LimitTable second({.quota_dir = dir.path()});
    EXPECT_EQ(second.FindOrAdd(key, kQuota, kStart).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(
      std::filesystem::exists(dir.path("s=2001%3Adb8%3A%3A1+r=..%2F..%2Fetc%2Fpasswd%0A.quota")));
  LimitTable table({.quota_dir = dir.path()});
  // The machine has been started again, so its monotonic clock begins anew; it is ten hours later.
  ASSERT_TRUE(table.FindOrAdd(key, kQuota, {MonoTime(), kWall + absl::Hours(10)}).ok());
  LimitSet set = *table.SetFor(lane);
  EXPECT_FALSE(Takes(set, absl::Hours(14)));
  EXPECT_TRUE(Takes(set, absl::Hours(14) + absl::Minutes(6), 10));
}

TEST(LimitTable, TellsOfAClockThatWasSetBackAndOfADamagedFile) {
  testing::TempDir dir;
  {
    LimitTable table({.quota_dir = dir.path()});
    ASSERT_TRUE(table.FindOrAdd({.relay = "ses"}, kQuota, kStart).ok());
    LimitSet set = *table.SetFor(kLane);
    EXPECT_TRUE(Takes(set, absl::Seconds(1), 7));
  }
  {
    LimitTable table({.quota_dir = dir.path()});
    ASSERT_TRUE(
        table.FindOrAdd({.relay = "ses"}, kQuota, {MonoTime(), kWall - absl::Hours(30)}).ok());
    const std::vector<std::string> notes = table.TakeNotes();
    ASSERT_THAT(notes, SizeIs(1));
    EXPECT_THAT(notes[0], AllOf(HasSubstr("relay ses"), HasSubstr("7 messages")));
  }
  std::string bytes = dir.Read("r=ses.quota");
  bytes[20] ^= 1;
  dir.Write("r=ses.quota", bytes);
  LimitTable table({.quota_dir = dir.path()});
  const auto limit = table.FindOrAdd({.relay = "ses"}, kQuota, kStart);
  EXPECT_EQ(limit.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(limit.status().message()),
              AllOf(HasSubstr("r=ses.quota"), HasSubstr("delete it")));
}

TEST(LimitTable, CutsNamesThatAreTooLongForAFile) {
  testing::TempDir dir;
  LimitTable table({.quota_dir = dir.path()});
  for (const char* end : {"a", "b"}) {
    EXPECT_TRUE(table.FindOrAdd({.campaign = std::string(5000, '/') + end}, kQuota, kStart).ok());
  }
}

TEST(LimitTable, FollowsAWarmUpDayByDay) {
  CountingListener listener;
  LimitTable table({.quota_dir = "", .listener = &listener});
  const auto plan =
      WarmUp::Make(absl::CivilDay(2026, 3, 29), absl::UTCTimeZone(), {{1, 5}, {2, 8}});
  ASSERT_TRUE(
      table.FindOrAdd({.source = "192.0.2.1", .provider = "gmail.com"}, {}, kStart, *plan).ok());
  LimitSet set = *table.SetFor(kLane);
  Permit permit;
  const ThrottleAnswer early = set.Take(MonoTime(), 1, &permit);
  EXPECT_TRUE(early.again.is_infinite());
  EXPECT_EQ(early.Why(), "lane 192.0.2.1 -> gmail.com: warm-up 0/24h");

  absl::Time next = table.FollowPlans(kWall);
  EXPECT_EQ(next, kWall + absl::Hours(12));
  EXPECT_EQ(listener.calls, 0);
  next = table.FollowPlans(next);
  EXPECT_EQ(listener.calls, 1);
  EXPECT_TRUE(Takes(set, absl::Hours(12), 5));
  EXPECT_FALSE(Takes(set, absl::Hours(35)));
  EXPECT_EQ(next, kWall + absl::Hours(36));
  next = table.FollowPlans(next);
  // Eight within 24 hours, of which five count until 12 h of the second day.
  EXPECT_TRUE(Takes(set, absl::Hours(36), 3));
  EXPECT_FALSE(Takes(set, absl::Hours(36)));
  next = table.FollowPlans(next);
  EXPECT_EQ(next, absl::InfiniteFuture());
  EXPECT_TRUE(Takes(set, absl::Hours(60), 1000));
}

}  // namespace
}  // namespace volley::pipeline
