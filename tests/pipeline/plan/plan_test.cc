#include "pipeline/plan/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/time/civil_time.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::policy::ProviderPack;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const absl::Time kStart =
    absl::FromCivil(absl::CivilMinute(2026, 11, 24, 10, 0), absl::UTCTimeZone());

PlanOptions Options() {
  PlanOptions options;
  options.campaign = "news";
  options.connections = 10;
  options.messages_per_connection = 100;
  options.start = {io::MonoTime::FromNanos(1'000'000'000'000), kStart};
  return options;
}

LeftToSend Left(uint64_t messages) {
  LeftToSend left;
  left.domains["x.example"] = {DomainCount{.now = messages}};
  left.messages = messages;
  return left;
}

const PlanPart& Part(const Plan& plan, std::string_view name) {
  static const PlanPart kNone;
  for (const PlanPart& part : plan.parts) {
    if (part.name == name) return part;
  }
  ADD_FAILURE() << "no part " << name;
  return kNone;
}

double Seconds(const PlanPart& part) { return absl::ToDoubleSeconds(part.end - kStart); }

// --- By relays ---

TEST(PlanByRelays, ARateOfTenASecondTakesAHundredForAThousand) {
  PlanOptions options = Options();
  options.limits.rate = RateSpec{10, absl::Seconds(1)};
  const auto plan = PlanByRelays(options, {{PlanRelay{.name = "ses"}}}, Left(1000));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_NEAR(absl::ToDoubleSeconds(plan->duration()), 999 * 0.1005, 0.5);
  EXPECT_EQ(plan->all.messages, 1000u);
  EXPECT_EQ(plan->all.held, HeldBy::kRate);
  EXPECT_EQ(plan->all.why, "the campaign's rate 10/s");
  EXPECT_NEAR(plan->all.per_second(plan->begins), 9.93, 0.05);
}

TEST(PlanByRelays, SharesGoByWeightAndTheSlowestSetsThePace) {
  const std::vector<PlanRelay> relays = {
      {.name = "a", .weight = 3},
      {.name = "b", .weight = 1, .rate = RateSpec{5, absl::Seconds(1)}, .quota = {}},
      {.name = "standby", .weight = 0}};
  const auto plan = PlanByRelays(Options(), relays, Left(400));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->parts.size(), 2u);
  EXPECT_EQ(Part(*plan, "a").messages, 300u);
  EXPECT_EQ(Part(*plan, "b").messages, 100u);
  EXPECT_NEAR(Seconds(Part(*plan, "b")), 99 * 0.2 * 1.005, 0.5);
  EXPECT_EQ(Part(*plan, "a").end, Part(*plan, "b").end);
  EXPECT_EQ(Part(*plan, "b").why, "rate 5/s");
  EXPECT_THAT(Part(*plan, "a").why, HasSubstr("shares are kept"));
}

TEST(PlanByRelays, WhatIsLeftOverBySharesIsNotLost) {
  std::vector<PlanRelay> relays;
  for (uint32_t i = 1; i <= 7; ++i) {
    relays.push_back({.name = fmt::format("r{}", i), .weight = i * 13});
  }
  LeftToSend left = Left(1001);
  left.domains["y.example"] = {DomainCount{.later = {{1'000'000, 11}}}};  // due long ago
  const auto plan = PlanByRelays(Options(), relays, left);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->all.messages, 1012u);
  EXPECT_EQ(plan->all.left, 0u);
}

TEST(PlanByRelays, NobodyIsPlannedInNoTime) {
  const auto plan = PlanByRelays(Options(), {{PlanRelay{.name = "ses"}}}, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->all.messages, 0u);
  EXPECT_EQ(plan->duration(), absl::ZeroDuration());
}

TEST(PlanByRelays, AnImpossibleLimitIsRefused) {
  PlanOptions options = Options();
  options.limits.rate = RateSpec{0, absl::Seconds(1)};
  EXPECT_THAT(
      std::string(PlanByRelays(options, {{PlanRelay{.name = "ses"}}}, Left(1)).status().message()),
      HasSubstr("campaign news"));
}

// --- By routes ---

PlanRoute RouteOf(std::string_view domain, uint64_t messages) {
  return {std::string(domain),
          ProviderPack::BuiltIn()->ByDomain(domain),
          {DomainCount{.now = messages}}};
}

PlanDirect Direct() { return {.fallback = &ProviderPack::BuiltIn()->fallback()}; }

TEST(PlanByRoutes, OneProviderHasOneLimitForAllItsRoutes) {
  PlanRoutes routes;
  routes.routes = {RouteOf("yahoo.co.jp", 200), RouteOf("yahoo.co.jp", 100),
                   RouteOf("x.example", 50)};
  routes.routes[1].name = "mx2.mail.yahoo.co.jp";
  const auto plan = PlanByRoutes(Options(), Direct(), routes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->parts.size(), 2u);
  const PlanPart& yahoo = Part(*plan, "yahoo-japan");
  EXPECT_EQ(yahoo.messages, 300u);
  EXPECT_EQ(yahoo.routes, 2u);
  EXPECT_NEAR(Seconds(yahoo), 30, 1.5);
  EXPECT_EQ(yahoo.held, HeldBy::kRate);
  EXPECT_EQ(yahoo.why, "rate 10/s");
  EXPECT_LT(Seconds(Part(*plan, "x.example")), 3);
  EXPECT_EQ(plan->parts[0].name, "yahoo-japan") << "the last to end comes first";
  EXPECT_EQ(plan->all.routes, 3u);
}

TEST(PlanByRoutes, SourcesHaveLimitsOfTheirOwn) {
  PlanRoutes routes;
  routes.routes = {RouteOf("yahoo.co.jp", 0)};
  routes.routes[0].by_source = {{.now = 200}, {.now = 200}};
  PlanDirect direct = Direct();
  direct.sources = {"192.0.2.1", "192.0.2.2"};
  const auto plan = PlanByRoutes(Options(), direct, routes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->parts.size(), 1u);
  EXPECT_EQ(plan->parts[0].messages, 400u);
  EXPECT_EQ(plan->parts[0].routes, 1u);
  EXPECT_NEAR(Seconds(plan->parts[0]), 20, 1.5);
  EXPECT_THAT(plan->parts[0].why, HasSubstr("rate 10/s of lane 192.0.2."));
}

TEST(PlanByRoutes, ConnectionsOfTheCampaignAreShared) {
  PlanRoutes routes;
  for (int i = 0; i < 50; ++i) routes.routes.push_back(RouteOf(fmt::format("d{}.example", i), 80));
  PlanOptions options = Options();
  options.connections = 5;
  PlanDirect direct = Direct();
  direct.tls = engine::smtp::TlsPolicy::kOff;
  const auto plan = PlanByRoutes(options, direct, routes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  // Fifty connections of 84 round trips and an idle moment, on five places.
  EXPECT_NEAR(absl::ToDoubleSeconds(plan->duration()), 10 * (85 * 0.05 + 0.02), 1);
  EXPECT_EQ(plan->all.held, HeldBy::kConnections);
  EXPECT_THAT(plan->all.why, StartsWith("the campaign's connections 5, a reply takes 50 ms"));
}

TEST(PlanByRoutes, AWarmUpIsFollowed) {
  auto warm_up =
      WarmUp::Make(absl::CivilDay(2026, 11, 24), absl::UTCTimeZone(), {{1, 100}, {2, 200}});
  ASSERT_TRUE(warm_up.ok());
  PlanOptions options = Options();
  options.warm_ups = {{{.provider = "google"}, *warm_up}};
  PlanRoutes routes;
  routes.routes = {RouteOf("gmail.com", 200), RouteOf("x.example", 200)};
  const auto plan = PlanByRoutes(options, Direct(), routes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Part(*plan, "google").held, HeldBy::kWarmUp);
  EXPECT_EQ(absl::ToCivilDay(Part(*plan, "google").end, absl::UTCTimeZone()),
            absl::CivilDay(2026, 11, 25));
  EXPECT_LT(Seconds(Part(*plan, "x.example")), 60);
}

TEST(PlanByRoutes, ManySmallDomainsStandTogether) {
  PlanRoutes routes;
  for (int i = 0; i < 10'000; ++i) {
    routes.routes.push_back(RouteOf(fmt::format("d{}.example", i), i < 100 ? 50 : 2));
  }
  PlanOptions options = Options();
  options.connections = 100;
  PlanDirect direct = Direct();
  direct.tls = engine::smtp::TlsPolicy::kOff;
  const auto plan = PlanByRoutes(options, direct, routes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->all.messages, 100 * 50u + 9'900 * 2u);
  EXPECT_EQ(plan->all.left, 0u);
  EXPECT_EQ(plan->all.routes, 10'000u);
  EXPECT_EQ(Part(*plan, "other domains").routes, 7'000u);
  // Each of the small ones: three trips to open, three for two messages, one to QUIT and an idle
  // moment.
  EXPECT_NEAR(absl::ToDoubleSeconds(plan->duration()),
              (9'900 * (7 * 0.05 + 0.02) + 100 * 55 * 0.05) / 100, 3);
}

// --- What it is made of ---

LedgerSlot Slot(SlotState state, UnixSeconds due) {
  LedgerSlot slot;
  slot.state = state;
  slot.due = due;
  return slot;
}

TEST(CountLeftTest, CountsByDomainAndSource) {
  testing::TempDir dir;
  const std::vector<std::string> columns;
  auto writer = RecipientFileWriter::Create(dir.path("r.bin"), columns);
  ASSERT_TRUE(writer.ok());
  for (int i = 0; i < 10; ++i) {
    const std::string domain = i < 6 ? "x.example" : "[192.0.2.1]";
    ASSERT_TRUE((*writer)->Append(fmt::format("r{}@{}", i, domain), false, 1, {}).ok());
  }
  ASSERT_TRUE((*writer)->Finish().ok());
  const auto list = RecipientFile::Open(dir.path("r.bin"));
  ASSERT_TRUE(list.ok());
  const auto fresh = CountLeft(**list, {.sources = 2});
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh->messages, 10u);
  EXPECT_EQ(fresh->domains.at("x.example")[0].now, 3u);
  EXPECT_EQ(fresh->domains.at("x.example")[1].now, 3u);
  EXPECT_EQ(fresh->domains.at("[192.0.2.1]").size(), 2u);

  const auto ledger =
      Ledger::Create(dir.path("ledger.bin"), {(*list)->count(), (*list)->checksum()});
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  (*ledger)->Put(0, Slot(SlotState::kDelivered, 0));
  (*ledger)->Put(1, Slot(SlotState::kBounced, 0));
  (*ledger)->Put(2, Slot(SlotState::kDeferred, 1005));
  (*ledger)->Put(3, Slot(SlotState::kDeferred, 900));
  (*ledger)->Put(4, Slot(SlotState::kUncertain, 0));
  CountLeftOptions options;
  options.ledger = ledger->get();
  options.now = 1000;
  const auto rest = CountLeft(**list, options);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->settled, 3u);
  EXPECT_EQ(rest->messages, 7u);
  EXPECT_EQ(rest->later, 1u);
  EXPECT_EQ(rest->domains.at("x.example")[0].now, 2u);
  EXPECT_EQ(rest->domains.at("x.example")[0].later.at(1010), 1u);
  options.uncertain = UncertainPolicy::kResend;
  EXPECT_EQ(CountLeft(**list, options)->messages, 8u);
}

TEST(PlanRoutesTest, GuessesByTheDomainWhereDnsIsNotAsked) {
  LeftToSend left;
  left.domains["gmail.com"] = {{.now = 5}};
  left.domains["x.example"] = {{.now = 9}};
  left.domains["y.example"] = {{.now = 9}};
  PlanRoutesOptions options;
  options.pack = ProviderPack::BuiltIn();
  auto over = ParseMxOverride("y.example=127.0.0.1:2525");
  ASSERT_TRUE(over.ok());
  options.mx.overrides = {*over};
  const PlanRoutes routes = FindPlanRoutes(left, options);
  ASSERT_EQ(routes.routes.size(), 3u);
  EXPECT_EQ(routes.routes[0].name, "x.example");
  EXPECT_EQ(routes.routes[1].name, "y.example");
  EXPECT_EQ(routes.routes[2].provider->name, "google");
  EXPECT_EQ(routes.domains, 3u);
  EXPECT_EQ(routes.guessed_domains, 2u);
}

TEST(RoundTripsTest, AreHalfOfWhatDeliveriesTook) {
  testing::TempDir dir;
  std::string events;
  const auto add = [&events](std::string_view event, std::string_view relay, int ms) {
    events += fmt::format(
        R"({{"time":"2026-11-24T02:45:41.360Z","event":"{}","recipient":"a@x.example","ms":{},"relay":"{}"}})"
        "\n",
        event, ms, relay);
  };
  for (int i = 0; i < 20; ++i) add("delivered", "near", 40);
  for (int i = 0; i < 5; ++i) add("delivered", "rare", 400);
  for (int i = 0; i < 50; ++i) add("deferred", "near", 9000);
  dir.Write("events.jsonl", events);
  RoundTrips trips;
  EXPECT_EQ(trips.Of("near"), kAssumedRoundTrip);
  ASSERT_TRUE(trips.Measure(dir.path()).ok());
  EXPECT_EQ(trips.measured(), 25u);
  EXPECT_EQ(trips.Of("near"), absl::Milliseconds(20));
  EXPECT_EQ(trips.Of("rare"), absl::Milliseconds(56)) << "too few of it: as all";
  EXPECT_EQ(trips.all(), absl::Milliseconds(56));
}

TEST(RoundTripsTest, StayAsAssumedWithoutEvents) {
  testing::TempDir dir;
  RoundTrips trips(absl::Milliseconds(7));
  EXPECT_TRUE(trips.Measure(dir.path()).ok());
  EXPECT_EQ(trips.Of("any"), absl::Milliseconds(7));
  EXPECT_EQ(trips.measured(), 0u);
}

TEST(RoundTripsTest, OpeningTakesMoreWithTls) {
  using engine::smtp::TlsPolicy;
  EXPECT_EQ(OpeningTrips(TlsPolicy::kOff, false), 3);
  EXPECT_EQ(OpeningTrips(TlsPolicy::kImplicit, false), 4);
  EXPECT_EQ(OpeningTrips(TlsPolicy::kOpportunistic, false), 6);
  EXPECT_EQ(OpeningTrips(TlsPolicy::kRequired, true), 7);
}

}  // namespace
}  // namespace volley::pipeline
