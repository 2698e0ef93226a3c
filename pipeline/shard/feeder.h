// Feeder: which recipients are to be tried now: first those that were never tried, in the order of
// the list, and between them those that were deferred and are due. The ledger is its queue; all
// that it keeps itself is the earliest due time of every kBlock recipients, so that a wait costs no
// look at the ledger.
//
// Threading: one thread (the coordinator). Lifetime: list and ledger outlive it. Errors: DataLoss:
// the list is damaged.
#ifndef VOLLEY_PIPELINE_SHARD_FEEDER_H_
#define VOLLEY_PIPELINE_SHARD_FEEDER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline {

class Feeder {
 public:
  static constexpr uint32_t kBlock = 4096;
  static constexpr size_t kBatch = 64;

  // Looks at every slot once. What was left deferred or, if they are to be sent again, uncertain
  // by an earlier run keeps its due time; without one it is due at once.
  Feeder(const RecipientFile* list, Ledger* ledger, UncertainPolicy uncertain);

  // The next jobs to be tried; empty: none now. They come again until they are popped. The view
  // lives until the next call.
  absl::StatusOr<std::span<const Job>> Peek(UnixSeconds now);
  void Pop(size_t n);

  // A shard has written that `index` is due then.
  void OnDue(uint32_t index, UnixSeconds due);
  // When the next one is due, 0: now; nullopt: nothing is left to be tried but what was popped.
  std::optional<UnixSeconds> next_due() const;
  // The same of those that were tried before and are not in the batch.
  std::optional<UnixSeconds> next_retry() const;
  bool first_pass_over() const { return next_ == ledger_->size(); }

  // The first pass has read this far: the list before it is hardly needed again.
  uint64_t list_offset() const { return next_offset_; }

 private:
  static constexpr UnixSeconds kNever = UINT32_MAX;
  bool Waits(const LedgerSlot& slot) const;
  void FindDue();
  absl::Status FillFromRetries(UnixSeconds now);
  absl::Status FillFromList();
  absl::Status SkipTried();
  bool NextDueBlock(UnixSeconds now);
  absl::StatusOr<uint64_t> OffsetBehind(uint32_t known, uint64_t known_offset,
                                        uint32_t index) const;
  absl::StatusOr<uint64_t> OffsetOf(uint32_t index);
  absl::Status AddRetry(uint32_t index, SlotState state);

  const RecipientFile* const list_;
  Ledger* const ledger_;
  const UncertainPolicy uncertain_;
  std::array<Job, kBatch> batch_;
  size_t batch_next_ = 0, batch_end_ = 0;

  uint32_t next_ = 0;  // of the first pass
  uint64_t next_offset_;

  std::vector<UnixSeconds> earliest_;  // of each block's slots that wait
  uint32_t found_ = 0;                 // the recipient found last, and its record
  uint64_t found_offset_ = 0;
  uint32_t scan_ = 0, scan_end_ = 0;  // the block being gone through
  UnixSeconds scan_rest_ = kNever;    // the earliest of those in it that stay
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_FEEDER_H_
