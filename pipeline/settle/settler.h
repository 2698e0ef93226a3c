// Settler: writes down what became of each try of one shard: the recipient's slot in his campaign's
// ledger first, then a note to the coordinator (events, counts, what is due when).
//
// Threading: Begin, Settle and PutOff in the shard's thread; TakeNote in the coordinator's; count()
//   in any. Lifetime: the rules and what they point to outlive it.
#ifndef VOLLEY_PIPELINE_SETTLE_SETTLER_H_
#define VOLLEY_PIPELINE_SETTLE_SETTLER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "engine/bounce/classify.h"
#include "engine/smtp/types.h"
#include "io/base/spsc_ring.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/retry.h"

namespace volley::pipeline {

// A message that was sent and whose answer was not read.
enum class UncertainPolicy : uint8_t {
  kSkip,    // stays uncertain: rather none than two
  kResend,  // is tried again: rather two than none
};

struct SettleRules {
  Ledger* ledger = nullptr;
  const engine::bounce::Classifier* classifier = nullptr;  // null: replies have no category
  RetrySchedule retry;
  UncertainPolicy uncertain = UncertainPolicy::kSkip;
  std::function<absl::Time()> wall_clock = [] { return absl::Now(); };
};

// What a reply to this command is about, in the words of the rules.
engine::bounce::Stage StageOf(engine::smtp::CommandKind command);
std::string EnhancedText(const engine::smtp::EnhancedCode& code);  // "5.1.1"; empty: there is none

// How a try ended.
struct TryEnd {
  Outcome outcome = Outcome::kDeferred;
  bool counts_as_attempt = true;
  uint32_t lane = 0;
  engine::smtp::CommandKind command = engine::smtp::CommandKind::kContent;
  engine::smtp::ReplyView reply = {};          // code 0: there was none, and the text says why
  absl::Duration took = absl::ZeroDuration();  // from composing to the reply
  std::string_view provider = {};              // who replied, for the rules; empty: not known
  const RetrySchedule* retry = nullptr;        // this provider's; null: the rules'
};

class Settler {
 public:
  // `rules`: of each flow, by number; not empty. `on_notes` is called when the coordinator should
  // take notes soon.
  explicit Settler(
      std::vector<const SettleRules*> rules, std::function<void()> on_notes = [] {})
      : rules_(std::move(rules)),
        on_notes_(std::move(on_notes)),
        counts_(rules_.size()),
        notes_(kNotes) {}

  // --- shard ---
  // The first byte of its content goes out next.
  void Begin(const Job& job) { rules_[job.flow]->ledger->Begin(job.index); }
  // It has not arrived after all, and will be tried again in this run.
  void TakeBack(const Job& job);
  // What the reply means is looked up. A refusal that is about our speed or our address, and not
  // about the recipient, is deferred whatever its code says; one about our speed is no attempt.
  // A deferred one is due by the retry schedule or has expired, and is then bounced; an uncertain
  // one is due again if that is the policy. Returns what it came to. Waits (sleeping) while the
  // coordinator has not taken its notes: nothing is forgotten, and then the disk is the bottleneck.
  Outcome Settle(const Job& job, const TryEnd& end);
  // Not tried at all: deferred, and due at once.
  void PutOff(const Job& job, uint32_t lane, std::string_view why);
  // Nobody's try ended, but a server refused something: a connection, or to go on with a session.
  // The coordinator gets a note with index kNobody; it is left out while its ring is full. What it
  // means is looked up by the first flow's rules.
  void TellRefusal(const TryEnd& end);

  // --- coordinator ---
  bool TakeNote(OutcomeNote* note);
  // Whether every single note is worth a call: when there is nothing else to do.
  void set_eager(bool eager) { eager_.store(eager, std::memory_order_relaxed); }

  // How many more (or, below zero, fewer) recipients of a flow have this outcome by what this shard
  // did.
  int64_t count(Outcome outcome, uint32_t flow = 0) const {
    return counts_[flow].of[static_cast<size_t>(outcome)].load(std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kNotes = 4096;  // about 1 MiB a shard
  struct alignas(io::kCacheLineBytes) Counts {
    std::array<std::atomic<int64_t>, kOutcomes> of{};
  };
  const SettleRules& rules(const Job& job) const { return *rules_[job.flow]; }
  std::optional<absl::Duration> Classify(const SettleRules& rules, const TryEnd& end,
                                         OutcomeNote* note) const;
  void Schedule(const Job& job, const RetrySchedule& retry, UnixSeconds now,
                std::optional<absl::Duration> hint, LedgerSlot* slot, OutcomeNote* note) const;
  void Write(const Job& job, const LedgerSlot& slot, OutcomeNote* note);
  void TellNotes();
  void Count(uint32_t flow, Outcome outcome, int64_t by) {
    auto& c = counts_[flow].of[static_cast<size_t>(outcome)];
    // Only this shard writes: a plain add, published without a locked instruction.
    c.store(c.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  const std::vector<const SettleRules*> rules_;
  const std::function<void()> on_notes_;
  std::vector<Counts> counts_;  // by flow
  std::atomic<bool> eager_{false};
  std::atomic<bool> told_{false};  // the coordinator has been called
  io::SpscRing<OutcomeNote> notes_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_SETTLER_H_
