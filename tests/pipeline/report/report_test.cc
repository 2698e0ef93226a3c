#include "pipeline/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/bounce/category.h"
#include "pipeline/report/recipients_csv.h"
#include "pipeline/source/recipient_file.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(HistogramTest, QuantilesAreWithinAFifth) {
  Histogram h;
  for (uint32_t ms = 1; ms <= 10'000; ++ms) h.Add(ms);
  EXPECT_EQ(h.count(), 10'000u);
  EXPECT_EQ(h.max(), 10'000u);
  EXPECT_NEAR(h.Quantile(0.5), 5'000, 1'000);
  EXPECT_NEAR(h.Quantile(0.95), 9'500, 1'900);
  EXPECT_NEAR(h.Quantile(0.01), 100, 20);
  EXPECT_LE(h.Quantile(1), 10'000u);
}

TEST(HistogramTest, HoldsTheSmallestTheLargestAndNothing) {
  Histogram h;
  EXPECT_EQ(h.Quantile(0.5), 0u);
  h.Add(0);
  EXPECT_EQ(h.Quantile(0.5), 0u);
  EXPECT_EQ(h.max(), 0u);
  h.Add(UINT32_MAX);
  EXPECT_EQ(h.max(), UINT32_MAX);
  EXPECT_GT(h.Quantile(1), 3'000'000'000u);
}

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'790'000'000 + seconds); }

TEST(TimelineTest, SlicesGrowWithTheTimeAndLoseNothing) {
  Timeline t;
  for (int64_t s = 0; s < 1000; ++s) t.Add(At(s), static_cast<size_t>(s % 3));
  EXPECT_EQ(t.begin(), At(0));
  EXPECT_EQ(t.slice(), absl::Seconds(16));
  EXPECT_LE(t.slices().size(), Timeline::kSlices);
  uint64_t all = 0;
  for (const auto& slice : t.slices()) {
    for (const uint64_t n : slice.counts) all += n;
  }
  EXPECT_EQ(all, 1000u);
  t.Add(At(-50), 0);  // a clock that was set back
  EXPECT_EQ(t.slices()[0].counts[0], 7u);
}

TEST(TimelineTest, AYearLaterIsNoMemory) {
  Timeline t;
  t.Add(At(0), 0);
  t.Add(At(365 * 86400), 1);
  EXPECT_LE(t.slices().size(), Timeline::kSlices);
  EXPECT_EQ(t.slices().front().counts[0], 1u);
  EXPECT_EQ(t.slices().back().counts[1], 1u);
}

std::string Line(const std::string& time, const std::string& event, const std::string& recipient,
                 const std::string& more) {
  return R"({"time":"2026-11-24T)" + time + R"(Z","event":")" + event +
         R"(","campaign":"c","recipient":")" + recipient + R"(","index":0,"attempt":1,)" + more +
         "}\n";
}

class ReportTest : public ::testing::Test {
 protected:
  // A list of n, everybody pending.
  std::unique_ptr<Ledger> MakeLedger(uint32_t n) {
    auto list = RecipientFileWriter::Create(dir_.path("recipients.bin"), {});
    EXPECT_TRUE(list.ok()) << list.status();
    for (uint32_t i = 0; i < n; ++i) {
      const std::string address =
          i == 1 ? "=1+1@a.example" : "u" + std::to_string(i) + "@a.example";
      EXPECT_TRUE((*list)->Append(address, false, i + 2, {}).ok());
    }
    EXPECT_TRUE((*list)->Finish().ok());
    const auto file = RecipientFile::Open(dir_.path("recipients.bin"));
    auto ledger = Ledger::Create(dir_.path("ledger.bin"), {n, (*file)->checksum()});
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return *std::move(ledger);
  }

  volley::testing::TempDir dir_;
};

TEST_F(ReportTest, CountsByDomainRelayCategoryAndTime) {
  const auto ledger = MakeLedger(4);
  LedgerSlot slot;
  slot.first = 1;
  for (const SlotState state : {SlotState::kDelivered, SlotState::kBounced, SlotState::kDeferred}) {
    slot.state = state;
    ledger->Put(static_cast<uint32_t>(state) - static_cast<uint32_t>(SlotState::kDelivered), slot);
  }
  const std::string ok = R"("ms":20,"relay":"r","stage":"end of data","code":250,"reply":"fine")";
  const std::string no = R"("ms":5,"relay":"r","stage":"RCPT","code":550,"enhanced":"5.1.1",)"
                         R"("category":"recipient_unknown","reply":"no such user")";
  const std::string later = R"("ms":7,"relay":"s","stage":"RCPT","code":450,)"
                            R"("category":"greylisted","reply":"later")";
  dir_.Write("events.2.jsonl", Line("10:00:00.000", "deferred", "u0@a.example", later));
  dir_.Write("events.1.jsonl", Line("10:00:01.500", "bounced", "u1@b.example", no) +
                                   Line("10:00:01.600", "bounced", "u3@b.example", no));
  dir_.Write("events.jsonl", Line("10:00:05.000", "delivered", "u0@a.example", ok) +
                                 Line("10:00:06.000", "deferred", "u2@a.example", later) +
                                 "{\"time\":\"2026-11-24T10:00:07.000Z\",\"event\":\"deliv");
  const auto report = MakeReport(dir_.path());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->recipients, 4u);
  EXPECT_EQ(report->state(SlotState::kDelivered), 1u);
  EXPECT_EQ(report->state(SlotState::kPending), 1u);
  EXPECT_EQ(report->read.events, 5u);
  EXPECT_EQ(report->read.bad_lines, 0u) << "a line that is being written";
  EXPECT_EQ(report->last - report->first, absl::Seconds(6));
  ASSERT_EQ(report->domains.size(), 2u);
  EXPECT_EQ(report->domains[0].name, "a.example");
  EXPECT_THAT(report->domains[0].events, ElementsAre(1, 2, 0, 0, 0, 0));
  EXPECT_THAT(report->domains[1].events, ElementsAre(0, 0, 2, 0, 0, 0));
  ASSERT_EQ(report->ways.size(), 2u);
  EXPECT_EQ(report->ways[0].name, "r");
  ASSERT_EQ(report->categories.size(), 2u);
  EXPECT_EQ(report->categories[1].name, "recipient_unknown");
  ASSERT_EQ(report->categories[1].replies.size(), 1u);
  EXPECT_EQ(report->categories[1].replies[0].text, "550 5.1.1 no such user");
  EXPECT_EQ(report->categories[1].replies[0].count, 2u);
  EXPECT_EQ(report->timeline.slices()[5].counts[0], 1u);
  EXPECT_EQ(report->millis.max(), 20u);
  EXPECT_TRUE(report->Slowest(5).empty()) << "too few to say";
}

TEST_F(ReportTest, PassesOverWhatIsNoEvent) {
  MakeLedger(1);
  const std::string good =
      Line("10:00:00.000", "delivered", "u0@a.example", R"("ms":1,"reply":"")");
  dir_.Write("events.jsonl", "nonsense\n[1]\n{}\n{\"time\":5}\n" + std::string(100'000, 'x') +
                                 "\n" + std::string(3'000'000, 'y') + "\n" + good + "\n\n" + good);
  const auto report = MakeReport(dir_.path());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->read.events, 2u);
  EXPECT_EQ(report->read.bad_lines, 6u);
}

TEST_F(ReportTest, WithoutEventsThereAreTheTotals) {
  MakeLedger(3);
  const auto report = MakeReport(dir_.path());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->state(SlotState::kPending), 3u);
  EXPECT_EQ(report->read.events, 0u);
}

TEST_F(ReportTest, ACampaignThatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(MakeReport(dir_.path()).status()));
}

TEST_F(ReportTest, DomainsBeyondTheMaximumAreCountedTogether) {
  MakeLedger(1);
  std::string lines;
  const uint64_t many = Report::kDomainsMax + 50;
  for (uint64_t i = 0; i < many; ++i) {
    lines += Line("10:00:00.000", "delivered", "u@d" + std::to_string(i) + ".example", R"("ms":1)");
  }
  dir_.Write("events.jsonl", lines);
  const auto report = MakeReport(dir_.path());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->domains.size(), Report::kDomainsMax + 1);
  EXPECT_EQ(report->domains[0].name, Report::kOthers);
  EXPECT_EQ(report->domains[0].total(), 50u);
}

TEST_F(ReportTest, TheCsvHasALineForEachRecipient) {
  const auto ledger = MakeLedger(3);
  LedgerSlot delivered;
  delivered.state = SlotState::kDelivered;
  delivered.attempts = 2;
  delivered.first = 1'790'000'000;
  ledger->Put(0, delivered);
  ledger->Put(1, {.state = SlotState::kDeferred,
                  .attempts = 1,
                  .category = static_cast<uint8_t>(engine::bounce::Category::kMailboxFull),
                  .code = engine::smtp::ReplyCode(452),
                  .stage = engine::smtp::CommandKind::kRcpt,
                  .due = 1'790'000'600,
                  .first = 1'790'000'000});
  const std::string path = dir_.path("out.csv");
  std::FILE* out = std::fopen(path.c_str(), "w");
  ASSERT_NE(out, nullptr);
  const absl::Status status = WriteRecipientsCsv(dir_.path(), out);
  std::fclose(out);
  ASSERT_TRUE(status.ok()) << status;
  const std::string csv = dir_.Read("out.csv");
  EXPECT_THAT(csv, HasSubstr("email,outcome,category,attempts,stage,code,first_try,next_try\r\n"));
  EXPECT_THAT(csv, HasSubstr("\r\nu0@a.example,delivered,,2,"));
  EXPECT_THAT(csv, HasSubstr("\r\n'=1+1@a.example,deferred,mailbox_full,1,RCPT,452,"
                             "2026-09-21T14:13:20Z,2026-09-21T14:23:20Z\r\n"));
  EXPECT_THAT(csv, HasSubstr("\r\nu2@a.example,pending,,0,,,,\r\n"));
}

}  // namespace
}  // namespace volley::pipeline
