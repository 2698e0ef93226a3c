#include "pipeline/settle/undelivered.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "pipeline/settle/outcome.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;
using engine::smtp::EnhancedCode;
using engine::smtp::ReplyCode;
using ::testing::HasSubstr;
using volley::testing::TempDir;

OutcomeNote Note(Outcome outcome, uint16_t code, std::string_view text) {
  OutcomeNote note;
  note.outcome = outcome;
  note.command = CommandKind::kRcpt;
  note.code = ReplyCode(code);
  note.enhanced = EnhancedCode{5, 1, 1};
  note.text_bytes = static_cast<uint8_t>(text.copy(note.text.data(), note.text.size()));
  return note;
}

TEST(UndeliveredFile, QuotesWhatServersSayAndKeepsOneLineARecord) {
  TempDir dir;
  UndeliveredFile file(dir.path("undelivered.csv"));
  file.Add("a@example.org", Note(Outcome::kBounced, 550, "no \"such\" user\nhere, sorry"));
  ASSERT_TRUE(file.Flush().ok());
  EXPECT_EQ(dir.Read("undelivered.csv"),
            "address,outcome,stage,code,reply\n"
            "\"a@example.org\",bounced,\"RCPT\",550 5.1.1,\"no \"\"such\"\" user here, sorry\"\n");
}

TEST(UndeliveredFile, ListsTheCommonestReasonsFirst) {
  TempDir dir;
  UndeliveredFile file(dir.path("u.csv"));
  file.Add("a@example.org", Note(Outcome::kBounced, 550, "first"));
  for (int i = 0; i < 3; ++i) file.Add("b@example.org", Note(Outcome::kDeferred, 451, "second"));
  const auto reasons = file.TopReasons(5);
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_EQ(reasons[0].count, 3u);
  EXPECT_THAT(reasons[0].sample, HasSubstr("451"));
  EXPECT_EQ(file.TopReasons(1).size(), 1u);
}

LedgerSlot SlotOf(SlotState state, uint16_t code) {
  LedgerSlot slot;
  slot.state = state;
  slot.stage = CommandKind::kRcpt;
  slot.code = ReplyCode(code);
  return slot;
}

TEST(UndeliveredFile, WhoIsDeferredIsInItAtTheEndOnlyWithTheWordsOfTheReply) {
  TempDir dir;
  UndeliveredFile file(dir.path("u.csv"));
  file.Remember(Note(Outcome::kDeferred, 451, "greylisted"));
  file.Remember(Note(Outcome::kDeferred, 452, "full"));
  EXPECT_TRUE(file.empty());
  file.AddUnsettled("a@example.org", SlotOf(SlotState::kDeferred, 451));
  file.AddUnsettled("b@example.org", SlotOf(SlotState::kUncertain, 0));  // no words are known
  ASSERT_TRUE(file.Flush().ok());
  EXPECT_EQ(dir.Read("u.csv"),
            "address,outcome,stage,code,reply\n"
            "\"a@example.org\",deferred,\"RCPT\",451 5.1.1,\"greylisted\"\n"
            "\"b@example.org\",uncertain,\"RCPT\",,\"\"\n");
}

TEST(UndeliveredFile, TheNextRunGoesOnBehindTheLastWholeLine) {
  TempDir dir;
  const auto add = [&dir] {
    UndeliveredFile file(dir.path("u.csv"));
    file.Add("a@example.org", Note(Outcome::kBounced, 550, "no"));
    ASSERT_TRUE(file.Flush().ok());
  };
  add();
  const std::string one = dir.Read("u.csv");
  const std::string line = one.substr(one.find('\n') + 1);
  add();
  EXPECT_EQ(dir.Read("u.csv"), one + line);
  dir.Write("u.csv", one + line.substr(0, 9));  // as a kill may leave it
  add();
  EXPECT_EQ(dir.Read("u.csv"), one + line);
  dir.Write("u.csv", "address,out");
  add();
  EXPECT_EQ(dir.Read("u.csv"), one);
}

TEST(UndeliveredFile, TellsWhenItCannotBeWritten) {
  UndeliveredFile file("/nonexistent/u.csv");
  file.Add("a@example.org", Note(Outcome::kBounced, 550, "x"));
  const absl::Status status = file.Flush();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/u.csv"));
}

}  // namespace
}  // namespace volley::pipeline
