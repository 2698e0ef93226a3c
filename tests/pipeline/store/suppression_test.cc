#include "pipeline/store/suppression.h"

#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/store/suppression_query.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using volley::testing::TempDir;

constexpr absl::Time kThen = absl::FromUnixSeconds(1700000000);

Suppression Entry(std::string address, std::string list = "", absl::Time at = kThen) {
  return {.address = std::move(address),
          .list = std::move(list),
          .reason = "unsubscribe",
          .source = "one-click",
          .campaign = "november",
          .created_at = at};
}

std::unique_ptr<SuppressionList> OpenList(const TempDir& dir) {
  auto list = SuppressionList::Open(dir.path());
  EXPECT_TRUE(list.ok()) << list.status();
  return *std::move(list);
}

SuppressionReader Reader(const TempDir& dir, std::string_view list = "news") {
  auto snapshot = SuppressionSnapshot::Load(dir.path(), list);
  EXPECT_TRUE(snapshot.ok()) << snapshot.status();
  return SuppressionReader(*std::move(snapshot));
}

bool Contains(SuppressionReader& reader, std::string_view address) {
  const auto found = reader.Contains(address);
  EXPECT_TRUE(found.ok()) << found.status();
  return *found;
}

int RunSql(const TempDir& dir, const char* sql) {
  sqlite3* database = nullptr;
  EXPECT_EQ(sqlite3_open(Store::PathIn(dir.path()).c_str(), &database), SQLITE_OK);
  const int code = sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
  sqlite3_close(database);
  return code;
}

TEST(SuppressionList, AddsOnceAndKeepsTheEarliest) {
  const TempDir dir;
  const auto list = OpenList(dir);
  EXPECT_TRUE(*list->Add(Entry("Ann@Example.org", "news")));
  EXPECT_FALSE(*list->Add(Entry("ann@example.org", "news", kThen + absl::Hours(1))));
  EXPECT_EQ(*list->Count(), 1u);
  auto found = *list->Lookup("ANN@example.ORG", "news");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, "ann@example.org");
  EXPECT_EQ(found->created_at, kThen);
  Suppression earlier = Entry("ann@example.org", "news", kThen - absl::Hours(1));
  earlier.reason = "complaint";
  EXPECT_FALSE(*list->Add(earlier));
  found = *list->Lookup("ann@example.org", "news");
  EXPECT_EQ(found->reason, "complaint");
  EXPECT_EQ(found->created_at, kThen - absl::Hours(1));
}

TEST(SuppressionList, AListsOwnEntryIsForItAloneAndTheGlobalOneForAll) {
  const TempDir dir;
  const auto list = OpenList(dir);
  ASSERT_TRUE(list->Add(Entry("one@example.org", "news")).ok());
  ASSERT_TRUE(list->Add(Entry("all@example.org")).ok());
  EXPECT_TRUE(*list->Lookup("one@example.org", "news"));
  EXPECT_FALSE(*list->Lookup("one@example.org", "offers"));
  EXPECT_FALSE(*list->Lookup("one@example.org", ""));
  EXPECT_EQ((*list->Lookup("all@example.org", "news"))->list, "");
  auto news = Reader(dir, "news");
  auto offers = Reader(dir, "offers");
  EXPECT_TRUE(Contains(news, "one@example.org"));
  EXPECT_FALSE(Contains(offers, "one@example.org"));
  EXPECT_TRUE(Contains(news, "all@example.org"));
  EXPECT_TRUE(Contains(offers, "all@example.org"));
}

TEST(SuppressionList, RefusesWhatIsNoEntry) {
  const TempDir dir;
  const auto list = OpenList(dir);
  for (const char* address : {"", "ann", "a b@example.org", "a@example.org\r\nx"}) {
    EXPECT_EQ(list->Add(Entry(address)).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(list->Add(Entry("a@example.org", std::string(256, 'l'))).ok());
  EXPECT_FALSE(list->Add(Entry("a@example.org", "a\nb")).ok());
  EXPECT_EQ(*list->Count(), 0u);
}

TEST(SuppressionList, WhoSaidNoStaysSoWhateverElseIsKnown) {
  const TempDir dir;
  const auto list = OpenList(dir);
  const auto add = [&](const char* reason, absl::Duration later) {
    Suppression entry = Entry("ann@example.org", "", kThen + later);
    entry.reason = reason;
    EXPECT_TRUE(list->Add(entry).ok());
    return (*list->Lookup("ann@example.org", ""))->reason;
  };
  EXPECT_EQ(add("mailbox_full", absl::Hours(5)), "mailbox_full");
  EXPECT_EQ(add("recipient_unknown", absl::Hours(4)), "recipient_unknown");
  EXPECT_EQ(add("manual", absl::Hours(6)), "recipient_unknown");
  EXPECT_EQ(add("unsubscribe", absl::Hours(7)), "unsubscribe");
  EXPECT_EQ(add("recipient_unknown", absl::Hours(1)), "unsubscribe");
  EXPECT_EQ(add("complaint", absl::Hours(8)), "unsubscribe");
  EXPECT_EQ(add("complaint", absl::Hours(2)), "complaint");
}

TEST(SuppressionList, ARemovalIsKeptWithWhoWhenAndWhy) {
  const TempDir dir;
  const auto list = OpenList(dir);
  ASSERT_TRUE(list->Add(Entry("ann@example.org", "news")).ok());
  const absl::Time later = kThen + absl::Hours(1);
  EXPECT_FALSE(*list->Remove("ann@example.org", "", {.who = "bob", .why = "x", .at = later}));
  EXPECT_TRUE(
      *list->Remove("Ann@Example.org", "news", {.who = "bob", .why = "asked", .at = later}));
  auto query = SuppressionQuery::Open(dir.path());
  ASSERT_TRUE(query.ok());
  const auto removals = *query->Removals("ANN@example.org");
  ASSERT_EQ(removals.size(), 1u);
  EXPECT_EQ(removals[0].removed_by, "bob");
  EXPECT_EQ(removals[0].why, "asked");
  EXPECT_EQ(removals[0].removed_at, later);
  EXPECT_EQ(removals[0].entry.list, "news");
  EXPECT_EQ(removals[0].entry.reason, "unsubscribe");
  EXPECT_EQ(removals[0].entry.created_at, kThen);
  EXPECT_EQ(*query->RemovedCount(), 1u);
}

TEST(SuppressionList, ABatchIsAllOrNothing) {
  const TempDir dir;
  const auto list = OpenList(dir);
  const SuppressionView batch[] = {
      {"a@b.org", "", "manual", "", "", 0},
      {"A@b.org", "", "manual", "", "", 0}};  // against the rules: not in lower case
  EXPECT_FALSE(list->AddBatch(batch).ok());
  EXPECT_EQ(*list->Count(), 0u);
  EXPECT_EQ(list->AddBatch({batch, 1})->added, 1u);
  EXPECT_EQ(list->AddBatch({batch, 1})->kept, 1u);
}

TEST(SuppressionQuery, FiltersAndCounts) {
  const TempDir dir;
  (void)OpenList(dir);
  // More than it reads at a time.
  ASSERT_EQ(RunSql(dir,
                   "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
                   "INSERT INTO suppression (address, list, reason, source, created_at) SELECT "
                   "'u' || i || '@b.org', iif(i % 2 = 0, 'news', ''), iif(i % 5 = 0, 'complaint', "
                   "'manual'), 'x', 1700000000000 + i FROM n"),
            SQLITE_OK);
  auto query = SuppressionQuery::Open(dir.path());
  ASSERT_TRUE(query.ok());
  const auto count = [&](const SuppressionFilter& filter) {
    uint64_t n = 0;
    EXPECT_TRUE(query
                    ->Each(filter,
                           [&](const Suppression&) {
                             ++n;
                             return absl::OkStatus();
                           })
                    .ok());
    return n;
  };
  EXPECT_EQ(count({}), 10000u);
  EXPECT_EQ(count({.list = "", .reason = "", .source = ""}), 5000u);
  EXPECT_EQ(count({.list = "news", .reason = "complaint", .source = ""}), 1000u);
  EXPECT_EQ(count({.list = std::nullopt, .reason = "", .source = "y"}), 0u);
  EXPECT_EQ(count({.list = std::nullopt,
                   .reason = "",
                   .source = "",
                   .since = kThen + absl::Milliseconds(9000)}),
            1000u);
  const auto newest = *query->Newest({}, 3);
  ASSERT_EQ(newest.size(), 3u);
  EXPECT_EQ(newest[0].address, "u9999@b.org");
  const auto totals = *query->Totals();
  ASSERT_EQ(totals.size(), 4u);
  EXPECT_EQ(totals[0].count, 4000u);
  EXPECT_EQ(totals[3].count, 1000u);
}

TEST(SuppressionList, WhatWasAddedIsThereAfterReopening) {
  const TempDir dir;
  ASSERT_TRUE(OpenList(dir)->Add(Entry("a@example.org")).ok());
  EXPECT_TRUE(*OpenList(dir)->Lookup("a@example.org", "x"));
}

TEST(SuppressionReader, SeesAtOnceWhatAnotherConnectionAddsAndRemoves) {
  const TempDir dir;
  const auto list = OpenList(dir);
  ASSERT_TRUE(list->Add(Entry("old@example.org", "news")).ok());
  auto reader = Reader(dir);
  EXPECT_TRUE(Contains(reader, "old@example.org"));
  EXPECT_FALSE(Contains(reader, "new@example.org"));
  ASSERT_TRUE(list->Add(Entry("new@example.org", "news")).ok());
  ASSERT_TRUE(list->Add(Entry("other@example.org", "offers")).ok());
  EXPECT_TRUE(Contains(reader, "new@example.org"));
  EXPECT_TRUE(Contains(reader, "NEW@example.org"));
  EXPECT_FALSE(Contains(reader, "other@example.org"));
  ASSERT_TRUE(*list->Remove("old@example.org", "news"));
  ASSERT_TRUE(*list->Remove("new@example.org", "news"));
  EXPECT_FALSE(*list->Remove("new@example.org", "news"));
  EXPECT_FALSE(Contains(reader, "old@example.org"));
  EXPECT_FALSE(Contains(reader, "new@example.org"));
  ASSERT_TRUE(*list->Add(Entry("new@example.org", "news")));  // and back
  EXPECT_TRUE(Contains(reader, "new@example.org"));
}

TEST(SuppressionReader, SeesWhatCameBetweenTheSnapshotAndItsFirstLook) {
  const TempDir dir;
  const auto list = OpenList(dir);
  auto snapshot = SuppressionSnapshot::Load(dir.path(), "news");
  ASSERT_TRUE(snapshot.ok());
  ASSERT_TRUE(list->Add(Entry("a@example.org", "news")).ok());
  SuppressionReader reader(*snapshot);
  EXPECT_TRUE(Contains(reader, "a@example.org"));
}

TEST(SuppressionReader, SeesWhatTheSqliteToolDidWithinASecond) {
  const TempDir dir;
  auto reader = Reader(dir);
  EXPECT_FALSE(Contains(reader, "hand@example.org"));
  ASSERT_EQ(RunSql(dir, "INSERT INTO suppression (address) VALUES ('hand@example.org')"),
            SQLITE_OK);
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  while (!Contains(reader, "hand@example.org") && absl::Now() < limit) usleep(50'000);
  EXPECT_TRUE(Contains(reader, "hand@example.org"));
  ASSERT_EQ(RunSql(dir, "DELETE FROM suppression"), SQLITE_OK);
  EXPECT_FALSE(Contains(reader, "hand@example.org"));  // a hit is always verified
}

TEST(SuppressionReader, AHitOfTheHashesAloneSuppressesNobody) {
  const TempDir dir;
  const auto list = OpenList(dir);
  ASSERT_TRUE(list->Add(Entry("a@example.org")).ok());
  auto snapshot = SuppressionSnapshot::Load(dir.path(), "news");
  ASSERT_EQ(RunSql(dir, "DELETE FROM suppression"), SQLITE_OK);
  ASSERT_TRUE((*snapshot)->MayContain("a@example.org"));
  SuppressionReader reader(*snapshot);
  EXPECT_FALSE(Contains(reader, "a@example.org"));
}

TEST(SuppressionReader, AgreesWithTheListOnManyAddresses) {
  const TempDir dir;
  const auto list = OpenList(dir);
  ASSERT_EQ(RunSql(dir,
                   "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < "
                   "49999) INSERT INTO suppression (address) SELECT 'u' || (i * 2) || "
                   "'@example.org' FROM n"),
            SQLITE_OK);
  auto snapshot = SuppressionSnapshot::Load(dir.path(), "news");
  EXPECT_EQ((*snapshot)->size(), 50000u);
  SuppressionReader reader(*snapshot);
  for (int i = 0; i < 100000; i += 7) {
    EXPECT_EQ(Contains(reader, "u" + std::to_string(i) + "@example.org"), i % 2 == 0) << i;
  }
}

// "Acknowledged" means that no reader anywhere says no afterwards.
TEST(SuppressionReader, NeverMissesWhatWasAcknowledgedInAnotherThread) {
  const TempDir dir;
  (void)OpenList(dir);
  constexpr int kCount = 50;
  std::atomic<int> acknowledged{0};
  std::thread writer([&] {
    const auto list = OpenList(dir);
    for (int i = 0; i < kCount; ++i) {
      ASSERT_TRUE(list->Add(Entry("u" + std::to_string(i) + "@example.org")).ok());
      acknowledged.store(i + 1, std::memory_order_release);
    }
  });
  std::vector<std::thread> readers;
  std::atomic<int> missed{0};
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      auto reader = Reader(dir);
      for (int known = 0; known < kCount;) {
        known = acknowledged.load(std::memory_order_acquire);
        if (known == 0) continue;
        if (!Contains(reader, "u" + std::to_string(known - 1) + "@example.org")) ++missed;
      }
    });
  }
  writer.join();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(missed.load(), 0);
}

TEST(SuppressionReader, SaysSoWhenItCannotLookUp) {
  const TempDir dir;
  (void)OpenList(dir);
  auto snapshot = SuppressionSnapshot::Load(dir.path(), "");
  dir.Write("volley.db", std::string(10000, 'x'));
  SuppressionReader reader(*snapshot);
  EXPECT_FALSE(reader.Contains("a@example.org").ok());
  EXPECT_FALSE(reader.Contains("a@example.org").ok());  // and again
}

}  // namespace
}  // namespace volley::pipeline
