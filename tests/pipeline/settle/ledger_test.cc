#include "pipeline/settle/ledger.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;
using engine::smtp::ReplyCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using volley::testing::TempDir;

constexpr LedgerIdentity kTen{.recipients = 10, .list_checksum = 0xfeedbeef};

std::unique_ptr<Ledger> Make(const TempDir& dir, const LedgerIdentity& identity = kTen) {
  auto ledger = Ledger::Create(dir.path("ledger.bin"), identity);
  EXPECT_TRUE(ledger.ok()) << ledger.status();
  return *std::move(ledger);
}

absl::Status OpenStatus(const TempDir& dir, const LedgerIdentity& identity = kTen) {
  return Ledger::Open(dir.path("ledger.bin"), identity).status();
}

void ExpectRefused(const absl::Status& status, absl::StatusCode code, std::string_view word) {
  EXPECT_EQ(status.code(), code) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr(std::string(word)));
  EXPECT_THAT(message, HasSubstr("ledger.bin"));
}

// What a slot can hold, from a seed.
LedgerSlot RandomSlot(std::mt19937* random) {
  const auto up_to = [random](uint32_t most) {
    return std::uniform_int_distribution<uint32_t>(0, most)(*random);
  };
  LedgerSlot slot;
  slot.state = static_cast<SlotState>(up_to(kSlotStates - 1));
  slot.attempts = static_cast<uint8_t>(up_to(UINT8_MAX));
  slot.category = static_cast<uint8_t>(up_to(UINT8_MAX));
  slot.was_uncertain = up_to(1) == 1;
  slot.code = ReplyCode(static_cast<uint16_t>(up_to(999)));
  slot.stage = static_cast<CommandKind>(up_to(static_cast<uint32_t>(CommandKind::kQuit)));
  slot.due = up_to(UINT32_MAX);
  slot.first = up_to(UINT32_MAX);
  return slot;
}

TEST(Ledger, AllArePendingAtFirst) {
  TempDir dir;
  const auto ledger = Make(dir);
  ASSERT_EQ(ledger->size(), 10u);
  for (uint32_t i = 0; i < ledger->size(); ++i) EXPECT_EQ(ledger->Get(i), LedgerSlot{});
  Ledger::Counts wanted{};
  wanted[static_cast<size_t>(SlotState::kPending)] = 10;
  EXPECT_EQ(ledger->Count(), wanted);
  EXPECT_THAT(ledger->found_in_flight(), IsEmpty());
}

TEST(Ledger, IsOneHeaderAndSixteenBytesARecipient) {
  TempDir dir;
  Make(dir);
  const std::string bytes = dir.Read("ledger.bin");
  EXPECT_EQ(bytes.size(), 64u + 16 * 10);
  EXPECT_EQ(bytes.substr(0, 8), "volleyLG");
  EXPECT_EQ(bytes.substr(8, 8), std::string("\x01\0\0\0\x10\0\0\0", 8));
}

TEST(Ledger, KeepsEveryFieldOfEverySlot) {
  TempDir dir;
  std::mt19937 random(7);
  const LedgerIdentity identity{.recipients = 2000, .list_checksum = 1};
  auto ledger = Make(dir, identity);
  std::vector<LedgerSlot> wanted;
  Ledger::Counts counts{};
  uint64_t was_uncertain = 0;
  for (uint32_t i = 0; i < identity.recipients; ++i) {
    LedgerSlot slot = RandomSlot(&random);
    if (slot.state == SlotState::kInFlight) slot.state = SlotState::kDeferred;
    ledger->Put(i, slot);
    ++counts[static_cast<size_t>(slot.state)];
    was_uncertain += slot.was_uncertain;
    wanted.push_back(slot);
  }
  ASSERT_TRUE(ledger->Sync().ok());
  ledger.reset();
  auto opened = Ledger::Open(dir.path("ledger.bin"), identity);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (uint32_t i = 0; i < identity.recipients; ++i) {
    EXPECT_EQ((*opened)->Get(i), wanted[i]) << i;
    EXPECT_EQ((*opened)->StateAt(i), wanted[i].state);
  }
  EXPECT_EQ((*opened)->Count(), counts);
  EXPECT_EQ((*opened)->CountWasUncertain(), was_uncertain);
}

TEST(Ledger, ADueTimeIsSetWithoutTouchingTheRest) {
  TempDir dir;
  std::mt19937 random(8);
  const auto ledger = Make(dir);
  LedgerSlot slot = RandomSlot(&random);
  ledger->Put(4, slot);
  ledger->SetDue(4, 12345);
  slot.due = 12345;
  EXPECT_EQ(ledger->Get(4), slot);
  EXPECT_EQ(ledger->Get(3), LedgerSlot{});
  EXPECT_EQ(ledger->Get(5), LedgerSlot{});
}

TEST(Ledger, WhatWasInFlightIsUncertainWhenItIsOpenedAgain) {
  TempDir dir;
  auto ledger = Make(dir);
  ledger->Begin(2);
  LedgerSlot deferred;
  deferred.state = SlotState::kDeferred;
  deferred.attempts = 3;
  deferred.code = ReplyCode(451);
  deferred.stage = CommandKind::kRcpt;
  deferred.due = 1000;
  deferred.first = 900;
  ledger->Put(7, deferred);
  ledger->Begin(7);
  EXPECT_EQ(ledger->StateAt(7), SlotState::kInFlight);
  EXPECT_EQ(ledger->Get(7).attempts, 3);
  ledger.reset();

  auto opened = Ledger::Open(dir.path("ledger.bin"), kTen);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT((*opened)->found_in_flight(), ElementsAre(2, 7));
  const LedgerSlot slot = (*opened)->Get(7);
  EXPECT_EQ(slot.state, SlotState::kUncertain);
  EXPECT_TRUE(slot.was_uncertain);
  EXPECT_EQ(slot.attempts, 3);
  EXPECT_EQ(slot.first, 900u);
  EXPECT_EQ(slot.due, 0u);
  // The reply of an earlier try says nothing about this one.
  EXPECT_EQ(slot.code, ReplyCode());
  EXPECT_EQ(slot.stage, CommandKind::kContent);
  // Told once: the next one finds them settled.
  opened->reset();
  opened = Ledger::Open(dir.path("ledger.bin"), kTen);
  ASSERT_TRUE(opened.ok());
  EXPECT_THAT((*opened)->found_in_flight(), IsEmpty());
  EXPECT_EQ((*opened)->CountWasUncertain(), 2u);
}

TEST(Ledger, ThereIsOneForACampaign) {
  TempDir dir;
  Make(dir);
  EXPECT_TRUE(absl::IsAlreadyExists(Ledger::Create(dir.path("ledger.bin"), kTen).status()));
  EXPECT_TRUE(absl::IsNotFound(Ledger::Open(dir.path("no.bin"), kTen).status()));
  EXPECT_TRUE(absl::IsNotFound(Ledger::OpenToRead(dir.path("no.bin")).status()));
}

// --- Files that are none of ours ---

TEST(Ledger, RefusesWhatIsNotALedger) {
  TempDir dir;
  dir.Write("ledger.bin", std::string(224, 'x'));
  ExpectRefused(OpenStatus(dir), absl::StatusCode::kDataLoss, "is not a ledger");
}

TEST(Ledger, RefusesAFileOfAnyShorterLength) {
  TempDir dir;
  Make(dir);
  const std::string whole = dir.Read("ledger.bin");
  for (const size_t bytes : {0ul, 1ul, 63ul, 64ul, 65ul, 223ul, whole.size() + 16}) {
    std::string cut = whole;
    cut.resize(bytes);
    dir.Write("ledger.bin", cut);
    const absl::Status status = OpenStatus(dir);
    ExpectRefused(status, absl::StatusCode::kDataLoss, bytes < 64 ? "too short" : "damaged");
    EXPECT_FALSE(Ledger::OpenToRead(dir.path("ledger.bin")).ok());
  }
}

TEST(Ledger, RefusesAHeaderWithAnyBitTurned) {
  TempDir dir;
  Make(dir);
  const std::string whole = dir.Read("ledger.bin");
  for (size_t bit = 0; bit < 64 * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    dir.Write("ledger.bin", damaged);
    EXPECT_EQ(OpenStatus(dir).code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
  dir.Write("ledger.bin", whole);
  EXPECT_TRUE(OpenStatus(dir).ok());
}

TEST(Ledger, SaysBothVersionsOfANewerOne) {
  TempDir dir;
  Make(dir);
  std::string bytes = dir.Read("ledger.bin");
  bytes[8] = 2;
  const auto crc = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), 60));  // as a newer volley would
  std::memcpy(bytes.data() + 60, &crc, sizeof crc);
  dir.Write("ledger.bin", bytes);
  const absl::Status status = OpenStatus(dir);
  ExpectRefused(status, absl::StatusCode::kDataLoss, "version 2");
  ExpectRefused(status, absl::StatusCode::kDataLoss, "reads version 1");
}

TEST(Ledger, RefusesTheLedgerOfAnotherList) {
  TempDir dir;
  Make(dir);
  for (const LedgerIdentity& other :
       {LedgerIdentity{10, 0xfeedbeee}, LedgerIdentity{11, 0xfeedbeef}}) {
    ExpectRefused(OpenStatus(dir, other), absl::StatusCode::kDataLoss, "another list");
  }
  EXPECT_TRUE(OpenStatus(dir).ok());
}

// The bytes of a slot that cannot have been written: nobody is mailed, and nobody left out, on a
// guess.
TEST(Ledger, RefusesASlotThatNoVolleyWrites) {
  TempDir dir;
  Make(dir);
  const std::string whole = dir.Read("ledger.bin");
  struct Damage {
    size_t byte;
    char value;
  };
  for (const Damage& d : {Damage{0, kSlotStates}, Damage{0, '\xff'}, Damage{3, 2}, Damage{5, 4},
                          Damage{6, 13}, Damage{7, 1}}) {
    std::string damaged = whole;
    damaged[64 + 16 * 4 + d.byte] = d.value;
    dir.Write("ledger.bin", damaged);
    ExpectRefused(OpenStatus(dir), absl::StatusCode::kDataLoss, "recipient 4");
    // Whoever only looks gets something he can count.
    const auto looked = Ledger::OpenToRead(dir.path("ledger.bin"));
    ASSERT_TRUE(looked.ok());
    EXPECT_EQ((*looked)->Get(4).state, SlotState::kUncertain);
    EXPECT_LE((*looked)->Get(4).stage, CommandKind::kQuit);
    EXPECT_EQ((*looked)->Count()[static_cast<size_t>(SlotState::kPending)], 9u);
  }
}

TEST(Ledger, ARefusedFileIsNotChanged) {
  TempDir dir;
  auto ledger = Make(dir);
  ledger->Begin(1);
  ledger.reset();
  const std::string before = dir.Read("ledger.bin");
  EXPECT_FALSE(OpenStatus(dir, {10, 1}).ok());
  EXPECT_TRUE(Ledger::OpenToRead(dir.path("ledger.bin")).ok());
  EXPECT_EQ(dir.Read("ledger.bin"), before);
}

// --- One process at a time ---

// The exit code of `body` in a process of its own.
template <typename Body>
int InAnotherProcess(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Ledger, IsOpenOnceInThisAndInAnyOtherProcess) {
  TempDir dir;
  auto ledger = Make(dir);
  ExpectRefused(OpenStatus(dir), absl::StatusCode::kFailedPrecondition, "another process");
  const auto open_there = [&dir] { return static_cast<int>(OpenStatus(dir).code()); };
  EXPECT_EQ(InAnotherProcess(open_there), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  ledger.reset();
  EXPECT_EQ(InAnotherProcess(open_there), 0);
  EXPECT_TRUE(OpenStatus(dir).ok());
}

TEST(Ledger, TheLockOfAKilledProcessIsGone) {
  TempDir dir;
  Make(dir);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto ledger = Ledger::Open(dir.path("ledger.bin"), kTen);
    if (ledger.ok()) (*ledger)->Begin(3);
    static_cast<void>(write(ready[1], ledger.ok() ? "y" : "n", 1));
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(OpenStatus(dir).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  const auto ledger = Ledger::Open(dir.path("ledger.bin"), kTen);
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  EXPECT_THAT((*ledger)->found_in_flight(), ElementsAre(3));
}

TEST(Ledger, CanBeLookedAtWhileAnotherProcessWrites) {
  TempDir dir;
  const auto ledger = Make(dir);
  ledger->Begin(0);
  const auto reader = Ledger::OpenToRead(dir.path("ledger.bin"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->StateAt(0), SlotState::kInFlight);  // and stays so
  EXPECT_EQ(ledger->StateAt(0), SlotState::kInFlight);
  LedgerSlot slot;
  slot.state = SlotState::kDelivered;
  ledger->Put(0, slot);
  EXPECT_EQ((*reader)->StateAt(0), SlotState::kDelivered);
}

TEST(Ledger, AClaimKeepsOthersOffWhateverTheFileHolds) {
  TempDir dir;
  dir.Write("ledger.bin", "rubbish");
  const std::string path = dir.path("ledger.bin");
  auto claim = Ledger::Claim(path);
  ASSERT_TRUE(claim.ok()) << claim.status();
  ExpectRefused(Ledger::Claim(path).status(), absl::StatusCode::kFailedPrecondition, "another");
  EXPECT_EQ(dir.Read("ledger.bin"), "rubbish");
  EXPECT_TRUE(absl::IsNotFound(Ledger::Claim(dir.path("no.bin")).status()));
  claim->reset();
  EXPECT_TRUE(Ledger::Claim(path).ok());
}

// What two threads see of a slot that a third one writes: its times are as new as its verdict, or
// newer, as they are stored first; a due time is never that of an earlier try.
TEST(Ledger, ReadersSeeNoVerdictWithOlderTimes) {
  TempDir dir;
  const auto ledger = Make(dir);
  constexpr uint32_t kRounds = 100'000;
  std::atomic<bool> older{false};
  std::atomic<uint32_t> written{0};
  const auto read = [&] {
    while (written.load() < kRounds) {
      const LedgerSlot slot = ledger->Get(5);
      const uint32_t verdict =
          slot.attempts | uint32_t{slot.category} << 8 | uint32_t{slot.code.value()} << 16;
      if (slot.due != slot.first || slot.due < verdict) older = true;
    }
  };
  std::thread one(read), two(read);
  for (uint32_t i = 0; i <= kRounds; ++i) {
    LedgerSlot slot;
    slot.state = SlotState::kDeferred;
    slot.due = slot.first = i;
    slot.attempts = static_cast<uint8_t>(i);
    slot.category = static_cast<uint8_t>(i >> 8);
    slot.code = ReplyCode(static_cast<uint16_t>(i >> 16));
    ledger->Put(5, slot);
    written = i;
  }
  one.join();
  two.join();
  EXPECT_FALSE(older);
}

// --- No room ---

TEST(Ledger, IsNotMadeWhereTheFileSizeIsLimited) {
  TempDir dir;
  const int code = InAnotherProcess([&dir] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    const absl::Status s = Ledger::Create(dir.path("ledger.bin"), {.recipients = 10'000}).status();
    return static_cast<int>(s.code());
  });
  EXPECT_EQ(code, static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_NE(access(dir.path("ledger.bin").c_str(), F_OK), 0) << "a half ledger was left";
}

class TinyDisk {
 public:
  explicit TinyDisk(const std::string& path) : path_(path) {
    mkdir(path_.c_str(), 0700);
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k") == 0;
  }
  ~TinyDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }

 private:
  const std::string path_;
  bool mounted_ = false;
};

TEST(Ledger, IsNotMadeOnAFullDiskAndWritesNoHoleOfACopy) {
  TempDir dir;
  TinyDisk disk(dir.path("disk"));
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED: mounting a small tmpfs is not allowed here";
  const std::string path = dir.path("disk/ledger.bin");
  const LedgerIdentity large{.recipients = 10'000};
  const absl::Status status = Ledger::Create(path, large).status();
  ExpectRefused(status, absl::StatusCode::kResourceExhausted, "no room for the 160064 bytes");
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "a half ledger was left";

  // A copy with holes, as cp makes it: a write to one could not be answered but by SIGBUS.
  const LedgerIdentity fits{.recipients = 3000};
  ASSERT_TRUE(Ledger::Create(dir.path("whole.bin"), fits).ok());
  const std::string whole = dir.Read("whole.bin");
  dir.Write("disk/ledger.bin", whole.substr(0, 64));
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(whole.size())), 0);
  const bool filled = dir.Write("disk/filler", std::string(56 * 1024, 'x')).empty();
  ASSERT_FALSE(filled);
  ExpectRefused(Ledger::Open(path, fits).status(), absl::StatusCode::kResourceExhausted, "no room");
  unlink(dir.path("disk/filler").c_str());
  EXPECT_TRUE(Ledger::Open(path, fits).ok());
}

}  // namespace
}  // namespace volley::pipeline
