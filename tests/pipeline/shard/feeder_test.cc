// The feeder against a model that looks at everybody every time. A failure prints its seed;
// VOLLEY_SIM_SEED=n runs just that one, VOLLEY_SIM_SEEDS=n the first n.
#include "pipeline/shard/feeder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::ElementsAre;
using volley::testing::TempDir;

// A list of `count` recipients, and where each of them stands.
class List {
 public:
  List(const TempDir& dir, uint32_t count) {
    const std::string path = dir.path("recipients.bin");
    const std::vector<std::string> columns = {"email"};
    auto writer = RecipientFileWriter::Create(path, columns);
    EXPECT_TRUE(writer.ok());
    for (uint32_t i = 0; i < count; ++i) {
      const std::string address = std::string(1 + i % 30, 'u') + std::to_string(i) + "@example.org";
      const engine::message::FieldView field[] = {{address}};
      EXPECT_TRUE((*writer)->Append(address, false, i + 2, field).ok());
    }
    EXPECT_TRUE((*writer)->Finish().ok());
    file_ = *RecipientFile::Open(path);
    uint64_t offset = file_->first_offset();
    for (uint32_t i = 0; i < count; ++i) {
      offsets_.push_back(offset);
      offset = *file_->SkipAt(offset);
    }
  }
  const RecipientFile* file() const { return file_.get(); }
  uint64_t offset(uint32_t index) const { return offsets_[index]; }
  LedgerIdentity identity() const { return {file_->count(), file_->checksum()}; }

 private:
  std::unique_ptr<RecipientFile> file_;
  std::vector<uint64_t> offsets_;
};

class Model {
 public:
  enum class At : uint8_t { kPending, kWaits, kOut, kSettled };

  Model(uint64_t seed, const TempDir& dir, const List* list)
      : random_(seed),
        path_(dir.path("ledger.bin")),
        list_(list),
        count_(static_cast<uint32_t>(list->file()->count())),
        policy_(seed % 2 == 0 ? UncertainPolicy::kSkip : UncertainPolicy::kResend) {
    ledger_ = *Ledger::Create(path_, list->identity());
    RandomStart();
    Restart();
  }

  // One step of coordinator, shards or clock.
  void Step() {
    const uint32_t what = Up(99);
    if (what < 40) {
      Take();
    } else if (what < 80) {
      for (uint32_t n = Up(150); n > 0 && !out_.empty(); --n) SettleOne();
    } else if (what < 90) {
      HearNotes();
    } else if (what < 98) {
      now_ += Up(300);
    } else {
      Kill();
    }
  }

  // Until nobody is left: all that was forgotten would be found here.
  void Finish() {
    for (int turn = 0; turn < 100'000; ++turn) {
      HearNotes();
      const auto due = feeder_->next_due();
      if (!due && out_.empty()) break;
      if (due) now_ = std::max(now_, *due);
      Take();
      ends_only_ = true;
      while (!out_.empty()) SettleOne();
    }
    HearNotes();
    for (uint32_t i = 0; i < count_; ++i) ASSERT_EQ(at_[i], At::kSettled) << "forgotten: " << i;
    EXPECT_TRUE(feeder_->first_pass_over());
  }

 private:
  uint32_t Up(uint32_t most) { return std::uniform_int_distribution<uint32_t>(0, most)(random_); }

  // As an earlier run may have left it.
  void RandomStart() {
    if (Up(2) == 0) return;
    for (uint32_t i = 0; i < count_; ++i) {
      LedgerSlot slot;
      slot.state = static_cast<SlotState>(Up(kSlotStates - 1));
      if (Up(3) == 0) slot.state = SlotState::kPending;
      if (slot.state == SlotState::kDeferred && Up(1) == 0) slot.due = now_ + Up(1000);
      ledger_->Put(i, slot);
    }
  }

  // A process ends here and the next one begins: all that is known is in the file.
  void Restart() {
    feeder_.reset();
    ledger_.reset();
    auto ledger = Ledger::Open(path_, list_->identity());
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    out_.clear();
    notes_.clear();
    first_pass_ = 0;
    at_.assign(count_, At::kSettled);
    due_.assign(count_, 0);
    for (uint32_t i = 0; i < count_; ++i) {
      const LedgerSlot slot = ledger_->Get(i);
      if (slot.state == SlotState::kPending) at_[i] = At::kPending;
      if (slot.state == SlotState::kDeferred ||
          (slot.state == SlotState::kUncertain && policy_ == UncertainPolicy::kResend)) {
        at_[i] = At::kWaits;
        due_[i] = slot.due;  // 0: at once
      }
    }
    feeder_.emplace(list_->file(), ledger_.get(), policy_);
  }

  void Kill() {
    for (const Job& job : out_) {
      if (Up(2) == 0) ledger_->Begin(job.index);
    }
    Restart();
  }

  void Take() {
    const auto jobs = feeder_->Peek(now_);
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    const std::vector<Job> seen(jobs->begin(), jobs->end());
    if (seen.empty()) return ExpectNobodyIsDue();
    const auto again = feeder_->Peek(now_);
    ASSERT_TRUE(again.ok() && again->size() == seen.size() && again->front().index == seen[0].index)
        << "what was not popped comes again";
    const size_t n = std::min<size_t>(seen.size(), 1 + Up(Up(1) == 0 ? 3 : 100));
    for (size_t i = 0; i < n; ++i) CheckJob(seen[i]);
    feeder_->Pop(n);
    out_.insert(out_.end(), seen.begin(), seen.begin() + static_cast<ptrdiff_t>(n));
  }

  void CheckJob(const Job& job) {
    ASSERT_LT(job.index, count_);
    EXPECT_EQ(job.offset, list_->offset(job.index));
    EXPECT_EQ(job.free_retries, 0);
    if (at_[job.index] == At::kPending) {
      EXPECT_EQ(job.was, SlotState::kPending);
      EXPECT_GE(job.index, first_pass_) << "not in the order of the list";
      first_pass_ = job.index + 1;
    } else {
      ASSERT_EQ(at_[job.index], At::kWaits) << job.index << " is out or settled";
      EXPECT_LE(due_[job.index], now_) << "before its time";
      EXPECT_EQ(job.was, ledger_->StateAt(job.index));
    }
    at_[job.index] = At::kOut;
  }

  void ExpectNobodyIsDue() {
    UnixSeconds earliest = UINT32_MAX;
    for (uint32_t i = 0; i < count_; ++i) {
      ASSERT_NE(at_[i], At::kPending) << i;
      if (at_[i] == At::kWaits && !notes_.contains(i)) earliest = std::min(earliest, due_[i]);
    }
    EXPECT_GT(earliest, now_) << "somebody is due and was not given";
    if (!notes_.empty()) return;  // the feeder may know of less
    const auto due = feeder_->next_due();
    EXPECT_EQ(due.value_or(UINT32_MAX), earliest);
  }

  // A shard is done with one of those it has.
  void SettleOne() {
    std::swap(out_[Up(static_cast<uint32_t>(out_.size()) - 1)], out_.back());
    const Job job = out_.back();
    out_.pop_back();
    LedgerSlot slot = ledger_->Get(job.index);
    if (Up(1) == 0) ledger_->Begin(job.index);
    const uint32_t how = ends_only_ ? 0 : Up(9);
    slot.state = how < 5   ? SlotState::kDelivered
                 : how < 9 ? SlotState::kDeferred
                           : SlotState::kUncertain;
    const bool waits = slot.state == SlotState::kDeferred ||
                       (slot.state == SlotState::kUncertain && policy_ == UncertainPolicy::kResend);
    slot.due = waits ? now_ + Up(2) * Up(400) : 0;  // also at once, as what is put off
    ledger_->Put(job.index, slot);
    at_[job.index] = waits ? At::kWaits : At::kSettled;
    due_[job.index] = slot.due;
    if (waits) notes_[job.index] = slot.due;
  }

  void HearNotes() {
    for (const auto& [index, due] : notes_) feeder_->OnDue(index, due);
    notes_.clear();
  }

  std::mt19937_64 random_;
  const std::string path_;
  const List* const list_;
  const uint32_t count_;
  const UncertainPolicy policy_;
  std::unique_ptr<Ledger> ledger_;
  std::optional<Feeder> feeder_;
  UnixSeconds now_ = 1'800'000'000;
  std::vector<At> at_;
  std::vector<UnixSeconds> due_;
  std::vector<Job> out_;
  std::map<uint32_t, UnixSeconds> notes_;  // written by shards, not heard of yet
  uint32_t first_pass_ = 0;                // behind the last one of it
  bool ends_only_ = false;
};

TEST(Feeder, GivesEverybodyAsTheModelDoes) {
  const char* only = std::getenv("VOLLEY_SIM_SEED");
  const char* many = std::getenv("VOLLEY_SIM_SEEDS");
  const uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t last = only != nullptr   ? first
                        : many != nullptr ? std::strtoull(many, nullptr, 10)
                                          : 60;
  constexpr uint32_t kSizes[] = {1, 2, 63, 64, 65, 300, 4095, 4096, 4097, 9000};
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("replay with VOLLEY_SIM_SEED=" + std::to_string(seed));
    TempDir dir;
    const List list(dir, kSizes[seed % std::size(kSizes)]);
    Model model(seed, dir, &list);
    for (int step = 0; step < 400 && !::testing::Test::HasFailure(); ++step) model.Step();
    model.Finish();
    if (HasFailure()) return;
  }
}

std::vector<uint32_t> IndexesOf(const absl::StatusOr<std::span<const Job>>& jobs) {
  EXPECT_TRUE(jobs.ok()) << jobs.status();
  std::vector<uint32_t> indexes;
  for (const Job& job : *jobs) indexes.push_back(job.index);
  return indexes;
}

TEST(Feeder, ResumesBehindManyWithoutReadingTheListThere) {
  TempDir dir;
  const List list(dir, 30'000);
  const auto ledger = *Ledger::Create(dir.path("ledger.bin"), list.identity());
  LedgerSlot delivered;
  delivered.state = SlotState::kDelivered;
  for (uint32_t i = 0; i < ledger->size(); ++i) {
    if (i != 29'000 && i != 29'010 && i != 29'999) ledger->Put(i, delivered);
  }
  Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kSkip);
  EXPECT_FALSE(feeder.first_pass_over());
  const auto jobs = feeder.Peek(1);
  EXPECT_THAT(IndexesOf(jobs), ElementsAre(29'000, 29'010, 29'999));
  for (const Job& job : *jobs) EXPECT_EQ(job.offset, list.offset(job.index));
  feeder.Pop(3);
  EXPECT_EQ(feeder.next_due(), std::nullopt);
}

TEST(Feeder, WhoIsDueGoesBeforeWhoWasNeverTried) {
  TempDir dir;
  const List list(dir, 10);
  const auto ledger = *Ledger::Create(dir.path("ledger.bin"), list.identity());
  LedgerSlot deferred;
  deferred.state = SlotState::kDeferred;
  deferred.due = 100;
  ledger->Put(8, deferred);
  Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kSkip);
  EXPECT_THAT(IndexesOf(feeder.Peek(100)), ElementsAre(8, 0, 1, 2, 3, 4, 5, 6, 7, 9));
}

TEST(Feeder, AnEarlierRunsUncertainOnesWaitOnlyToBeSentAgain) {
  TempDir dir;
  const List list(dir, 3);
  const auto ledger = *Ledger::Create(dir.path("ledger.bin"), list.identity());
  LedgerSlot slot;
  slot.state = SlotState::kUncertain;
  for (uint32_t i = 0; i < 3; ++i) ledger->Put(i, slot);
  {
    Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kSkip);
    EXPECT_EQ(feeder.next_retry(), std::nullopt);
    EXPECT_THAT(IndexesOf(feeder.Peek(1)), ElementsAre());
  }
  Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kResend);
  EXPECT_THAT(IndexesOf(feeder.Peek(1)), ElementsAre(0, 1, 2));
}

TEST(Feeder, SaysWhereTheListIsDamaged) {
  TempDir dir;
  const List list(dir, 1);
  // More slots than the list has records: as if it had been cut.
  const auto ledger = *Ledger::Create(dir.path("ledger.bin"), {.recipients = 5});
  Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kSkip);
  EXPECT_FALSE(feeder.Peek(1).ok());
}

// Noted, not judged: what a resumed run waits for before it can begin.
TEST(Feeder, LooksAtAMillionSlots) {
  TempDir dir;
  const List list(dir, 1);
  const auto ledger = *Ledger::Create(dir.path("ledger.bin"), {.recipients = 1'000'000});
  LedgerSlot slot;
  for (uint32_t i = 0; i < ledger->size(); ++i) {
    slot.state = i % 10 == 0 ? SlotState::kDeferred : SlotState::kDelivered;
    slot.due = i % 10 == 0 ? 1000 + i : 0;
    ledger->Put(i, slot);
  }
  const auto started = std::chrono::steady_clock::now();
  const Feeder feeder(list.file(), ledger.get(), UncertainPolicy::kSkip);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
  EXPECT_EQ(feeder.next_retry(), UnixSeconds{1000});
  RecordProperty("ms", std::to_string(took.count()));
  std::printf("a million slots were looked at in %.2f ms\n", took.count());
}

}  // namespace
}  // namespace volley::pipeline
