#include "pipeline/settle/settler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;
using engine::smtp::EnhancedCode;
using engine::smtp::ReplyCode;
using engine::smtp::ReplyView;
using volley::testing::TempDir;

constexpr int64_t kStart = 1'800'000'000;

class SettlerTest : public ::testing::Test {
 protected:
  SettlerTest() { MakeLedger(100); }

  void MakeLedger(uint64_t recipients) {
    ledger_.reset();
    const std::string path = dir_.path("ledger" + std::to_string(recipients) + ".bin");
    auto ledger = Ledger::Create(path, {recipients, 1});
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    rules_.ledger = ledger_.get();
    rules_.wall_clock = [this] { return now_; };
  }
  UnixSeconds Now() const { return static_cast<UnixSeconds>(absl::ToUnixSeconds(now_)); }

  OutcomeNote Note() {
    OutcomeNote note;
    EXPECT_TRUE(settler_.TakeNote(&note));
    return note;
  }
  // Of the one job that `end` ends.
  OutcomeNote Settle(const Job& job, const TryEnd& end) {
    const Outcome outcome = settler_.Settle(job, end);
    const OutcomeNote note = Note();
    EXPECT_EQ(note.outcome, outcome);
    return note;
  }
  void ExpectCounts(const std::map<Outcome, int64_t>& wanted) const {
    for (size_t i = 0; i < kOutcomes; ++i) {
      const auto outcome = static_cast<Outcome>(i);
      const auto at = wanted.find(outcome);
      EXPECT_EQ(settler_.count(outcome), at == wanted.end() ? 0 : at->second)
          << OutcomeName(outcome);
    }
  }

  TempDir dir_;
  absl::Time now_ = absl::FromUnixSeconds(kStart) + absl::Milliseconds(250);
  std::unique_ptr<Ledger> ledger_;
  SettleRules rules_;
  int calls_ = 0;
  Settler settler_{{&rules_}, [this] { ++calls_; }};
};

TEST_F(SettlerTest, WritesSlotAndNoteOfEachOutcome) {
  const ReplyView reply{ReplyCode(550), EnhancedCode{5, 1, 1}, "no such user"};
  uint32_t index = 0;
  for (const Outcome outcome : {Outcome::kDelivered, Outcome::kBounced, Outcome::kUncertain,
                                Outcome::kUnrenderable, Outcome::kSuppressed}) {
    SCOPED_TRACE(OutcomeName(outcome));
    const Job job{.offset = 1000 + index, .index = index};
    settler_.Begin(job);
    EXPECT_EQ(ledger_->StateAt(index), SlotState::kInFlight);
    const OutcomeNote note =
        Settle(job, {outcome, true, 3, CommandKind::kRcpt, reply, absl::Milliseconds(350.9)});
    EXPECT_EQ(note.millis, 350u);
    EXPECT_EQ(note.outcome, outcome);
    EXPECT_EQ(note.offset, job.offset);
    EXPECT_EQ(note.index, index);
    EXPECT_EQ(note.unix_millis, kStart * 1000 + 250);
    EXPECT_EQ(note.lane, 3);
    EXPECT_EQ(note.attempts, 1);
    EXPECT_EQ(note.command, CommandKind::kRcpt);
    EXPECT_EQ(note.code, reply.code);
    EXPECT_EQ(note.enhanced, reply.enhanced);
    EXPECT_EQ(note.text_view(), reply.text);
    EXPECT_FALSE(note.expired);
    EXPECT_EQ(note.due, 0u);

    const LedgerSlot slot = ledger_->Get(index);
    EXPECT_EQ(slot.state, StateOf(outcome));
    EXPECT_EQ(slot.attempts, 1);
    EXPECT_EQ(slot.code, reply.code);
    EXPECT_EQ(slot.stage, CommandKind::kRcpt);
    EXPECT_EQ(slot.first, kStart);
    EXPECT_EQ(slot.due, 0u);
    EXPECT_EQ(slot.was_uncertain, outcome == Outcome::kUncertain);
    EXPECT_EQ(settler_.count(outcome), 1);
    ++index;
  }
}

TEST_F(SettlerTest, CutsALongReplyAndKeepsTheRestOfIt) {
  const std::string text(1000, 'x');
  const OutcomeNote note =
      Settle({}, {Outcome::kBounced, true, 0, CommandKind::kContent, {ReplyCode(554), {}, text}});
  EXPECT_EQ(note.text_view(), text.substr(0, OutcomeNote::kMaxText));
}

TEST_F(SettlerTest, ADeferredOneIsDueByTheSchedule) {
  rules_.retry = {absl::Minutes(5), absl::Hours(4), absl::Hours(48)};
  const Job job{.index = 9};
  const OutcomeNote note = Settle(job, {.outcome = Outcome::kDeferred});
  EXPECT_GE(note.due, Now() + 300);
  EXPECT_LE(note.due, Now() + 376);
  EXPECT_EQ(ledger_->Get(9).due, note.due);
  EXPECT_EQ(ledger_->Get(9).state, SlotState::kDeferred);
}

TEST_F(SettlerTest, CountsWhatItWasBeforeOff) {
  Job job{.index = 5};
  Settle(job, {.outcome = Outcome::kDeferred});
  ExpectCounts({{Outcome::kDeferred, 1}});
  job.was = SlotState::kDeferred;
  Settle(job, {.outcome = Outcome::kDeferred});
  ExpectCounts({{Outcome::kDeferred, 1}});
  Settle(job, {.outcome = Outcome::kDelivered});
  ExpectCounts({{Outcome::kDelivered, 1}});
  // Deferred by an earlier run, whose count is not ours: the sum of both is right.
  Settle({.index = 6, .was = SlotState::kDeferred}, {.outcome = Outcome::kBounced});
  ExpectCounts({{Outcome::kDelivered, 1}, {Outcome::kBounced, 1}, {Outcome::kDeferred, -1}});
  Settle({.index = 7, .was = SlotState::kUncertain}, {.outcome = Outcome::kDelivered});
  ExpectCounts({{Outcome::kDelivered, 2},
                {Outcome::kBounced, 1},
                {Outcome::kDeferred, -1},
                {Outcome::kUncertain, -1}});
}

TEST_F(SettlerTest, ATryThatDoesNotCountLeavesTheAttempts) {
  const Job job{.index = 1};
  EXPECT_EQ(Settle(job, {.outcome = Outcome::kDeferred}).attempts, 1);
  EXPECT_EQ(Settle(job, {.outcome = Outcome::kSuppressed, .counts_as_attempt = false}).attempts, 1);
  EXPECT_EQ(ledger_->Get(1).attempts, 1);
}

TEST_F(SettlerTest, AttemptsStopAtTheLargestTheyCanBe) {
  LedgerSlot slot;
  slot.attempts = UINT8_MAX;
  ledger_->Put(1, slot);
  EXPECT_EQ(Settle({.index = 1}, {.outcome = Outcome::kDeferred}).attempts, UINT8_MAX);
}

TEST_F(SettlerTest, TheFirstTryIsRememberedAndExpiryCountsFromIt) {
  rules_.retry = {absl::Minutes(5), absl::Minutes(10), absl::Hours(1)};
  const Job job{.index = 2};
  const ReplyView reply{ReplyCode(451), {}, "later"};
  OutcomeNote note = Settle(job, {.outcome = Outcome::kDeferred, .reply = reply});
  int tries = 1;
  while (note.outcome == Outcome::kDeferred) {
    ASSERT_LT(++tries, 20);
    now_ = absl::FromUnixSeconds(note.due);
    note = Settle(job, {.outcome = Outcome::kDeferred, .reply = reply});
    EXPECT_EQ(ledger_->Get(2).first, kStart);
  }
  EXPECT_EQ(Now(), kStart + 3600);
  EXPECT_EQ(note.outcome, Outcome::kBounced);
  EXPECT_TRUE(note.expired);
  EXPECT_EQ(note.code, ReplyCode(451));  // what the server said last
  EXPECT_EQ(ledger_->StateAt(2), SlotState::kBounced);
  EXPECT_EQ(ledger_->Get(2).due, 0u);
}

TEST_F(SettlerTest, WithoutRetriesADeferredOneHasNoDueTime) {
  rules_.retry.give_up_after = absl::ZeroDuration();
  const OutcomeNote note = Settle({.index = 2}, {.outcome = Outcome::kDeferred});
  EXPECT_EQ(note.outcome, Outcome::kDeferred);
  EXPECT_EQ(note.due, 0u);
  EXPECT_EQ(ledger_->Get(2).due, 0u);
}

TEST_F(SettlerTest, AnUncertainOneStaysSoUnlessItIsToBeSentAgain) {
  rules_.uncertain = UncertainPolicy::kSkip;
  EXPECT_EQ(Settle({.index = 1}, {.outcome = Outcome::kUncertain}).due, 0u);
  EXPECT_EQ(ledger_->Get(1).due, 0u);
  rules_.uncertain = UncertainPolicy::kResend;
  const OutcomeNote note = Settle({.index = 2}, {.outcome = Outcome::kUncertain});
  EXPECT_EQ(note.outcome, Outcome::kUncertain);
  EXPECT_GT(note.due, Now());
  EXPECT_EQ(ledger_->Get(2).due, note.due);
  // For longer than it is tried: nobody knows that it bounced, so it is not said.
  now_ += absl::Hours(1000);
  const OutcomeNote last =
      Settle({.index = 2, .was = SlotState::kUncertain}, {.outcome = Outcome::kUncertain});
  EXPECT_EQ(last.outcome, Outcome::kUncertain);
  EXPECT_EQ(last.due, 0u);
  EXPECT_FALSE(last.expired);
}

TEST_F(SettlerTest, OnceUncertainIsRememberedForGood) {
  Settle({.index = 2}, {.outcome = Outcome::kUncertain});
  Settle({.index = 2, .was = SlotState::kUncertain}, {.outcome = Outcome::kDelivered});
  EXPECT_TRUE(ledger_->Get(2).was_uncertain);
  EXPECT_EQ(ledger_->CountWasUncertain(), 1u);
}

TEST_F(SettlerTest, WhatIsPutOffIsDueAtOnceAndWasNotTried) {
  rules_.retry.give_up_after = absl::ZeroDuration();
  settler_.PutOff({.offset = 77, .index = 3}, 2, "no relay is left");
  const OutcomeNote note = Note();
  EXPECT_EQ(note.outcome, Outcome::kDeferred);
  EXPECT_EQ(note.due, Now());
  EXPECT_EQ(note.offset, 77u);
  EXPECT_EQ(note.lane, 2);
  EXPECT_EQ(note.attempts, 0);
  EXPECT_EQ(note.text_view(), "no relay is left");
  const LedgerSlot slot = ledger_->Get(3);
  EXPECT_EQ(slot.state, SlotState::kDeferred);
  EXPECT_EQ(slot.due, Now());
  EXPECT_EQ(slot.first, 0u);
  ExpectCounts({{Outcome::kDeferred, 1}});
}

TEST_F(SettlerTest, WhatIsTakenBackIsAsBefore) {
  for (const SlotState was : {SlotState::kPending, SlotState::kDeferred, SlotState::kUncertain}) {
    LedgerSlot slot;
    slot.state = was;
    slot.attempts = 2;
    slot.first = 5;
    slot.was_uncertain = was == SlotState::kUncertain;
    ledger_->Put(4, slot);
    const Job job{.index = 4, .was = was};
    settler_.Begin(job);
    settler_.TakeBack(job);
    EXPECT_EQ(ledger_->Get(4), slot);
    settler_.TakeBack(job);  // it had not begun this time
    EXPECT_EQ(ledger_->Get(4), slot);
  }
  OutcomeNote note;
  EXPECT_FALSE(settler_.TakeNote(&note));
  ExpectCounts({});
}

TEST_F(SettlerTest, CallsForManyNotesAndWhenEagerForEach) {
  for (uint32_t i = 0; i < 1023; ++i) settler_.Settle({}, {.outcome = Outcome::kDelivered});
  EXPECT_EQ(calls_, 0);
  settler_.Settle({}, {.outcome = Outcome::kDelivered});
  EXPECT_EQ(calls_, 1);
  settler_.Settle({}, {.outcome = Outcome::kDelivered});
  EXPECT_EQ(calls_, 1) << "once is enough until they are taken";
  OutcomeNote note;
  while (settler_.TakeNote(&note)) {
  }
  settler_.set_eager(true);
  settler_.Settle({}, {.outcome = Outcome::kDelivered});
  EXPECT_EQ(calls_, 2);
}

// The ring holds 4,096: a shard that is ahead waits, and every note comes, in order.
TEST_F(SettlerTest, ASlowCoordinatorLosesNoNote) {
  constexpr uint32_t kJobs = 20'000;
  MakeLedger(kJobs);
  std::atomic<bool> called{false};
  Settler settler({&rules_}, [&called] { called = true; });
  std::thread shard([&settler] {
    for (uint32_t i = 0; i < kJobs; ++i) {
      settler.Settle({.offset = i, .index = i}, {.outcome = Outcome::kDelivered});
    }
  });
  while (settler.count(Outcome::kDelivered) < 4096) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(called);
  EXPECT_LE(settler.count(Outcome::kDelivered), 4097);
  uint32_t next = 0;
  OutcomeNote note;
  while (next < kJobs) {
    if (!settler.TakeNote(&note)) continue;
    ASSERT_EQ(note.index, next);
    ++next;
  }
  shard.join();
  EXPECT_FALSE(settler.TakeNote(&note));
  EXPECT_EQ(ledger_->Count()[static_cast<size_t>(SlotState::kDelivered)], kJobs);
}

// The one who sleeps until he is called is called for the last note, too.
TEST_F(SettlerTest, EagerNotesAreNeverLeftLying) {
  constexpr uint32_t kJobs = 20'000;
  MakeLedger(kJobs);
  std::atomic<uint32_t> calls{0};
  Settler settler({&rules_}, [&calls] {
    calls.fetch_add(1);
    calls.notify_one();
  });
  settler.set_eager(true);
  std::atomic<uint32_t> taken{0};
  std::thread shard([&] {
    for (uint32_t i = 0; i < kJobs; ++i) {
      settler.Settle({.index = i}, {.outcome = Outcome::kDelivered});
      if (i % 64 == 0) {  // until all is taken: a call that was forgotten would hang here
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (taken.load() <= i && std::chrono::steady_clock::now() < give_up) {
          std::this_thread::yield();
        }
      }
    }
    calls.fetch_add(1);  // so that a failure ends
    calls.notify_one();
  });
  uint32_t heard = 0;
  OutcomeNote note;
  const auto started = std::chrono::steady_clock::now();
  while (taken.load() < kJobs) {
    calls.wait(heard);
    heard = calls.load();
    while (settler.TakeNote(&note)) taken.fetch_add(1);
  }
  shard.join();
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(15));
}

}  // namespace
}  // namespace volley::pipeline
