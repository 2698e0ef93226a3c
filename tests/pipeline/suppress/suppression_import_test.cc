#include "pipeline/suppress/suppression_import.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/store/suppression.h"
#include "pipeline/store/suppression_query.h"
#include "pipeline/suppress/suppression_export.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using volley::testing::TempDir;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr int64_t kThenMs = 1'443'651'125'000;  // 2015-09-30T22:12:05Z

SuppressionImportOptions Options(const TempDir& dir, const std::string& path) {
  SuppressionImportOptions options;
  options.state_dir = dir.path("state");
  options.path = path;
  options.now = kNow;
  return options;
}

SuppressionImportResult Import(const SuppressionImportOptions& options) {
  auto result = ImportSuppressions(options);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  EXPECT_EQ(result->rows, result->added + result->replaced + result->already + result->rejected);
  return *std::move(result);
}

std::vector<Suppression> All(const TempDir& dir) {
  std::vector<Suppression> all;
  auto query = SuppressionQuery::Open(dir.path("state"));
  EXPECT_TRUE(query.ok()) << query.status();
  EXPECT_TRUE(query
                  ->Each({},
                         [&](const Suppression& entry) {
                           all.push_back(entry);
                           return absl::OkStatus();
                         })
                  .ok());
  return all;
}

// "address list reason source time-in-seconds"
std::vector<std::string> Lines(const TempDir& dir) {
  std::vector<std::string> lines;
  for (const Suppression& e : All(dir)) {
    lines.push_back(e.address + " " + e.list + " " + e.reason + " " +
                    std::to_string(absl::ToUnixSeconds(e.created_at)));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string Export(const TempDir& dir, ExportFormat format) {
  auto query = SuppressionQuery::Open(dir.path("state"));
  EXPECT_TRUE(query.ok()) << query.status();
  std::string text;
  EXPECT_TRUE(ExportSuppressions(&*query, {}, format, [&](std::string_view piece) {
                text += piece;
                return absl::OkStatus();
              }).ok());
  return text;
}

struct ProviderFile {
  const char* layout;
  const char* text;
  std::vector<std::string> lines;
};

class ProviderFiles : public ::testing::TestWithParam<ProviderFile> {};

TEST_P(ProviderFiles, AreTakenWithTheirReasonsAndTimes) {
  const TempDir dir;
  const auto result = Import(Options(dir, dir.Write("file", GetParam().text)));
  EXPECT_EQ(result.layout, GetParam().layout);
  EXPECT_EQ(result.rejected, 0u);
  EXPECT_EQ(result.times_not_understood, 0u);
  EXPECT_EQ(Lines(dir), GetParam().lines);
}

INSTANTIATE_TEST_SUITE_P(
    Exports, ProviderFiles,
    ::testing::Values(
        ProviderFile{"SendGrid bounces and blocks",
                     "status,reason,email,created\n"
                     "5.1.1,550 5.1.1 no such user,a@b.org,1443651125\n"
                     "4.0.0,\"421 busy, try later\",c@b.org,1443651126\n",
                     {"a@b.org  hard_bounce 1443651125", "c@b.org  soft_bounce 1443651126"}},
        ProviderFile{"SendGrid spam reports",
                     "ip,email,created\n192.0.2.1,a@b.org,1443651125\n",
                     {"a@b.org  complaint 1443651125"}},
        ProviderFile{"Mailgun bounces",
                     "address,code,error,created_at\n"
                     "a@b.org,550,No such mailbox,\"Wed, 30 Sep 2015 22:12:05 UTC\"\n",
                     {"a@b.org  hard_bounce 1443651125"}},
        ProviderFile{"Mailgun unsubscribes",
                     "address,tags,created_at\na@b.org,*,\"Wed, 30 Sep 2015 22:12:05 +0000\"\n",
                     {"a@b.org  unsubscribe 1443651125"}},
        ProviderFile{"Amazon SES",
                     "{\"EmailAddress\":\"a@b.org\",\"Reason\":\"BOUNCE\",\"LastUpdateTime\":"
                     "1443651125.077}\n"
                     "{\"EmailAddress\":\"c@b.org\",\"Reason\":\"COMPLAINT\",\"LastUpdateTime\":"
                     "\"2015-09-30T22:12:06Z\"}\n",
                     {"a@b.org  hard_bounce 1443651125", "c@b.org  complaint 1443651126"}},
        ProviderFile{"Postmark",
                     "{\"EmailAddress\":\"a@b.org\",\"SuppressionReason\":\"HardBounce\","
                     "\"Origin\":\"Recipient\",\"CreatedAt\":\"2015-09-30T18:12:05-04:00\"}\n"
                     "{\"EmailAddress\":\"c@b.org\",\"SuppressionReason\":\"ManualSuppression\","
                     "\"Origin\":\"Recipient\",\"CreatedAt\":\"2015-09-30T18:12:06-04:00\"}\n"
                     "{\"EmailAddress\":\"d@b.org\",\"SuppressionReason\":\"ManualSuppression\","
                     "\"Origin\":\"Customer\",\"CreatedAt\":\"2015-09-30T18:12:07-04:00\"}\n"
                     "{\"EmailAddress\":\"e@b.org\",\"SuppressionReason\":\"SpamComplaint\","
                     "\"Origin\":\"Recipient\",\"CreatedAt\":\"2015-09-30T18:12:08-04:00\"}\n",
                     {"a@b.org  hard_bounce 1443651125", "c@b.org  unsubscribe 1443651126",
                      "d@b.org  manual 1443651127", "e@b.org  complaint 1443651128"}},
        ProviderFile{
            "SparkPost",
            "recipient,transactional,non_transactional,source,description,created,updated\n"
            "a@b.org,true,true,Bounce Rule,550 5.1.1 x,2015-09-30T22:12:05+00:00,\n"
            "c@b.org,false,true,Unsubscribe Link,,2015-09-30T22:12:06+00:00,\n"
            "d@b.org,false,true,Spam Complaint,,2015-09-30T22:12:07+00:00,\n",
            {"a@b.org  hard_bounce 1443651125", "c@b.org  unsubscribe 1443651126",
             "d@b.org  complaint 1443651127"}},
        ProviderFile{"Mailchimp unsubscribed",
                     "Email Address,First Name,UNSUB_TIME,UNSUB_REASON,UNSUB_CAMPAIGN_TITLE\n"
                     "a@b.org,Ann,2015-09-30 22:12:05,NORMAL,May\n",
                     {"a@b.org  unsubscribe 1443651125"}},
        ProviderFile{"Mailchimp cleaned",
                     "Email Address,First Name,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE\n"
                     "a@b.org,Ann,2015-09-30 22:12:05,May\n",
                     {"a@b.org  hard_bounce 1443651125"}},
        ProviderFile{"",  // of no provider that is known
                     "Contact;E-mail;Type;Date added\n"
                     "Ann;A@B.org;spam complaint;2015-09-30T22:12:05Z\n"
                     "Bob;c@b.org;asked by phone;2015-09-30T22:12:06Z\n",
                     {"a@b.org  complaint 1443651125", "c@b.org  asked by phone 1443651126"}},
        ProviderFile{"",  // says nothing about why: nobody's reason is made up
                     "email,created\na@b.org,1443651125\n",
                     {"a@b.org  imported 1443651125"}}));

TEST(SuppressionImport, ListsWhatItRejectsByLineAndReasonAndTakesTheRest) {
  const TempDir dir;
  const std::string path = dir.Write("list.csv",
                                     "email,status,created\n"
                                     "a@b.org,bounced,1443651125\n"
                                     "not an address,bounced,1443651125\n"
                                     ",bounced,1443651125\n"
                                     "b@b.org\n"
                                     "\"multi\nline\",bounced,1\n"
                                     "c@b.org,subscribed,1443651125\n"
                                     "d@b.org,bounced,when?\n");
  auto options = Options(dir, path);
  options.rejected_path = dir.path("rejected.csv");
  const auto result = Import(options);
  EXPECT_EQ(result.rows, 7u);
  EXPECT_EQ(result.added, 2u);
  EXPECT_EQ(result.rejected, 5u);
  EXPECT_EQ(result.times_not_understood, 1u);
  EXPECT_THAT(Lines(dir),
              ElementsAre("a@b.org  hard_bounce 1443651125", "d@b.org  hard_bounce 1700000000"));
  ASSERT_EQ(result.rejected_samples.size(), 5u);
  EXPECT_THAT(result.rejected_samples[0], HasSubstr("line 3: \"not an address\": not an address"));
  EXPECT_THAT(result.rejected_samples[4], HasSubstr("line 8: \"c@b.org\""));
  EXPECT_THAT(result.rejected_samples[4], HasSubstr("this is no suppression"));
  EXPECT_THAT(dir.Read("rejected.csv"), HasSubstr("\r\n5,b@b.org,"));
  EXPECT_THAT(dir.Read("rejected.csv"), HasSubstr("\r\n4,,no address\r\n"));
}

TEST(SuppressionImport, TakesAPersonWhateverTheOtherColumnsHold) {
  const TempDir dir;
  const std::string long_reason(3000, 'x');
  const auto result = Import(Options(
      dir, dir.Write("list.csv", "email,reason\na@b.org," + long_reason +
                                     "\nb@b.org,\"one\ntwo\"\nc@b.org,caf\xe9\nd@b.org,\n")));
  EXPECT_EQ(result.added, 4u);
  const auto all = All(dir);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].reason, std::string(255, 'x'));
  EXPECT_EQ(all[1].reason, "one two");
  EXPECT_EQ(all[2].reason, "caf?");
  EXPECT_EQ(all[3].reason, "imported");
  EXPECT_EQ(all[3].source, "list.csv");
}

TEST(SuppressionImport, FlagsWinOverTheFile) {
  const TempDir dir;
  auto options = Options(dir, dir.Write("list.csv",
                                        "Kontakt,email,grund,wann,liste\n"
                                        "a@b.org,x@b.org,spam,2015-09-30T22:12:05Z,News\n"));
  options.columns = {.address = "kontakt", .reason = "Grund", .time = "wann", .list = "liste"};
  Import(options);
  EXPECT_THAT(Lines(dir), ElementsAre("a@b.org news complaint 1443651125"));
  const TempDir other;
  options.state_dir = other.path("state");
  options.list = "offers";
  options.reason = "unsubscribe";
  options.source = "phone";
  Import(options);
  EXPECT_THAT(Lines(other), ElementsAre("a@b.org offers unsubscribe 1443651125"));
  EXPECT_EQ(All(other)[0].source, "phone");
  options.columns.time = "when";
  const absl::Status status = ImportSuppressions(options).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no column \"when\" (--time-column)"));
}

TEST(SuppressionImport, AStrongerReasonAndAnEarlierTimeReplaceWhatIsThere) {
  const TempDir dir;
  const auto add = [&](const char* rows) {
    return Import(Options(
        dir, dir.Write("list.csv", std::string("address,list,reason,created_at\n") + rows)));
  };
  EXPECT_EQ(add("a@b.org,,hard_bounce,2015-09-30\nb@b.org,,unsubscribe,2015-09-30\n").added, 2u);
  const auto result = add("a@b.org,,unsubscribe,2016-01-01\nb@b.org,,hard_bounce,2014-01-01\n");
  EXPECT_EQ(result.replaced, 1u);
  EXPECT_EQ(result.already, 1u);
  EXPECT_THAT(Lines(dir),
              ElementsAre("a@b.org  unsubscribe 1451606400", "b@b.org  unsubscribe 1443571200"));
  EXPECT_EQ(add("b@b.org,,complaint,2015-01-01\n").replaced, 1u);
}

TEST(SuppressionImport, TheSameFileAgainChangesNothing) {
  const TempDir dir;
  std::string text = "email,created\n";
  for (int i = 0; i < 1000; ++i) text += "u" + std::to_string(i % 900) + "@b.org,1443651125\n";
  const std::string path = dir.Write("list.csv", text);
  auto result = Import(Options(dir, path));
  EXPECT_EQ(result.added, 900u);
  EXPECT_EQ(result.already, 100u);  // twice in the file
  const auto before = Export(dir, ExportFormat::kCsv);
  result = Import(Options(dir, path));
  EXPECT_EQ(result.already, 1000u);
  EXPECT_EQ(Export(dir, ExportFormat::kCsv), before);
}

TEST(SuppressionImport, ADryRunCountsTheSameAndLeavesNothing) {
  const TempDir dir;
  const std::string path = dir.Write(
      "list.csv", "email,reason\na@b.org,spam\nb@b.org,spam\nA@b.org,spam\nnobody,spam\n");
  auto options = Options(dir, path);
  options.dry_run = true;
  const auto dry = Import(options);
  EXPECT_FALSE(std::filesystem::exists(dir.path("state")));
  options.dry_run = false;
  const auto real = Import(options);
  EXPECT_EQ(std::tie(dry.added, dry.already, dry.rejected),
            std::tie(real.added, real.already, real.rejected));
  EXPECT_EQ(real.added, 2u);
  options.dry_run = true;
  options.path = dir.Write("more.csv", "email,reason\na@b.org,spam\nc@b.org,spam\n");
  const auto more = Import(options);
  EXPECT_EQ(more.added, 1u);
  EXPECT_EQ(more.already, 1u);
  EXPECT_EQ(All(dir).size(), 2u);
}

class RoundTrip : public ::testing::TestWithParam<ExportFormat> {};

TEST_P(RoundTrip, AnExportImportedIsTheSameList) {
  const TempDir dir;
  auto list = SuppressionList::Open(dir.path("state"));
  ASSERT_TRUE(list.ok());
  const auto add = [&](Suppression entry) { ASSERT_TRUE((*list)->Add(entry).ok()); };
  add({"a@b.org", "", "unsubscribe", "one-click", "may", absl::FromUnixMillis(kThenMs + 1)});
  add({"a@b.org", "news.b.org", "bounced", "x, \"y\"; z", "", absl::FromUnixMillis(kThenMs + 999)});
  add({"\"odd, one\"@b.org", "", "550 5.1.1 as it came", "", "", absl::FromUnixMillis(0)});
  add({"käthe@münchen.example", "", "Unsubscribed", " blanks ", "", absl::FromUnixMillis(kThenMs)});
  add({"=1+1@b.org", "news", "-", "", "", absl::FromUnixMillis(kThenMs)});
  add({"x@[192.0.2.1]", "", "manual", "", "", absl::FromUnixMillis(kThenMs)});
  const std::string text = Export(dir, GetParam());
  const TempDir other;
  const auto result = Import(Options(other, other.Write("file", text)));
  EXPECT_EQ(result.added, 6u);
  EXPECT_EQ(result.layout, "volley suppress export");
  const auto by_key = [](const Suppression& a, const Suppression& b) {
    return std::tie(a.address, a.list) < std::tie(b.address, b.list);
  };
  auto before = All(dir), after = All(other);
  std::sort(before.begin(), before.end(), by_key);
  std::sort(after.begin(), after.end(), by_key);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].address, before[i].address);
    EXPECT_EQ(after[i].list, before[i].list);
    EXPECT_EQ(after[i].reason, before[i].reason);
    EXPECT_EQ(after[i].source, before[i].source);
    EXPECT_EQ(after[i].campaign, before[i].campaign);
    EXPECT_EQ(after[i].created_at, before[i].created_at);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip,
                         ::testing::Values(ExportFormat::kCsv, ExportFormat::kJsonl));

TEST(SuppressionImport, SaysWhatIsWrongWithTheFileAsAWhole) {
  const TempDir dir;
  const auto error = [&](const char* text) {
    return std::string(
        ImportSuppressions(Options(dir, dir.Write("list.csv", text))).status().message());
  };
  EXPECT_THAT(error("a@b.org\nc@b.org\n"), HasSubstr("the first line holds an address"));
  EXPECT_THAT(error("name,city\nAnn,Ulm\n"), HasSubstr("--address-column"));
  EXPECT_THAT(error("[{}]"), HasSubstr("JSON array"));
  EXPECT_THAT(error("email,reason\n\"open,x\n"), HasSubstr("list.csv:2"));
  const auto missing = ImportSuppressions(Options(dir, dir.path("none.csv"))).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
}

// Many rows in several transactions, while somebody unsubscribes and senders look on.
TEST(SuppressionImport, LetsOthersInBetweenAndIsSeenBeforeItEnds) {
  const TempDir dir;
  constexpr int kRows = 260'000;
  std::string text = "email\n";
  for (int i = 0; i < kRows; ++i) text += "u" + std::to_string(i * 7919LL % kRows) + "@b.org\n";
  const std::string path = dir.Write("list.csv", text);
  auto list = SuppressionList::Open(dir.path("state"));
  ASSERT_TRUE(list.ok());
  auto snapshot = SuppressionSnapshot::Load(dir.path("state"), "news");
  ASSERT_TRUE(snapshot.ok());
  std::atomic<uint64_t> written{0};
  std::atomic<bool> done{false};
  std::thread importer([&] {
    auto options = Options(dir, path);
    options.on_progress = [&](const SuppressionImportProgress& p) { written = p.written; };
    EXPECT_EQ(Import(options).added, static_cast<uint64_t>(kRows));
    done = true;
  });
  SuppressionReader reader(*snapshot);
  int unsubscribed = 0, seen_early = 0;
  while (!done) {
    const auto added = (*list)->Add({"click" + std::to_string(unsubscribed) + "@b.org", "news",
                                     "unsubscribe", "one-click", "", kNow});
    EXPECT_TRUE(added.ok()) << added.status();  // never "locked"
    ++unsubscribed;
    const uint64_t so_far = written;
    // The first transaction has what sorts first.
    if (so_far > 0 && so_far < kRows && *reader.Contains("u0@b.org")) ++seen_early;
  }
  importer.join();
  EXPECT_GT(unsubscribed, 1);
  EXPECT_GT(seen_early, 0);
  EXPECT_EQ(*(*list)->Count(), static_cast<uint64_t>(kRows + unsubscribed));
  EXPECT_TRUE(*reader.Contains("u" + std::to_string(kRows - 1) + "@b.org"));
}

TEST(SuppressionImport, ADatabaseThatIsLockedForGoodEndsItWithWhatToDo) {
  const TempDir dir;
  auto holder = Store::Open(dir.path("state"));
  ASSERT_TRUE(holder.ok());
  ASSERT_TRUE((*holder)->Execute("BEGIN IMMEDIATE").ok());
  const auto status =
      ImportSuppressions(Options(dir, dir.Write("list.csv", "email\na@b.org\n"))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("run the import again"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("volley.db"));
}

}  // namespace
}  // namespace volley::pipeline
