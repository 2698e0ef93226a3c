#include "pipeline/throttle/limit_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "pipeline/throttle/limit_table.h"
#include "tests/pipeline/throttle/window_check.h"

namespace volley::pipeline {
namespace {

using io::MonoTime;
using ::testing::ElementsAre;
using testing::HoldsInEveryWindow;
using testing::MostInAnyWindow;

constexpr int64_t kSecond = 1'000'000'000;
const LimitKey kLane{"news", "192.0.2.1", "gmail.com", "ses"};

MonoTime At(int64_t nanos) { return MonoTime::FromNanos(nanos); }
const ClockReading kStart{At(0), absl::FromUnixSeconds(1'780'000'000)};

RateSpec PerMinute(uint64_t count) { return {count, absl::Minutes(1)}; }
LimitSpec Rate(uint64_t count, std::optional<uint32_t> burst = std::nullopt) {
  return {.rate = PerMinute(count), .burst = burst};
}
LimitSpec QuotaOf(uint64_t count) { return {.quota = RateSpec{count, absl::Hours(24)}}; }
LimitSpec Connections(uint32_t count) { return {.connections = count}; }

class LimitSetTest : public ::testing::Test {
 protected:
  Limit* Add(const LimitKey& key, const LimitSpec& spec) {
    auto limit = table_.FindOrAdd(key, spec, kStart);
    EXPECT_TRUE(limit.ok()) << limit.status();
    return *limit;
  }
  LimitSet SetFor(const LimitKey& lane) {
    auto set = table_.SetFor(lane);
    EXPECT_TRUE(set.ok()) << set.status();
    return *std::move(set);
  }

  struct : RoomListener {
    void OnRoom() override { ++calls; }
    std::atomic<int> calls{0};
  } listener_;
  LimitTable table_{{.quota_dir = "", .listener = &listener_}};
};

TEST_F(LimitSetTest, GrantsEverythingWithoutLimits) {
  LimitSet set = SetFor(kLane);
  Permit permit;
  EXPECT_TRUE(set.Take(At(0), 100, &permit).granted());
  ConnectionLease lease;
  EXPECT_TRUE(set.Open(&lease).granted());
  EXPECT_TRUE(lease.held());
  EXPECT_EQ(lease.messages_per_connection(), 0u);
}

TEST_F(LimitSetTest, NamesTheLatestOfTheTimesAndWhoseItIs) {
  Add({.campaign = "news"}, Rate(600));
  Limit* provider = Add({.provider = "gmail.com"}, Rate(6));
  Add({.relay = "ses"}, QuotaOf(1000));
  LimitSet set = SetFor(kLane);
  Permit permit, next;
  ASSERT_TRUE(set.Take(At(0), 1, &permit).granted());
  const ThrottleAnswer answer = set.Take(At(1), 1, &next);
  EXPECT_FALSE(answer.granted());
  EXPECT_FALSE(next.taken());
  EXPECT_EQ(answer.limit, provider);
  EXPECT_EQ(answer.Why(), "provider gmail.com: rate 6/min");
  EXPECT_EQ(answer.again, provider->rate()->When(At(1), 1));
  EXPECT_FALSE(set.Take(answer.again + absl::Nanoseconds(-1), 1, &next).granted());
  EXPECT_TRUE(set.Take(answer.again, 1, &next).granted());
}

TEST_F(LimitSetTest, TakesFromAllOrFromNone) {
  Limit* wide = Add({}, Rate(1000, 100));
  Limit* provider = Add({.provider = "gmail.com"}, Rate(1000, 5));
  Limit* relay = Add({.relay = "ses"}, QuotaOf(3));
  LimitSet set = SetFor(kLane);
  Permit permits[4];
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(set.Take(At(0), 1, &permits[i]).granted());
  const ThrottleAnswer refused = set.Take(At(0), 1, &permits[3]);
  EXPECT_EQ(refused.limit, relay);
  EXPECT_EQ(refused.kind, LimitKind::kQuota);
  EXPECT_GE(refused.again, At(86'400 * kSecond));
  EXPECT_EQ(provider->rate()->When(At(0), 2), At(0));  // 3 of 5 taken, not 4
  EXPECT_GT(provider->rate()->When(At(0), 3), At(0));
  set.Return(&permits[2]);
  EXPECT_FALSE(permits[2].taken());
  set.Return(&permits[2]);  // once
  EXPECT_EQ(provider->rate()->When(At(0), 3), At(0));
  EXPECT_EQ(wide->rate()->When(At(0), 98), At(0));
  EXPECT_EQ(relay->quota()->Used(At(0)), 2u);
  LimitSet::Use(&permits[0]);
  set.Return(&permits[0]);
  EXPECT_EQ(relay->quota()->Used(At(0)), 2u);
}

TEST_F(LimitSetTest, AppliesTheLimitsWhoseKeyFitsTheLane) {
  Add({.provider = "gmail.com"}, Rate(1));
  LimitSet other = SetFor({"news", "192.0.2.1", "gmx.net", "ses"});
  LimitSet same = SetFor({"other", "192.0.2.9", "gmail.com", ""});
  Permit permit[3];
  EXPECT_TRUE(other.Take(At(0), 1, &permit[0]).granted());
  EXPECT_TRUE(same.Take(At(0), 1, &permit[1]).granted());
  EXPECT_FALSE(SetFor(kLane).Take(At(1), 1, &permit[2]).granted());  // one word for all of them
}

TEST_F(LimitSetTest, OpensConnectionsInAllLimitsOrInNone) {
  Limit* provider = Add({.provider = "gmail.com"}, Connections(3));
  Limit* lane = Add({.source = "192.0.2.1", .provider = "gmail.com"},
                    {.connections = 1, .messages_per_connection = 20});
  Add({.relay = "ses"}, {.messages_per_connection = 50, .recipients_per_transaction = 100});
  LimitSet set = SetFor(kLane);
  EXPECT_EQ(set.recipients_per_transaction(), 100u);
  ConnectionLease first, second;
  ASSERT_TRUE(set.Open(&first).granted());
  EXPECT_EQ(first.messages_per_connection(), 20u);
  const ThrottleAnswer refused = set.Open(&second);
  EXPECT_EQ(refused.limit, lane);
  EXPECT_TRUE(refused.again.is_infinite());
  EXPECT_EQ(refused.Why(), "lane 192.0.2.1 -> gmail.com: connections 1");
  EXPECT_EQ(provider->connections()->in_use(), 1u);
  EXPECT_EQ(listener_.calls, 0);
  first.Release();
  EXPECT_EQ(listener_.calls, 1);
  EXPECT_EQ(provider->connections()->in_use(), 0u);
  EXPECT_TRUE(set.Open(&second).granted());
  first = std::move(second);
  EXPECT_FALSE(second.held());
  EXPECT_TRUE(first.held());
}

TEST_F(LimitSetTest, SaysWhatIsInForceAndWhatWasConfigured) {
  Limit* limit =
      Add({.provider = "gmail.com"},
          {.connections = 5, .rate = PerMinute(500), .quota = RateSpec{9, absl::Hours(24)}});
  limit->SetRate(PerMinute(250));
  limit->SetConnections(1);
  limit->SetQuota(4);
  EXPECT_EQ(limit->Text(LimitKind::kRate), "rate 250/min (configured 500/min)");
  EXPECT_EQ(limit->Text(LimitKind::kConnections), "connections 1 (configured 5)");
  EXPECT_EQ(limit->Text(LimitKind::kQuota), "quota 4/24h (configured 9/24h)");
  EXPECT_GT(listener_.calls, 0);  // who waits may ask again
}

// Four threads, each with its own lane, over a shared rate, quota and provider rate. Time stands
// still, so what each limit can give is a number, and every permit must be found again.
TEST_F(LimitSetTest, BalancesItsBooksUnderFourThreads) {
  Limit* wide = Add({}, Rate(400'000, 40'000));
  Limit* provider = Add({.provider = "gmail.com"}, Rate(600'000, 50'000));
  Limit* relay = Add({.relay = "ses"}, QuotaOf(30'000));
  std::atomic<uint64_t> granted{0}, lost{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      LimitSet set = SetFor({"news", std::to_string(t), "gmail.com", "ses"});
      std::mt19937_64 random(static_cast<uint64_t>(t));
      uint64_t mine = 0;
      for (int i = 0; i < 40'000; ++i) {
        Permit permit;
        if (!set.Take(At(0), 1, &permit).granted()) continue;
        if (random() % 4 == 0) {
          set.Return(&permit);
        } else {
          ++mine;
        }
      }
      granted += mine;
      lost += set.permits_lost();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(granted, 30'000u);
  EXPECT_EQ(relay->quota()->Used(At(0)), granted);  // quotas give back exactly
  const auto left = [](Limit* limit) {
    uint64_t n = 0;
    Gcra::Undo undo;
    while (limit->rate()->Take(At(0), 1, &undo) == At(0)) ++n;
    return n;
  };
  // Of the rates: granted, still to be had, or counted as lost; never more than there were.
  const uint64_t lost_wide = 40'000 - granted - left(wide);
  const uint64_t lost_provider = 50'000 - granted - left(provider);
  EXPECT_EQ(lost_wide + lost_provider, lost);
}

// The same on a running clock: every limit holds in every window, and the narrowest is reached.
TEST_F(LimitSetTest, KeepsEveryLimitUnderFourThreads) {
  Add({}, {.rate = RateSpec{60'000, absl::Seconds(1)}});
  Add({.provider = "a"}, {.rate = RateSpec{40'000, absl::Seconds(1)}});
  Add({.provider = "b"}, {.rate = RateSpec{40'000, absl::Seconds(1)}});
  std::atomic<int64_t> clock{kSecond};
  std::vector<std::vector<int64_t>> grants(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      LimitSet set = SetFor({"news", std::to_string(t), t % 2 ? "a" : "b", "ses"});
      for (int i = 0; i < 150'000; ++i) {
        const int64_t now = clock.fetch_add(1000);
        Permit permit;
        if (set.Take(At(now), 1, &permit).granted()) grants[t].push_back(now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int64_t> all, a(grants[1]);
  for (const auto& g : grants) all.insert(all.end(), g.begin(), g.end());
  a.insert(a.end(), grants[3].begin(), grants[3].end());
  EXPECT_LE(MostInAnyWindow(all, kSecond / 1), 60'000u);
  EXPECT_TRUE(HoldsInEveryWindow(all, 60'000, kSecond, 5'000'000));
  EXPECT_TRUE(HoldsInEveryWindow(a, 40'000, kSecond, 5'000'000));
  const double seconds = static_cast<double>(clock.load() - kSecond) / 1e9;
  EXPECT_GE(static_cast<double>(all.size()), 0.5 * 60'000 * seconds);
}

// A simulated shard: lanes that always have work, each asleep until its answer says, woken up to
// `late` ns after that.
struct LaneRun {
  uint64_t wake_ups = 0, granted = 0;
  uint64_t least = 0, most = 0;  // of a lane
};

LaneRun RunLanes(std::vector<LimitSet>& lanes, int64_t length, int64_t late,
                 int64_t begin = kSecond) {
  using Wake = std::pair<int64_t, size_t>;
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> queue;
  std::mt19937_64 random(3);
  std::vector<uint64_t> granted(lanes.size());
  for (size_t i = 0; i < lanes.size(); ++i) queue.push({begin, i});
  LaneRun run;
  while (queue.top().first < begin + length) {
    const auto [now, lane] = queue.top();
    queue.pop();
    ++run.wake_ups;
    for (;;) {
      Permit permit;
      const ThrottleAnswer answer = lanes[lane].Take(At(now), 1, &permit);
      if (answer.granted()) {
        ++granted[lane];
        continue;
      }
      const auto delay =
          late > 0 ? static_cast<int64_t>(random() % static_cast<uint64_t>(late)) : 0;
      queue.push({answer.again.nanos() + delay, lane});
      break;
    }
  }
  for (const uint64_t g : granted) run.granted += g;
  run.least = *std::min_element(granted.begin(), granted.end());
  run.most = *std::max_element(granted.begin(), granted.end());
  return run;
}

TEST_F(LimitSetTest, WakesAThousandLanesOneByOne) {
  Add({.relay = "ses"}, Rate(6000));
  std::vector<LimitSet> lanes;
  for (int i = 0; i < 1000; ++i)
    lanes.push_back(SetFor({"", std::to_string(i), "gmail.com", "ses"}));
  const LaneRun run = RunLanes(lanes, 600 * kSecond, 1'100'000);
  EXPECT_LE(run.granted, 60'000u);
  EXPECT_GE(run.granted, 59'400u);
  EXPECT_LE(run.wake_ups, run.granted + run.granted / 5 + 1000);  // the first asking is the 1,000
  EXPECT_GE(run.least, 50u);                                      // each its 60
  EXPECT_LE(run.most, 70u);
}

// Each lane has a limit of its own below the shared one's share, so it waits on that, and holds no
// turn of the shared limit back.
TEST_F(LimitSetTest, HoldsNoTurnOnALimitThatIsNotTheOneItWaitsFor) {
  Add({.relay = "ses"}, Rate(6000));
  std::vector<LimitSet> lanes;
  for (int i = 0; i < 100; ++i) {
    const std::string source = std::to_string(i);
    if (i < 99) Add({.source = source}, Rate(2));
    lanes.push_back(SetFor({"", source, "gmail.com", "ses"}));
  }
  const LaneRun run = RunLanes(lanes, 600 * kSecond, 1'000'000);
  EXPECT_GE(run.granted, 59'400u);
  EXPECT_GE(run.most, 57'000u);  // the lane without one has all the rest
  EXPECT_LE(run.wake_ups, run.granted + run.granted / 5);
}

TEST_F(LimitSetTest, LeavesNoGapWhereLanesWithATurnGoAway) {
  Add({.relay = "ses"}, Rate(6000));
  std::vector<LimitSet> lanes;
  for (int i = 0; i < 50; ++i) lanes.push_back(SetFor({"", std::to_string(i), "gmail.com", "ses"}));
  RunLanes(lanes, 10 * kSecond, 0);
  lanes.resize(5);  // 45 turns nobody comes for
  const LaneRun run = RunLanes(lanes, 600 * kSecond, 0, 11 * kSecond);
  EXPECT_GE(run.granted, 59'900u);
}

TEST_F(LimitSetTest, KeepsATurnWhenAskedEarly) {
  Add({.relay = "ses"}, Rate(60));
  std::vector<LimitSet> lanes;
  for (int i = 0; i < 4; ++i) lanes.push_back(SetFor({"", std::to_string(i), "gmail.com", "ses"}));
  Permit permit;
  ASSERT_TRUE(lanes[0].Take(At(0), 1, &permit).granted());
  std::vector<MonoTime> turns;
  for (LimitSet& lane : lanes) {
    Permit next;
    turns.push_back(lane.Take(At(0), 1, &next).again);
  }
  for (size_t i = 0; i < 4; ++i) {
    Permit next;
    EXPECT_EQ(lanes[i].Take(At(100), 1, &next).again, turns[i]);
    if (i > 0) {
      EXPECT_GT(turns[i], turns[i - 1]);
    }
  }
}

TEST_F(LimitSetTest, GrantsNothingWhileALimitIsSuspended) {
  Limit* provider = Add({.provider = "gmail.com"}, {.connections = 3, .rate = PerMinute(600)});
  LimitSet set = SetFor(kLane);
  provider->Suspend(At(60 * kSecond));
  Permit permit;
  const ThrottleAnswer answer = set.Take(At(1 * kSecond), 1, &permit);
  EXPECT_FALSE(answer.granted());
  EXPECT_EQ(answer.kind, LimitKind::kSuspended);
  EXPECT_EQ(answer.limit, provider);
  EXPECT_EQ(answer.again, At(60 * kSecond));
  EXPECT_TRUE(set.Take(At(60 * kSecond), 1, &permit).granted());
  const int before = listener_.calls;
  provider->Suspend(At(0));  // lifted by hand
  EXPECT_EQ(listener_.calls, before + 1);
}

TEST_F(LimitSetTest, WhoHasAConnectionTakesNoSecondWhileSomebodyWaits) {
  Add({.provider = "gmail.com"}, Connections(2));
  LimitSet rich = SetFor(kLane), poor = SetFor(kLane);
  ConnectionLease first, second, third;
  ASSERT_TRUE(rich.Open(&first).granted());
  ASSERT_TRUE(rich.Open(&second, false).granted());
  EXPECT_FALSE(rich.Open(&third, false).granted());
  EXPECT_FALSE(first.wanted()) << "one who has another is nobody to give way to";
  EXPECT_FALSE(poor.Open(&third).granted());
  EXPECT_TRUE(first.wanted());
  const int before = listener_.calls;
  second.Release();
  EXPECT_EQ(listener_.calls, before + 1);
  EXPECT_TRUE(poor.Open(&third).granted());
  EXPECT_FALSE(rich.Open(&second, false).granted());
  EXPECT_FALSE(first.wanted());
}

}  // namespace
}  // namespace volley::pipeline
