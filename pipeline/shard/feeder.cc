#include "pipeline/shard/feeder.h"

#include <algorithm>

namespace volley::pipeline {

Feeder::Feeder(const RecipientFile* list, Ledger* ledger, UncertainPolicy uncertain)
    : list_(list),
      ledger_(ledger),
      uncertain_(uncertain),
      next_offset_(list->first_offset()),
      earliest_((ledger->size() + kBlock - 1) / kBlock, kNever) {
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
      ledger_->Put(i, slot);
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
  while (batch_end_ < kBatch && !first_pass_over()) {
    const uint32_t index = next_;
    const uint64_t offset = next_offset_;
    const auto next = list_->SkipAt(offset);
    if (!next.ok()) return next.status();
    next_offset_ = *next;
    ++next_;
    if (ledger_->StateAt(index) != SlotState::kPending) continue;
    batch_[batch_end_++] = Job{.offset = offset, .index = index};
  }
  return absl::OkStatus();
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
        if (absl::Status s = AddRetry(index, slot); !s.ok()) return s;
      } else {
        scan_rest_ = std::min(scan_rest_, slot.due);
      }
    }
    if (scan_ == scan_end_) OnDue(index, scan_rest_);
  }
  return absl::OkStatus();
}

// From the one found last when it is near: those that are due stand together.
absl::StatusOr<uint64_t> Feeder::OffsetOf(uint32_t index) {
  constexpr uint32_t kNear = 128;
  absl::StatusOr<uint64_t> offset = found_offset_;
  if (found_offset_ == 0 || index < found_ || index - found_ > kNear) {
    offset = list_->FindOffset(index);
  } else {
    for (uint32_t i = found_; offset.ok() && i < index; ++i) offset = list_->SkipAt(*offset);
  }
  if (offset.ok()) {
    found_ = index;
    found_offset_ = *offset;
  }
  return offset;
}

// Without a due time it is in a queue, and not found again.
absl::Status Feeder::AddRetry(uint32_t index, LedgerSlot slot) {
  const auto offset = OffsetOf(index);
  if (!offset.ok()) return offset.status();
  slot.due = 0;
  ledger_->Put(index, slot);
  batch_[batch_end_++] = Job{.offset = *offset, .index = index, .was = slot.state};
  return absl::OkStatus();
}

}  // namespace volley::pipeline
