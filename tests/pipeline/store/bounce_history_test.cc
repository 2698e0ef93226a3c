#include "pipeline/store/bounce_history.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/store/suppression.h"
#include "pipeline/store/suppression_query.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using volley::testing::TempDir;
using Kind = BounceEvent::Kind;

constexpr absl::Time kThen = absl::FromUnixSeconds(1'700'000'000);
constexpr absl::Duration kDay = absl::Hours(24);

// As the taxonomy's action column has them.
std::vector<BounceThreshold> Thresholds() {
  return {{.category = "recipient_unknown", .count = 1},
          {.category = "recipient_inactive", .count = 2, .window = 30 * kDay},
          {.category = "mailbox_full", .count = 3, .distinct_campaigns = true},
          {.category = "unknown", .count = 5}};
}

class BounceHistoryTest : public ::testing::Test {
 protected:
  BounceHistoryTest() { Reopen(); }

  void Reopen() {
    history_.reset();
    auto history = BounceHistory::Open(dir_.path(), Thresholds());
    ASSERT_TRUE(history.ok()) << history.status();
    history_ = *std::move(history);
  }
  // Empty: not suppressed for that.
  std::string Record(std::string_view category, std::string_view campaign, absl::Time at,
                     Kind kind = Kind::kReplied, std::string_view address = "ann@example.org") {
    const auto reason = history_->Record({address, category, campaign, at, kind},
                                         "bounce of " + std::string(campaign));
    EXPECT_TRUE(reason.ok()) << reason.status();
    return reason.ok() ? reason->value_or("") : "error";
  }
  std::vector<Suppression> Entries(std::string_view address = "ann@example.org") {
    auto query = SuppressionQuery::Open(dir_.path());
    EXPECT_TRUE(query.ok());
    return *query->Lookup(address);
  }

  const TempDir dir_;
  std::unique_ptr<BounceHistory> history_;
};

TEST_F(BounceHistoryTest, SuppressesAtOnceWhereOneIsEnough) {
  EXPECT_EQ(Record("recipient_unknown", "may", kThen), "recipient_unknown");
  const auto entries = Entries();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].reason, "recipient_unknown");
  EXPECT_EQ(entries[0].source, "bounce of may");
  EXPECT_EQ(entries[0].campaign, "may");
  EXPECT_EQ(entries[0].list, "");
  EXPECT_EQ(entries[0].created_at, kThen);
}

TEST_F(BounceHistoryTest, TwoInThirtyDaysAreCountedInASlidingWindow) {
  EXPECT_EQ(Record("recipient_inactive", "a", kThen), "");
  EXPECT_EQ(Record("recipient_inactive", "b", kThen + 30 * kDay), "");  // the first is just out
  EXPECT_EQ(Record("recipient_inactive", "c", kThen + 60 * kDay - absl::Milliseconds(1)),
            "recipient_inactive");
}

TEST_F(BounceHistoryTest, ThreeCampaignsAreThreeCampaignsHoweverOftenEachBounced) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Record("mailbox_full", "a", kThen + i * kDay), "");
  EXPECT_EQ(Record("mailbox_full", "b", kThen + 5 * kDay), "");
  EXPECT_EQ(Record("mailbox_full", "a", kThen + 6 * kDay), "");
  EXPECT_THAT(Entries(), IsEmpty());
  EXPECT_EQ(Record("mailbox_full", "c", kThen + 900 * kDay), "mailbox_full");
}

TEST_F(BounceHistoryTest, FiveOfAKindWhateverTheCampaign) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Record("unknown", "a", kThen + i * kDay), "");
  EXPECT_EQ(Record("unknown", "a", kThen + 4 * kDay), "unknown");
}

TEST_F(BounceHistoryTest, CategoriesAndAddressesAreCountedApart) {
  EXPECT_EQ(Record("mailbox_full", "a", kThen), "");
  EXPECT_EQ(Record("unknown", "b", kThen), "");
  EXPECT_EQ(Record("mailbox_full", "b", kThen), "");
  EXPECT_EQ(Record("mailbox_full", "c", kThen, Kind::kReplied, "bob@example.org"), "");
  EXPECT_EQ(Record("mailbox_full", "c", kThen, Kind::kReplied, "ANN@example.org"), "mailbox_full");
}

TEST_F(BounceHistoryTest, ACategoryWithoutAThresholdNeverSuppresses) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Record("ip_blocked", "a", kThen + i * kDay), "");
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(BounceHistoryTest, TheSameEventGivenTwiceCountsOnce) {
  EXPECT_EQ(Record("recipient_inactive", "a", kThen), "");
  Reopen();  // as after a crash
  EXPECT_EQ(Record("recipient_inactive", "a", kThen), "");
  EXPECT_EQ(Record("recipient_inactive", "a", kThen + absl::Milliseconds(1)), "recipient_inactive");
}

TEST_F(BounceHistoryTest, ADeliveryStartsTheCountAgainAlsoAfterReopening) {
  EXPECT_EQ(Record("mailbox_full", "a", kThen), "");
  EXPECT_EQ(Record("mailbox_full", "b", kThen + kDay), "");
  Reopen();
  EXPECT_EQ(Record("", "c", kThen + 2 * kDay, Kind::kDelivered, "Ann@example.org"), "");
  EXPECT_EQ(Record("mailbox_full", "d", kThen + 3 * kDay), "");
  EXPECT_EQ(Record("mailbox_full", "e", kThen + 4 * kDay), "");
  EXPECT_EQ(Record("mailbox_full", "f", kThen + 5 * kDay), "mailbox_full");
}

// A server that takes every message and returns it: each campaign is a delivery and then a bounce.
TEST_F(BounceHistoryTest, ADeliveryDoesNotClearWhatWasReturnedAfterwards) {
  for (const char* campaign : {"a", "b"}) {
    EXPECT_EQ(Record("", campaign, kThen, Kind::kDelivered), "");
    EXPECT_EQ(Record("mailbox_full", campaign, kThen + kDay, Kind::kReturned), "");
  }
  EXPECT_EQ(Record("", "c", kThen + 2 * kDay, Kind::kDelivered), "");
  EXPECT_EQ(Record("mailbox_full", "c", kThen + 3 * kDay, Kind::kReturned), "mailbox_full");
}

TEST_F(BounceHistoryTest, ABatchDecidesInOrderAndReadersKnowAtOnce) {
  auto snapshot = SuppressionSnapshot::Load(dir_.path(), "news");
  ASSERT_TRUE(snapshot.ok());
  SuppressionReader reader(*snapshot);
  EXPECT_FALSE(*reader.Contains("ann@example.org"));
  const BounceEvent events[] = {
      {"bob@example.org", "recipient_unknown", "a", kThen, Kind::kReplied},
      {"ann@example.org", "recipient_inactive", "a", kThen, Kind::kReplied},
      {"eve@example.org", "recipient_inactive", "a", kThen, Kind::kReplied},
      {"eve@example.org", "", "b", kThen + kDay, Kind::kDelivered},
      {"eve@example.org", "recipient_inactive", "c", kThen + 2 * kDay, Kind::kReplied},
      {"ann@example.org", "recipient_inactive", "c", kThen + 2 * kDay, Kind::kReplied},
  };
  const auto decisions = history_->RecordBatch(events, "store thread");
  ASSERT_TRUE(decisions.ok()) << decisions.status();
  ASSERT_EQ(decisions->size(), 2u);
  EXPECT_EQ((*decisions)[0].event, 0u);
  EXPECT_EQ((*decisions)[1].event, 5u);
  EXPECT_EQ((*decisions)[1].reason, "recipient_inactive");
  EXPECT_TRUE(*reader.Contains("ann@example.org"));
  EXPECT_TRUE(*reader.Contains("bob@example.org"));
  EXPECT_FALSE(*reader.Contains("eve@example.org"));
}

TEST_F(BounceHistoryTest, ABatchThatFailsLeavesNothingAndCanBeGivenAgain) {
  const BounceEvent events[] = {
      {"ann@example.org", "recipient_inactive", "a", kThen, Kind::kReplied},
      {"bob@example.org", "recipient_unknown", "a", kThen, Kind::kReplied}};
  auto holder = Store::Open(dir_.path());
  auto impatient =
      BounceHistory::Open(dir_.path(), Thresholds(), {.busy_timeout = absl::Milliseconds(20)});
  ASSERT_TRUE(impatient.ok());
  ASSERT_TRUE((*holder)->Execute("BEGIN IMMEDIATE").ok());
  EXPECT_EQ((*impatient)->RecordBatch(events, "x").status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE((*holder)->Execute("ROLLBACK").ok());
  EXPECT_THAT(Entries("bob@example.org"), IsEmpty());
  EXPECT_EQ((*impatient)->RecordBatch(events, "x")->size(), 1u);
}

TEST_F(BounceHistoryTest, AnUnsubscribeIsNotHiddenByABounce) {
  auto list = SuppressionList::Open(dir_.path());
  ASSERT_TRUE((*list)->Add({"ann@example.org", "", "unsubscribe", "page", "", kThen}).ok());
  EXPECT_EQ(Record("recipient_unknown", "a", kThen - kDay), "recipient_unknown");
  ASSERT_EQ(Entries().size(), 1u);
  EXPECT_EQ(Entries()[0].reason, "unsubscribe");
}

TEST_F(BounceHistoryTest, WhoIsTakenOffTheListStartsAgain) {
  EXPECT_EQ(Record("recipient_inactive", "a", kThen), "");
  EXPECT_EQ(Record("recipient_inactive", "b", kThen + kDay), "recipient_inactive");
  auto list = SuppressionList::Open(dir_.path());
  ASSERT_TRUE(*(*list)->Remove("ann@example.org", "", {.who = "me", .why = "new mailbox"}));
  EXPECT_EQ(Record("recipient_inactive", "c", kThen + 2 * kDay), "");
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(BounceHistoryTest, PurgeForgetsOnlyWhatNoThresholdCounts) {
  EXPECT_EQ(Record("recipient_inactive", "a", kThen), "");
  EXPECT_EQ(Record("recipient_inactive", "a", kThen + 20 * kDay, Kind::kReplied, "b@c.org"), "");
  EXPECT_EQ(Record("mailbox_full", "a", kThen), "");
  EXPECT_EQ(*history_->Purge(kThen + 31 * kDay), 1u);
  EXPECT_EQ(*history_->Purge(kThen + 31 * kDay), 0u);
  EXPECT_EQ(Record("recipient_inactive", "b", kThen + 31 * kDay, Kind::kReplied, "b@c.org"),
            "recipient_inactive");
}

TEST(BounceHistory, RefusesThresholdsThatMakeNoSense) {
  const TempDir dir;
  for (const std::vector<BounceThreshold>& bad :
       {std::vector<BounceThreshold>{{.category = ""}},
        {{.category = "x", .count = 0}},
        {{.category = "x", .count = 2, .window = absl::ZeroDuration()}},
        {{.category = "x"}, {.category = "x", .count = 2}}}) {
    EXPECT_EQ(BounceHistory::Open(dir.path(), bad).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace volley::pipeline
