// Outcomes: what becomes of a recipient, and the words for it that shards and coordinator share.
//
// Threading, lifetime: values.
#ifndef VOLLEY_PIPELINE_SETTLE_OUTCOME_H_
#define VOLLEY_PIPELINE_SETTLE_OUTCOME_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/smtp/types.h"

namespace volley::pipeline {

enum class Outcome : uint8_t {
  kDelivered,
  kBounced,       // refused for good, or for longer than we try
  kDeferred,      // not taken now; is tried again later
  kUncertain,     // all of it was sent, the final reply was not read
  kUnrenderable,  // its copy could not be composed; counted as rejected
  kSuppressed,    // wants no mail from us: unsubscribed, or on the list for another reason
  kCancelled,     // the campaign was stopped for good before its turn came
};
inline constexpr size_t kOutcomes = 7;
std::string_view OutcomeName(Outcome outcome);

// Of a ledger's slot: an outcome, or what comes before one.
enum class SlotState : uint8_t {
  kPending,   // not tried yet
  kInFlight,  // its content is going out
  // As Outcome, in its order.
  kDelivered,
  kBounced,
  kDeferred,
  kUncertain,
  kUnrenderable,
  kSuppressed,
  kCancelled,
};
inline constexpr size_t kSlotStates = kOutcomes + 2;
std::string_view SlotStateName(SlotState state);

constexpr SlotState StateOf(Outcome outcome) {
  return static_cast<SlotState>(static_cast<uint8_t>(outcome) + 2);
}
// REQUIRES: not pending, not in flight.
constexpr Outcome OutcomeOf(SlotState state) {
  return static_cast<Outcome>(static_cast<uint8_t>(state) - 2);
}

// Seconds since 1970-01-01 UTC; 0: none. Good until 2106.
using UnixSeconds = uint32_t;

// Campaigns that one process sends at a time, each a flow of jobs (RFC 7567 has the word); sets of
// them are bits of 64.
inline constexpr uint32_t kFlowsMax = 64;

// A recipient's copy to deliver.
struct Job {
  static constexpr uint64_t kLaneMax = (1 << 24) - 1;
  uint64_t offset : 40 = 0;             // of its record in recipients.bin
  uint64_t lane : 24 = 0;               // the route it goes by
  uint32_t index = 0;                   // its slot in the ledger
  uint16_t free_retries = 0;            // tries that cost no attempt: they cannot go on for ever
  SlotState was = SlotState::kPending;  // when it was taken for this try
  uint8_t flow = 0;                     // whose it is: campaigns of one process, by number
};
static_assert(sizeof(Job) == 16);

// What the coordinator is told of each try that ended.
struct OutcomeNote {
  static constexpr size_t kMaxText = 220, kMaxRule = 40;
  static constexpr uint32_t kNobody = UINT32_MAX;  // as `index`: Settler::TellRefusal
  uint64_t offset = 0;
  int64_t unix_millis = 0;
  uint32_t index = 0;
  UnixSeconds due = 0;  // of a deferred one
  uint32_t millis = 0;  // from composing to the reply
  Outcome outcome = Outcome::kDeferred;
  bool expired = false;  // bounced because it was deferred for too long
  uint8_t category = 0;  // as in the ledger
  uint8_t attempts = 0;
  uint8_t flow = 0;   // the job's
  uint32_t lane = 0;  // the route, or the relay
  engine::smtp::CommandKind command{};
  engine::smtp::ReplyCode code;
  engine::smtp::EnhancedCode enhanced;
  uint8_t rule_bytes = 0, text_bytes = 0;
  std::array<char, kMaxRule> rule;  // that classified the reply
  std::array<char, kMaxText> text;
  std::string_view rule_view() const { return {rule.data(), rule_bytes}; }
  std::string_view text_view() const { return {text.data(), text_bytes}; }
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_OUTCOME_H_
