#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

std::string_view OutcomeName(Outcome outcome) {
  static constexpr std::array<std::string_view, kOutcomes> kNames = {
      "delivered", "bounced", "deferred", "uncertain", "rejected", "suppressed", "cancelled"};
  return kNames[static_cast<size_t>(outcome)];
}

std::string_view SlotStateName(SlotState state) {
  switch (state) {
    case SlotState::kPending:
      return "pending";
    case SlotState::kInFlight:
      return "in flight";
    default:
      return OutcomeName(OutcomeOf(state));
  }
}

}  // namespace volley::pipeline
