#include "pipeline/shard/feeder.h"

#include <algorithm>

namespace volley::pipeline {

Feeder::Feeder(const RecipientFile* list, Ledger* ledger, UncertainPolicy uncertain)
    : list_(list),
      ledger_(ledger),
      uncertain_(uncertain),
      next_offset_(list->first_offset()),
      earliest_((uint64_t{ledger->size()} + kBlock - 1) / kBlock, kNever) {
  FindDue();
}

bool Feeder::Waits(const LedgerSlot& slot) const {
  return slot.state == SlotState::kDeferred ||
         (slot.state == SlotState::kUncertain && uncertain_ == UncertainPolicy::kResend);
}

void Feeder::FindDue() {
  for (uint32_t i = 0; i < ledger_->size(); ++i) {
    if (ledger_->StateAt(i) == SlotState::kPending) continue;
    LedgerSlot slot = ledger_->Get(i);
    if (!Waits(slot)) continue;
    if (slot.due == 0) {
      slot.due = 1;
      ledger_->SetDue(i, slot.due);
    }
    OnDue(i, slot.due);
  }
}

void Feeder::OnDue(uint32_t index, UnixSeconds due) {
  UnixSeconds& earliest = earliest_[index / kBlock];
  earliest = std::min(earliest, due);
}

std::optional<UnixSeconds> Feeder::next_due() const {
  if (!first_pass_over() || batch_next_ < batch_end_ || scan_ < scan_end_) return 0;
  return next_retry();
}

std::optional<UnixSeconds> Feeder::next_retry() const {
  const auto earliest = std::min_element(earliest_.begin(), earliest_.end());
  if (earliest == earliest_.end() || *earliest == kNever) return std::nullopt;
  return *earliest;
}

absl::StatusOr<std::span<const Job>> Feeder::Peek(UnixSeconds now) {
  if (batch_next_ == batch_end_) {
    batch_next_ = batch_end_ = 0;
    if (absl::Status s = FillFromRetries(now); !s.ok()) return s;
    if (absl::Status s = FillFromList(); !s.ok()) return s;
  }
  return std::span<const Job>(batch_.data() + batch_next_, batch_end_ - batch_next_);
}

void Feeder::Pop(size_t n) { batch_next_ += n; }

absl::Status Feeder::FillFromList() {
  while (batch_end_ < kBatch) {
    if (absl::Status s = SkipTried(); !s.ok()) return s;
    if (first_pass_over()) break;
    const auto next = list_->SkipAt(next_offset_);
    if (!next.ok()) return next.status();
    batch_[batch_end_++] = Job{.offset = next_offset_, .index = next_};
    next_offset_ = *next;
    ++next_;
  }
  return absl::OkStatus();
}

// Looks at the ledger for the next one that is pending, and not at the list: resuming behind
// millions is a matter of 16 bytes for each.
absl::Status Feeder::SkipTried() {
  const uint32_t from = next_;
  while (!first_pass_over() && ledger_->StateAt(next_) != SlotState::kPending) ++next_;
  if (next_ == from || first_pass_over()) return absl::OkStatus();
  const auto offset = OffsetBehind(from, next_offset_, next_);
  if (offset.ok()) next_offset_ = *offset;
  return offset.status();
}

// Takes up the next block in which something is due; what else waits in it is counted anew.
bool Feeder::NextDueBlock(UnixSeconds now) {
  const auto block = std::find_if(earliest_.begin(), earliest_.end(),
                                  [now](UnixSeconds due) { return due <= now; });
  if (block == earliest_.end()) return false;
  *block = kNever;
  scan_ = static_cast<uint32_t>(block - earliest_.begin()) * kBlock;
  scan_end_ = std::min(ledger_->size(), scan_ + kBlock);
  scan_rest_ = kNever;
  return true;
}

absl::Status Feeder::FillFromRetries(UnixSeconds now) {
  while (batch_end_ < kBatch) {
    if (scan_ == scan_end_ && !NextDueBlock(now)) break;
    const uint32_t index = scan_++;
    const LedgerSlot slot = ledger_->Get(index);
    if (Waits(slot) && slot.due != 0) {
      if (slot.due <= now) {
        if (absl::Status s = AddRetry(index, slot.state); !s.ok()) return s;
      } else {
        scan_rest_ = std::min(scan_rest_, slot.due);
      }
    }
    if (scan_ == scan_end_) OnDue(index, scan_rest_);
  }
  return absl::OkStatus();
}

// By way of one that is known when it is near. REQUIRES: known <= index.
absl::StatusOr<uint64_t> Feeder::OffsetBehind(uint32_t known, uint64_t known_offset,
                                              uint32_t index) const {
  constexpr uint32_t kNear = 128;
  if (index - known > kNear) return list_->FindOffset(index);
  absl::StatusOr<uint64_t> offset = known_offset;
  for (uint32_t i = known; offset.ok() && i < index; ++i) offset = list_->SkipAt(*offset);
  return offset;
}

// From the one found last: those that are due stand together.
absl::StatusOr<uint64_t> Feeder::OffsetOf(uint32_t index) {
  const bool unknown = found_offset_ == 0 || index < found_;
  auto offset = unknown ? list_->FindOffset(index) : OffsetBehind(found_, found_offset_, index);
  if (offset.ok()) {
    found_ = index;
    found_offset_ = *offset;
  }
  return offset;
}

// Without a due time it is in a queue, and not found again.
absl::Status Feeder::AddRetry(uint32_t index, SlotState state) {
  const auto offset = OffsetOf(index);
  if (!offset.ok()) return offset.status();
  ledger_->SetDue(index, 0);
  batch_[batch_end_++] = Job{.offset = *offset, .index = index, .was = state};
  return absl::OkStatus();
}

}  // namespace volley::pipeline
