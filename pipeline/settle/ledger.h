// Ledger: what became of each recipient of a campaign: ledger.bin, one slot of 16 bytes for each,
// mapped into memory and written by the shards as they go. A process that is killed loses nothing
// of it, as the pages are the kernel's; Sync() is for the machine that loses its power.
//
// A slot is "in flight" from just before the first byte of its content goes out until it is
// settled. Whoever opens the ledger of a campaign that was broken off finds those slots
// "uncertain": all of the message may have left, and nobody has read the answer.
//
// The ledger is also the queue of what is to be tried again: a deferred slot holds its due time,
// and Feeder finds it.
//
// The file's space is allocated when it is made, and again when it is opened (a copy of it may have
// holes), so no write to it can find a full disk. One process at a time: the file is locked while
// it is open.
//
// Threading: any thread may read any slot; a slot is written by the one thread that has its job.
// Lifetime: the mapping lives as long as the object. Errors: FailedPrecondition: another process
// has it; DataLoss: damaged, or of another campaign; ResourceExhausted: no room on the disk.
// docs/formats.md has the bytes.
#ifndef VOLLEY_PIPELINE_SETTLE_LEDGER_H_
#define VOLLEY_PIPELINE_SETTLE_LEDGER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/smtp/types.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

// One recipient.
struct LedgerSlot {
  SlotState state = SlotState::kPending;
  uint8_t attempts = 0;        // that counted
  uint8_t category = 0;        // engine::bounce::Category of the last reply; 0: none
  bool was_uncertain = false;  // at some time: it may have got the message more than once
  engine::smtp::ReplyCode code;
  engine::smtp::CommandKind stage{};
  UnixSeconds due = 0;    // when it may be tried again; of deferred, and of uncertain to be resent
  UnixSeconds first = 0;  // when it was tried for the first time

  constexpr bool operator==(const LedgerSlot&) const = default;
};

// What ties a ledger to its campaign.
struct LedgerIdentity {
  uint64_t recipients = 0;
  uint32_t list_checksum = 0;  // of recipients.bin
};

class Ledger {
 public:
  // As `recipients` slots that are pending. AlreadyExists: there is one.
  static absl::StatusOr<std::unique_ptr<Ledger>> Create(const std::string& path,
                                                        const LedgerIdentity& identity);
  // Slots in flight become uncertain. NotFound: there is none. A slot that holds what no volley
  // writes is damage, and nobody is mailed on a guess.
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& path,
                                                      const LedgerIdentity& identity);
  // To look at while another process writes; nothing is changed, slots in flight stay so.
  static absl::StatusOr<std::unique_ptr<Ledger>> OpenToRead(const std::string& path);
  // Keeps other processes off the ledger at `path`, whatever it holds, while the object lives: its
  // campaign is to be replaced. It has no slots. NotFound: there is none.
  static absl::StatusOr<std::unique_ptr<Ledger>> Claim(const std::string& path);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  uint32_t size() const { return size_; }
  LedgerSlot Get(uint32_t index) const;
  SlotState StateAt(uint32_t index) const;
  void Put(uint32_t index, const LedgerSlot& slot);
  // Just before the first byte of its content goes out.
  void Begin(uint32_t index);
  // The verdict stays. Unlike a Get and a Put it cannot bring back an older one.
  void SetDue(uint32_t index, UnixSeconds due);

  using Counts = std::array<uint64_t, kSlotStates>;
  Counts Count() const;  // reads all slots: 10 million take some 10 ms
  uint64_t CountWasUncertain() const;
  // The slots that Open() found in flight.
  const std::vector<uint32_t>& found_in_flight() const { return found_in_flight_; }

  // Blocks until what was written before is on the disk.
  absl::Status Sync();

 private:
  struct Slot {
    std::atomic<uint64_t> verdict;  // written last: it says which times count
    std::atomic<uint64_t> times;
  };
  static_assert(sizeof(Slot) == 16 && std::atomic<uint64_t>::is_always_lock_free);

  Ledger(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  static absl::StatusOr<std::unique_ptr<Ledger>> OpenFile(const std::string& path, int flags);
  absl::Status Map(bool writable);
  absl::Status Allocate(uint64_t bytes) const;
  absl::Status Lock() const;
  absl::Status Check(const LedgerIdentity* identity);
  absl::Status CheckSlots() const;
  absl::Status Error(absl::StatusCode code, std::string_view what) const;
  void SettleWhatWasInFlight();

  const std::string path_;
  const int fd_;
  char* bytes_ = nullptr;  // the mapping
  uint64_t mapped_ = 0;
  Slot* slots_ = nullptr;
  uint32_t size_ = 0;
  std::vector<uint32_t> found_in_flight_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_LEDGER_H_
