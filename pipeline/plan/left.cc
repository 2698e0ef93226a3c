#include "pipeline/plan/left.h"

#include <string_view>

#include "absl/strings/string_view.h"

namespace volley::pipeline {
namespace {

constexpr uint64_t kProgressEvery = uint64_t{1} << 16;  // recipients

// As Feeder: who waits, and until when (0: for nothing). False: he is settled.
bool IsLeft(const LedgerSlot& slot, UncertainPolicy uncertain, UnixSeconds* due) {
  switch (slot.state) {
    case SlotState::kPending:
      *due = 0;
      return true;
    case SlotState::kDeferred:
      *due = slot.due;
      return true;
    case SlotState::kInFlight:
    case SlotState::kUncertain:
      *due = slot.due;
      return uncertain == UncertainPolicy::kResend;
    default:
      return false;
  }
}

}  // namespace

uint64_t DomainCount::total() const {
  uint64_t sum = now;
  for (const auto& [due, count] : later) sum += count;
  return sum;
}

void DomainCount::Add(const DomainCount& more) {
  now += more.now;
  for (const auto& [due, count] : more.later) later[due] += count;
}

absl::StatusOr<LeftToSend> CountLeft(const RecipientFile& list, const CountLeftOptions& options) {
  LeftToSend left;
  RecipientRecord record;
  uint64_t offset = list.first_offset();
  for (uint32_t i = 0; i < list.count(); ++i) {
    const auto next = list.ReadAt(offset, &record);
    if (!next.ok()) return next.status();
    offset = *next;
    if (i % kProgressEvery == 0 && options.on_progress) options.on_progress(i, list.count());
    UnixSeconds due = 0;
    const bool known = options.ledger != nullptr && i < options.ledger->size();
    if (known && !IsLeft(options.ledger->Get(i), options.uncertain, &due)) {
      ++left.settled;
      continue;
    }
    if (options.suppressed != nullptr) {
      const auto suppressed = options.suppressed->Contains(record.address);
      if (!suppressed.ok()) return suppressed.status();
      left.suppressed += *suppressed;
      if (*suppressed) continue;
    }
    const std::string_view domain = record.address.substr(record.address.rfind('@') + 1);
    auto& sources = left.domains[absl::string_view(domain.data(), domain.size())];
    if (sources.empty()) sources.resize(options.sources);
    DomainCount& count = sources[i % options.sources];
    ++left.messages;
    if (due <= options.now) {
      ++count.now;
    } else {
      ++count.later[(due + kDueStep - 1) / kDueStep * kDueStep];
      ++left.later;
    }
  }
  return left;
}

}  // namespace volley::pipeline
