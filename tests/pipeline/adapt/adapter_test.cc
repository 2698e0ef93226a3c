#include "pipeline/adapt/adapter.h"

#include <gtest/gtest.h>

#include <memory>

#include "engine/policy/provider_pack.h"

namespace volley::pipeline {
namespace {

using engine::bounce::Category;
using engine::bounce::Stage;
using engine::policy::PackFile;
using engine::policy::ProviderPack;

constexpr char kOwnFile[] = R"(
version = 1
[[provider]]
name = "own"
domains = ["own.example"]
connections = 8
rate = "600/min"

[[provider.reply]]
name = "busy"
pattern = "much too busy"
threshold = "3/1min"
action = "slow"
duration = "10min"

[[provider.reply]]
name = "few"
pattern = "only two"
action = "limit_connections"
connections = 2
duration = "5min"

[[provider.reply]]
name = "never-mind"
pattern = "never mind"
action = "ignore"
)";

class AdapterTest : public testing::Test {
 protected:
  AdapterTest() : adapter_([this](const LimitChange& change) { changes_.push_back(change); }) {
    auto pack = ProviderPack::WithOwnFile({"own.toml", kOwnFile});
    EXPECT_TRUE(pack.ok()) << pack.status();
    pack_ = *pack;
  }

  // A limit of `connections`, of a provider.
  uint32_t Add(std::string_view provider, uint32_t connections, RateSpec rate = kUnpaced) {
    limits_.push_back(std::make_unique<Limit>(LimitKey{.provider = std::string(provider)},
                                              LimitSpec{.connections = connections, .rate = rate},
                                              std::nullopt, nullptr));
    return adapter_.Add(std::string(provider), limits_.back().get(), pack_->ByName(provider));
  }
  uint32_t Connections(uint32_t id) { return limits_[id]->connections()->max(); }
  absl::Duration PausedFor(uint32_t id) {
    return std::max(absl::ZeroDuration(), limits_[id]->suspended_until() - now_);
  }
  // A transaction that took 100 ms and ends now.
  void Refuse(uint32_t id, uint16_t code, std::string_view enhanced, std::string_view text,
              Category category = Category::kUnknown, int64_t took = 100) {
    const int64_t at = absl::ToInt64Milliseconds(now_ - start_);
    adapter_.OnRefused(
        id,
        {.reply = {.stage = Stage::kRcpt, .code = code, .enhanced = enhanced, .text = text},
         .category = category,
         .began = at - took,
         .ended = at},
        now_);
  }
  void Deliver(uint32_t id, int n) {
    for (int i = 0; i < n; ++i) adapter_.OnDelivered(id, now_);
  }
  void Pass(absl::Duration time) {
    now_ = now_ + time;
    adapter_.Tick(now_);
  }

  std::shared_ptr<const ProviderPack> pack_;
  std::vector<LimitChange> changes_;
  Adapter adapter_;
  std::vector<std::unique_ptr<Limit>> limits_;
  const io::MonoTime start_ = io::MonoTime::FromNanos(1'000'000'000'000);
  io::MonoTime now_ = start_;
};

TEST_F(AdapterTest, HalvesTheWindowOnceForACohort) {
  const uint32_t id = Add("default", 8);
  Pass(absl::Seconds(1));
  for (int i = 0; i < 20; ++i) Refuse(id, 421, "4.3.2", "shutting down");
  EXPECT_EQ(Connections(id), 4u);
  Pass(absl::Milliseconds(50));  // began before the cut
  Refuse(id, 421, "4.3.2", "shutting down");
  EXPECT_EQ(Connections(id), 4u);
  Pass(absl::Milliseconds(100));
  Refuse(id, 421, "4.3.2", "shutting down");
  EXPECT_EQ(Connections(id), 2u);
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[0].what, "connections");
  EXPECT_EQ(changes_[0].from, "8");
  EXPECT_EQ(changes_[0].to, "4");
  EXPECT_EQ(changes_[0].cause, "421 4.3.2 shutting down");
}

TEST_F(AdapterTest, GrowsByOneForEachCleanRound) {
  const uint32_t id = Add("default", 4);
  Pass(absl::Seconds(1));
  Refuse(id, 451, "4.7.1", "slow down please");
  ASSERT_EQ(Connections(id), 2u);
  Deliver(id, 2 * Adapter::kCleanAConnection - 1);
  EXPECT_EQ(Connections(id), 2u);
  Deliver(id, 1);
  EXPECT_EQ(Connections(id), 3u);
  Deliver(id, 3 * Adapter::kCleanAConnection);
  EXPECT_EQ(Connections(id), 4u);
  Deliver(id, 1000);
  EXPECT_EQ(Connections(id), 4u);  // no more than is configured
  Pass(absl::Seconds(1));
  EXPECT_TRUE(adapter_.Status(now_)[id].cause.empty());
}

TEST_F(AdapterTest, WhatIsAboutOneRecipientChangesNothing) {
  const uint32_t id = Add("default", 8);
  Pass(absl::Seconds(1));
  Refuse(id, 550, "5.1.1", "no such user", Category::kRecipientUnknown);
  Refuse(id, 452, "4.2.2", "mailbox full", Category::kMailboxFull);
  Refuse(id, 450, "4.7.1", "greylisted, come back", Category::kGreylisted);
  EXPECT_EQ(Connections(id), 8u);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(AdapterTest, PausesAtOneConnectionLongerEachTime) {
  const uint32_t id = Add("default", 1);
  absl::Duration expected = Adapter::kShortPause;
  for (int i = 0; i < 8; ++i) {
    Pass(absl::Seconds(1));
    Refuse(id, 421, "4.3.2", "not now");
    EXPECT_EQ(PausedFor(id), expected) << i;
    Pass(PausedFor(id));
    EXPECT_EQ(adapter_.Status(now_)[id].paused_for, absl::ZeroDuration());
    expected = std::min(2 * expected, Adapter::kShortPauseMax);
  }
}

TEST_F(AdapterTest, GmailsRuleTenMinutesThenOneConnectionThenOneMoreAtATime) {
  const uint32_t id = Add("google", 5);
  Pass(absl::Seconds(1));
  const char* text = "Gmail has detected an unusual rate of unsolicited email";
  for (int i = 0; i < 50; ++i) Refuse(id, 421, "4.7.28", text);
  EXPECT_EQ(PausedFor(id), absl::Minutes(10));
  EXPECT_EQ(Connections(id), 1u);
  Pass(absl::Minutes(10));
  EXPECT_EQ(PausedFor(id), absl::ZeroDuration());
  Refuse(id, 421, "4.7.28", text);  // it fails: another ten
  EXPECT_EQ(PausedFor(id), absl::Minutes(10));
  Pass(absl::Minutes(10));
  Deliver(id, 500);
  EXPECT_EQ(Connections(id), 1u);  // not in the first minute
  uint32_t most = 1;
  for (int minute = 0; minute < 10; ++minute) {
    Pass(absl::Minutes(1));
    const uint32_t before = Connections(id);
    Deliver(id, 500);
    EXPECT_LE(Connections(id), before + 1);
    most = std::max(most, Connections(id));
  }
  EXPECT_EQ(most, 5u);
}

TEST_F(AdapterTest, OwnRuleSlowsAtItsThresholdAndEnds) {
  const uint32_t id = Add("own", 8, {600, absl::Minutes(1)});
  Pass(absl::Seconds(30));
  Deliver(id, 300);
  Pass(absl::Seconds(30));
  for (int i = 0; i < 2; ++i) Refuse(id, 452, "", "I am much too busy");
  EXPECT_TRUE(changes_.empty());
  Pass(absl::Seconds(59));
  Refuse(id, 452, "", "I am much too busy");
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].what, "rate");
  EXPECT_EQ(changes_[0].rule, "busy");
  EXPECT_NE(limits_[id]->Text(LimitKind::kRate).find("(configured 600/min)"), std::string::npos);
  Pass(absl::Minutes(10));
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(limits_[id]->Text(LimitKind::kRate), "rate 600/min");
}

TEST_F(AdapterTest, OwnRuleLimitsConnectionsForItsTime) {
  const uint32_t id = Add("own", 8, {600, absl::Minutes(1)});
  Pass(absl::Seconds(1));
  Refuse(id, 452, "", "only two");
  EXPECT_EQ(Connections(id), 2u);
  Pass(absl::Minutes(2));
  Deliver(id, 1000);
  EXPECT_EQ(Connections(id), 2u);
  Pass(absl::Minutes(3));
  Deliver(id, 40);
  EXPECT_EQ(Connections(id), 3u);
  Refuse(id, 421, "4.7.0", "never mind");
  EXPECT_EQ(Connections(id), 3u);
}

TEST_F(AdapterTest, BlocksPauseWhenThereAreSeveral) {
  const uint32_t id = Add("default", 8);
  for (uint32_t i = 0; i < Adapter::kBlocksMax; ++i) {
    EXPECT_EQ(PausedFor(id), absl::ZeroDuration());
    Pass(absl::Seconds(1));
    Refuse(id, 554, "5.7.1", "listed by a blocklist", Category::kIpBlocked);
  }
  EXPECT_EQ(PausedFor(id), Adapter::kBlockPause);
  Pass(Adapter::kBlockPause);
  Pass(absl::Seconds(1));
  Refuse(id, 554, "5.7.1", "listed by a blocklist", Category::kIpBlocked);
  EXPECT_EQ(PausedFor(id), 2 * Adapter::kBlockPause);
}

TEST_F(AdapterTest, BlocksAmongManyThatAreTakenArePassedOver) {
  const uint32_t id = Add("default", 8);
  for (int i = 0; i < 10; ++i) {
    Pass(absl::Seconds(1));
    Refuse(id, 554, "5.7.1", "listed by a blocklist", Category::kIpBlocked);
    Deliver(id, Adapter::kCleanAConnection);
  }
  EXPECT_EQ(PausedFor(id), absl::ZeroDuration());
}

TEST_F(AdapterTest, ASetUpThatIsRefusedForGoodPausesAndA421DoesNot) {
  const uint32_t id = Add("default", 8), other = Add("own", 8, {600, absl::Minutes(1)});
  for (uint32_t i = 0; i < Adapter::kBlocksMax; ++i) {
    Pass(absl::Seconds(1));
    Refuse(id, 550, "5.7.26", "not authenticated", Category::kAuthFailure);
    Refuse(other, 421, "4.7.0", "sender rejected", Category::kSenderRejected);
  }
  EXPECT_EQ(PausedFor(id), Adapter::kSetUpPause);
  EXPECT_EQ(PausedFor(other), absl::ZeroDuration());
  EXPECT_LT(Connections(other), 8u);
}

TEST_F(AdapterTest, CanBeUndoneByHand) {
  const uint32_t google = Add("google", 5), other = Add("default", 8);
  Pass(absl::Seconds(1));
  Refuse(google, 421, "4.7.28", "unusual rate");
  Refuse(other, 421, "4.3.2", "not now");
  EXPECT_EQ(adapter_.Undo("nobody", now_), 0u);
  EXPECT_EQ(adapter_.Undo("google", now_), 1u);
  EXPECT_EQ(PausedFor(google), absl::ZeroDuration());
  EXPECT_EQ(Connections(google), 5u);
  EXPECT_EQ(Connections(other), 4u);
  EXPECT_EQ(changes_.back().what, "undone");
  EXPECT_EQ(adapter_.Undo("all", now_), 1u);
  EXPECT_EQ(Connections(other), 8u);
}

}  // namespace
}  // namespace volley::pipeline
