// Durations on a simulated clock, against what can be reckoned by hand.
#include "pipeline/plan/simulation.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "absl/time/civil_time.h"

namespace volley::pipeline {
namespace {

using io::MonoTime;

constexpr absl::Duration kTrip = absl::Milliseconds(50);
const absl::Time kStart = absl::FromCivil(absl::CivilMinute(2026, 11, 24, 10, 0),
                                          absl::UTCTimeZone());  // a Tuesday
const ClockReading kClocks{MonoTime::FromNanos(1'000'000'000'000), kStart};

LaneWork Work(uint64_t messages, uint32_t connections = 10) {
  LaneWork work;
  work.key = {.campaign = "news", .provider = "p"};
  work.messages = messages;
  work.connections_max = connections;
  work.round_trip = kTrip;
  work.opening = 3 * kTrip;
  return work;
}

Schedule ScheduleOf(ScheduleDefinition d) {
  d.time_zone = "UTC";
  auto schedule = Schedule::Parse(d);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *schedule;
}

class SimulationTest : public ::testing::Test {
 protected:
  void Make(const Schedule& schedule = {}) {
    simulation_.emplace(
        Simulation::Options{.start = kClocks, .quota_dir = "", .schedule = schedule});
  }
  void Limit(const LimitKey& key, const LimitSpec& spec,
             std::optional<WarmUp> plan = std::nullopt) {
    if (!simulation_) Make();
    const auto limit = simulation_->limits().FindOrAdd(key, spec, kClocks, std::move(plan));
    ASSERT_TRUE(limit.ok()) << limit.status();
  }
  void Lane(const LaneWork& work) {
    if (!simulation_) Make();
    const absl::Status status = simulation_->AddLane(work);
    ASSERT_TRUE(status.ok()) << status;
  }
  // From the start to the last reply.
  double Seconds(size_t lane = 0) const {
    return absl::ToDoubleSeconds(simulation_->forecast(lane).last - kStart);
  }
  void ExpectAllSent(size_t lane, uint64_t messages) {
    EXPECT_EQ(simulation_->forecast(lane).sent, messages);
    EXPECT_EQ(simulation_->forecast(lane).left, 0u);
  }
  // The longest of what held it, and whether that was longer than it was busy.
  const Hold* HeldBy(size_t lane = 0) const {
    const LaneForecast& f = simulation_->forecast(lane);
    const Hold* longest = nullptr;
    for (const Hold& hold : f.holds) {
      if (longest == nullptr || hold.time > longest->time) longest = &hold;
    }
    return longest != nullptr && longest->time > f.busy ? longest : nullptr;
  }

  std::optional<Simulation> simulation_;
};

TEST_F(SimulationTest, ARatePacesTheWhole) {
  Limit({.campaign = "news"}, {.rate = RateSpec{10, absl::Seconds(1)}});
  Lane(Work(1000));
  simulation_->Run();
  ExpectAllSent(0, 1000);
  // 999 intervals of 0.1 s and half a per cent (Gcra), after three round trips to connect and
  // before two for the last message.
  EXPECT_NEAR(Seconds(), 999 * 0.1005 + 5 * 0.05, 0.05);
  ASSERT_NE(HeldBy(), nullptr);
  EXPECT_EQ(HeldBy()->kind, LimitKind::kRate);
}

TEST_F(SimulationTest, OneConnectionSendsAMessageARoundTrip) {
  Lane(Work(200, 1));
  simulation_->Run();
  EXPECT_NEAR(Seconds(), (3 + 200 + 1) * 0.05, 0.01);
  EXPECT_EQ(HeldBy(), nullptr);
  EXPECT_EQ(simulation_->forecast(0).connections, 1u);
}

TEST_F(SimulationTest, ConnectionsShareTheWork) {
  Lane(Work(10'000, 10));
  simulation_->Run();
  EXPECT_NEAR(Seconds(), 1000 * 0.05, 0.5);
  EXPECT_EQ(simulation_->forecast(0).connections, 10u);
}

TEST_F(SimulationTest, MessagesPerConnectionCostConnecting) {
  LaneWork work = Work(1000, 1);
  work.messages_per_connection = 10;
  Lane(work);
  simulation_->Run();
  // Each connection: three round trips to open, ten messages, one more for the first; QUIT rides
  // behind the last dot.
  EXPECT_NEAR(Seconds(), 100 * (3 + 10 + 1) * 0.05, 0.1);
}

TEST_F(SimulationTest, AProvidersConnectionsAreALimit) {
  Limit({.provider = "p"}, {.connections = 2});
  Lane(Work(1000, 10));
  simulation_->Run();
  EXPECT_NEAR(Seconds(), 500 * 0.05, 0.5);
  EXPECT_EQ(simulation_->forecast(0).connections, 2u);
  ASSERT_NE(simulation_->forecast(0).room, nullptr);
  EXPECT_EQ(simulation_->forecast(0).room->key().provider, "p");
}

TEST_F(SimulationTest, LanesShareTheRateOfTheCampaign) {
  Limit({.campaign = "news"}, {.rate = RateSpec{20, absl::Seconds(1)}});
  for (int i = 0; i < 4; ++i) {
    LaneWork work = Work(100);
    work.key.provider = fmt::format("p{}", i);
    Lane(work);
  }
  simulation_->Run();
  double last = 0;
  for (size_t i = 0; i < 4; ++i) {
    ExpectAllSent(i, 100);
    last = std::max(last, Seconds(i));
    EXPECT_GT(Seconds(i), 15) << "turns go round";
    EXPECT_EQ(HeldBy(i)->kind, LimitKind::kRate);
  }
  EXPECT_NEAR(last, 399 * 0.05 * 1.005 + 0.25, 0.2);
}

TEST_F(SimulationTest, LanesGiveConnectionsToThoseWhoHaveNone) {
  Limit({.campaign = "news"}, {.connections = 5});
  uint64_t sent = 0;
  for (int i = 0; i < 20; ++i) {
    LaneWork work = Work(200, 5);
    work.key.provider = fmt::format("p{}", i);
    work.messages_per_connection = 100;
    Lane(work);
  }
  simulation_->Run();
  double last = 0;
  for (size_t i = 0; i < 20; ++i) {
    sent += simulation_->forecast(i).sent;
    last = std::max(last, Seconds(i));
  }
  EXPECT_EQ(sent, 4000u);
  // 40 connections of 104 round trips on five places, or some more where lanes give way.
  EXPECT_GE(last, 8 * 104 * 0.05 - 0.1);
  EXPECT_LE(last, 8 * 104 * 0.05 * 1.2);
}

TEST_F(SimulationTest, TheSlowerOfTwoLimitsCounts) {
  Limit({.campaign = "news"}, {.rate = RateSpec{50, absl::Seconds(1)}});
  Limit({.provider = "p"}, {.rate = RateSpec{5, absl::Seconds(1)}});
  LaneWork other = Work(450);
  other.key.provider = "q";
  Lane(Work(100));
  Lane(other);
  simulation_->Run();
  // Who comes for a permit of his own may find that of all taken, and waits for its next one: up to
  // 20 ms each time, as long as the other one has work.
  EXPECT_GE(Seconds(0), 99 * 0.2 * 1.005);
  EXPECT_LE(Seconds(0), 99 * 0.2 * 1.005 + 50 * 0.02 + 0.5);
  EXPECT_NEAR(Seconds(1), 450 / 45.0, 0.7);
  EXPECT_EQ(HeldBy(0)->limit->key().provider, "p");
  EXPECT_EQ(HeldBy(1)->limit->key().campaign, "news");
}

TEST_F(SimulationTest, AQuotaGoesOnTheNextDays) {
  Limit({.campaign = "news"}, {.quota = RateSpec{1000, absl::Hours(24)}});
  Lane(Work(2500));
  simulation_->Run();
  ExpectAllSent(0, 2500);
  // Each thousand within half a minute; the next when they have expired: a day and up to a bucket
  // (1/288 of it) later.
  const double day = 24 * 3600;
  EXPECT_GE(Seconds(), 2 * day);
  EXPECT_LE(Seconds(), 2 * (day + day / 288) + 60);
  ASSERT_NE(HeldBy(), nullptr);
  EXPECT_EQ(HeldBy()->kind, LimitKind::kQuota);
}

TEST_F(SimulationTest, AWarmUpFollowsTheCalendar) {
  auto plan = WarmUp::Make(absl::CivilDay(2026, 11, 25), absl::UTCTimeZone(),
                           {{1, 50}, {2, 100}, {3, 200}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  Limit({.provider = "p"}, {.connections = 10}, *plan);
  Lane(Work(350));
  simulation_->Run();
  ExpectAllSent(0, 350);
  // Nothing on the 24th; 50 on the 25th, and as 24 hours never hold more than the day's number 100
  // more by the 26th, 200 by the 27th.
  const absl::Time first = simulation_->forecast(0).first, last = simulation_->forecast(0).last;
  EXPECT_GE(first, absl::FromCivil(absl::CivilDay(2026, 11, 25), absl::UTCTimeZone()));
  EXPECT_EQ(absl::ToCivilDay(last, absl::UTCTimeZone()), absl::CivilDay(2026, 11, 27));
  EXPECT_EQ(HeldBy()->kind, LimitKind::kWarmUp);
}

TEST_F(SimulationTest, HoursAreKept) {
  // It is ten: two hours today, then from nine to twelve.
  Make(ScheduleOf({.window = "09:00-12:00"}));
  Limit({.campaign = "news"}, {.rate = RateSpec{1, absl::Seconds(1)}});
  Lane(Work(4 * 3600));
  simulation_->Run();
  ExpectAllSent(0, 4 * 3600);
  const absl::Time end =
      absl::FromCivil(absl::CivilMinute(2026, 11, 25, 11, 0), absl::UTCTimeZone());
  EXPECT_NEAR(absl::ToDoubleMinutes(simulation_->forecast(0).last - end), 0, 3);
}

TEST_F(SimulationTest, AStartIsWaitedFor) {
  Make(ScheduleOf({.start = "2026-11-24 12:00"}));
  Lane(Work(10));
  simulation_->Run();
  EXPECT_EQ(simulation_->opened_at(), kStart + absl::Hours(2));
  EXPECT_GE(simulation_->forecast(0).first, kStart + absl::Hours(2));
  EXPECT_LE(simulation_->forecast(0).last, kStart + absl::Hours(2) + absl::Seconds(2));
}

TEST_F(SimulationTest, WhatComesTooLateIsLeft) {
  Make(ScheduleOf({.not_after = "2026-11-24 10:01"}));
  Limit({.campaign = "news"}, {.rate = RateSpec{10, absl::Seconds(1)}});
  Lane(Work(1000));
  simulation_->Run();
  EXPECT_NEAR(static_cast<double>(simulation_->forecast(0).sent), 597, 5);
  EXPECT_EQ(simulation_->forecast(0).sent + simulation_->forecast(0).left, 1000u);
}

TEST_F(SimulationTest, DeferredOnesComeWhenTheyAreDue) {
  LaneWork work = Work(10);
  work.later = {{kStart + absl::Minutes(5), 10}, {kStart + absl::Minutes(10), 5}};
  Lane(work);
  simulation_->Run();
  ExpectAllSent(0, 25);
  EXPECT_NEAR(Seconds(), 600, 2);
}

// A rate of one in 12 s: connections are closed when idle for five, so each message needs one.
TEST_F(SimulationTest, ASlowRateConnectsForEachMessage) {
  Limit({.campaign = "news"}, {.rate = RateSpec{5, absl::Minutes(1)}});
  Lane(Work(6, 1));
  simulation_->Run();
  // The permit comes, then the connection is opened, then it is taken.
  EXPECT_NEAR(Seconds(), 5 * (12 * 1.005 + 0.15) + 0.25, 0.5);
}

TEST_F(SimulationTest, ManyDomainsConnectForEach) {
  Limit({.campaign = "news"}, {.connections = 4});
  LaneWork work = Work(0, 4);
  work.key = {.campaign = "news"};
  work.domains = {{1, 300}, {5, 100}};
  Lane(work);
  simulation_->Run();
  ExpectAllSent(0, 800);
  // Each: three to open, the first message two, each further one, an idle moment, one to QUIT.
  EXPECT_NEAR(Seconds(), ((300 * 6 + 100 * 10) * 0.05 + 400 * 0.02) / 4, 0.5);
}

TEST_F(SimulationTest, WhatIsNeverAllowedIsLeft) {
  auto plan = WarmUp::Make(absl::CivilDay(2035, 1, 1), absl::UTCTimeZone(), {{1, 50}});
  ASSERT_TRUE(plan.ok());
  Limit({.provider = "p"}, {.connections = 1}, *plan);
  Lane(Work(5));
  simulation_->Run();
  EXPECT_EQ(simulation_->forecast(0).left, 5u);
}

// A permit every 100 ms comes too late to ride behind a dot of 80 ms, so it waits for the reply to
// that: one connection needs two round trips a message, and a second one is opened where it may be.
TEST_F(SimulationTest, APermitThatComesLateWaitsForTheReply) {
  for (const auto& [connections, seconds] :
       {std::pair{1u, 100 * 0.16}, std::pair{2u, 100 * 0.1005}}) {
    simulation_.reset();
    Limit({.campaign = "news"}, {.rate = RateSpec{10, absl::Seconds(1)}});
    LaneWork work = Work(100, connections);
    work.round_trip = absl::Milliseconds(80);
    work.opening = 3 * work.round_trip;
    Lane(work);
    simulation_->Run();
    EXPECT_NEAR(Seconds(), seconds + 0.24, 0.4) << connections;
    EXPECT_GE(simulation_->forecast(0).holds.at(0).messages, 95u) << connections;
  }
}

// Sixty seeds: whatever the lanes and limits, every message is sent once and no faster than
// the limits allow.
TEST_F(SimulationTest, LosesNothing) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15u;
    const auto next = [&state](uint64_t n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return (state >> 33) % n;
    };
    simulation_.reset();
    Make();
    const uint64_t rate = 20 + next(200);
    Limit({.campaign = "news"}, {.connections = static_cast<uint32_t>(1 + next(8)),
                                 .rate = RateSpec{rate, absl::Seconds(1)}});
    const size_t lanes = 1 + next(12);
    uint64_t total = 0;
    for (size_t i = 0; i < lanes; ++i) {
      LaneWork work = Work(next(300), static_cast<uint32_t>(1 + next(8)));
      work.key.provider = fmt::format("p{}", i);
      work.messages_per_connection = static_cast<uint32_t>(next(3) * 7);
      if (next(2) == 0) {
        LimitSpec spec{.connections = static_cast<uint32_t>(1 + next(3))};
        if (next(2) == 0) spec.rate = RateSpec{1 + next(30), absl::Seconds(1)};
        Limit({.provider = work.key.provider}, spec);
      }
      if (next(4) == 0) work.domains = {{static_cast<uint32_t>(1 + next(9)), 1 + next(40)}};
      if (!work.domains.empty()) work.messages = 0;
      total += work.messages;
      for (const auto& [m, n] : work.domains) total += m * n;
      Lane(work);
    }
    simulation_->Run();
    uint64_t sent = 0;
    double last = 0;
    for (size_t i = 0; i < lanes; ++i) {
      sent += simulation_->forecast(i).sent;
      if (simulation_->forecast(i).sent > 0) last = std::max(last, Seconds(i));
      EXPECT_EQ(simulation_->forecast(i).left, 0u) << "seed " << seed;
    }
    EXPECT_EQ(sent, total) << "seed " << seed;
    EXPECT_GE(last + 1, static_cast<double>(total) / static_cast<double>(rate)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace volley::pipeline
