#include "pipeline/settle/outcome.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace volley::pipeline {

std::string_view OutcomeName(Outcome outcome) {
  static constexpr std::array<std::string_view, kOutcomes> kNames = {
      "delivered", "bounced", "deferred", "uncertain", "rejected", "suppressed"};
  return kNames[static_cast<size_t>(outcome)];
}

void Settler::Settle(const Job& job, Outcome outcome, engine::smtp::CommandKind command,
                     const engine::smtp::ReplyView& reply) {
  OutcomeNote note;
  note.offset = job.offset;
  note.outcome = outcome;
  note.command = command;
  note.code = reply.code;
  note.enhanced = reply.enhanced;
  note.text_bytes = static_cast<uint8_t>(std::min(reply.text.size(), OutcomeNote::kMaxText));
  std::copy_n(reply.text.data(), note.text_bytes, note.text.data());
  while (!notes_.Push(note)) std::this_thread::sleep_for(std::chrono::microseconds(200));
  Count(outcome);
}

}  // namespace volley::pipeline
