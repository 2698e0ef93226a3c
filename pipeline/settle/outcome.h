// Outcomes: what becomes of a recipient, counted, and written down where it is not "delivered".
//
// Each shard owns a Settler: the counters are relaxed atomics that only the shard writes, and notes
// of what was not delivered travel through a bounded ring to the coordinator, which writes them to
// undelivered.csv. (The ledger, retries and event files come in at Settler::Settle.)
#ifndef VOLLEY_PIPELINE_SETTLE_OUTCOME_H_
#define VOLLEY_PIPELINE_SETTLE_OUTCOME_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "engine/smtp/types.h"
#include "io/base/spsc_ring.h"

namespace volley::pipeline {

enum class Outcome : uint8_t {
  kDelivered,
  kBounced,       // refused for good
  kDeferred,      // not taken now; may be tried again later
  kUncertain,     // all of it was sent, the final reply was not read
  kUnrenderable,  // its copy could not be composed; counted as rejected
  kSuppressed,    // wants no mail from us: unsubscribed, or on the list for another reason
};
inline constexpr size_t kOutcomes = 6;
std::string_view OutcomeName(Outcome outcome);

// A recipient's copy to deliver.
struct Job {
  uint64_t offset = 0;        // of its record in recipients.bin
  uint32_t free_retries = 0;  // tries that cost no attempt, so that they cannot go on for ever
};

struct OutcomeNote {
  static constexpr size_t kMaxText = 220;
  uint64_t offset = 0;
  Outcome outcome = Outcome::kDeferred;
  engine::smtp::CommandKind command{};
  engine::smtp::ReplyCode code;
  engine::smtp::EnhancedCode enhanced;
  uint8_t text_bytes = 0;
  std::array<char, kMaxText> text;
  std::string_view text_view() const { return {text.data(), text_bytes}; }
};

class Settler {
 public:
  Settler() : notes_(kNotes) {}

  // The shard's thread.
  void Delivered() { Count(Outcome::kDelivered); }
  // Waits (sleeping) while the ring is full: what is not written down is not forgotten, and a full
  // ring means that the disk is the bottleneck.
  void Settle(const Job& job, Outcome outcome, engine::smtp::CommandKind command,
              const engine::smtp::ReplyView& reply);

  // The coordinator's thread.
  bool TakeNote(OutcomeNote* note) { return notes_.Pop(note); }

  // Any thread.
  uint64_t count(Outcome outcome) const {
    return counts_[static_cast<size_t>(outcome)].load(std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kNotes = 4096;  // about 1 MiB a shard
  void Count(Outcome outcome) {
    auto& c = counts_[static_cast<size_t>(outcome)];
    // Only this shard writes: a plain add, published without a locked instruction.
    c.store(c.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  alignas(io::kCacheLineBytes) std::array<std::atomic<uint64_t>, kOutcomes> counts_{};
  io::SpscRing<OutcomeNote> notes_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_OUTCOME_H_
