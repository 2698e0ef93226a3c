#include "pipeline/settle/settler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace volley::pipeline {
namespace {

using engine::bounce::Action;
using engine::bounce::Category;
using engine::bounce::Stage;
using engine::smtp::CommandKind;

Action ActionOf(const OutcomeNote& note) {
  return engine::bounce::InfoOf(static_cast<Category>(note.category)).action;
}

void PutText(std::string_view text, OutcomeNote* note) {
  note->text_bytes = static_cast<uint8_t>(std::min(text.size(), OutcomeNote::kMaxText));
  std::copy_n(text.data(), note->text_bytes, note->text.data());
}

void PutReply(const TryEnd& end, absl::Time now, OutcomeNote* note) {
  note->unix_millis = absl::ToUnixMillis(now);
  note->lane = end.lane;
  note->command = end.command;
  note->code = end.reply.code;
  note->enhanced = end.reply.enhanced;
  note->millis = static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(end.took), 0, UINT32_MAX));
  PutText(end.reply.text, note);
}

}  // namespace

Stage StageOf(CommandKind command) {
  switch (command) {
    case CommandKind::kGreeting:
      return Stage::kConnect;
    case CommandKind::kEhlo:
    case CommandKind::kHelo:
    case CommandKind::kLhlo:
      return Stage::kEhlo;
    case CommandKind::kStartTls:
      return Stage::kStartTls;
    case CommandKind::kAuth:
      return Stage::kAuth;
    case CommandKind::kMail:
      return Stage::kMail;
    case CommandKind::kRcpt:
      return Stage::kRcpt;
    case CommandKind::kData:
      return Stage::kData;
    case CommandKind::kContent:
      return Stage::kBody;
    default:
      return Stage::kUnknown;
  }
}

std::string EnhancedText(const engine::smtp::EnhancedCode& code) {
  return code.present() ? fmt::format("{}.{}.{}", code.klass, code.subject, code.detail) : "";
}

Outcome Settler::Settle(const Job& job, const TryEnd& end) {
  const absl::Time now = rules(job).wall_clock();
  LedgerSlot slot = rules(job).ledger->Get(job.index);
  OutcomeNote note;
  note.outcome = end.outcome;
  const std::optional<absl::Duration> hint = Classify(rules(job), end, &note);
  slot.category = note.category;
  if (slot.first == 0) slot.first = static_cast<UnixSeconds>(absl::ToUnixSeconds(now));
  const bool throttled = ActionOf(note) == Action::kThrottle;
  if (end.counts_as_attempt && !throttled && slot.attempts < UINT8_MAX) ++slot.attempts;
  slot.code = end.reply.code;
  slot.stage = end.command;
  slot.due = 0;

  PutReply(end, now, &note);
  if (end.outcome == Outcome::kUncertain) slot.was_uncertain = true;
  if (note.outcome == Outcome::kDeferred || note.outcome == Outcome::kUncertain) {
    const RetrySchedule& retry = end.retry != nullptr ? *end.retry : rules(job).retry;
    Schedule(job, retry, static_cast<UnixSeconds>(absl::ToUnixSeconds(now)), hint, &slot, &note);
  }
  Write(job, slot, &note);
  return note.outcome;
}

// Also decides whether a refusal is one of the recipient's: a blocklist's 550 says nothing about
// him.
std::optional<absl::Duration> Settler::Classify(const SettleRules& rules, const TryEnd& end,
                                                OutcomeNote* note) const {
  if (end.outcome == Outcome::kSuppressed) {
    note->category = static_cast<uint8_t>(Category::kSuppressed);
  }
  const bool refused = end.outcome == Outcome::kBounced || end.outcome == Outcome::kDeferred;
  if (rules.classifier == nullptr || !refused) return std::nullopt;
  const std::string enhanced = EnhancedText(end.reply.enhanced);
  const auto meaning = rules.classifier->Classify({.provider = end.provider,
                                                   .stage = StageOf(end.command),
                                                   .code = end.reply.code.value(),
                                                   .enhanced = enhanced,
                                                   .text = end.reply.text});
  note->category = static_cast<uint8_t>(meaning.category);
  note->rule_bytes = static_cast<uint8_t>(meaning.rule.copy(note->rule.data(), note->rule.size()));
  const Action action = ActionOf(*note);
  if (action == Action::kThrottle || action == Action::kSuspend) note->outcome = Outcome::kDeferred;
  return meaning.retry_after;
}

void Settler::Schedule(const Job& job, const RetrySchedule& retry, UnixSeconds now,
                       std::optional<absl::Duration> hint, LedgerSlot* slot,
                       OutcomeNote* note) const {
  if (retry.give_up_after <= absl::ZeroDuration()) return;
  if (note->outcome == Outcome::kUncertain && rules(job).uncertain == UncertainPolicy::kSkip)
    return;
  const DeferredTry deferred{job.index, slot->attempts, slot->first, hint};
  if (const auto due = NextTry(retry, deferred, now)) {
    slot->due = note->due = *due;
  } else if (note->outcome == Outcome::kDeferred) {
    note->outcome = Outcome::kBounced;
    note->expired = true;
  }
}

void Settler::TakeBack(const Job& job) {
  LedgerSlot slot = rules(job).ledger->Get(job.index);
  if (slot.state != SlotState::kInFlight) return;
  slot.state = job.was;
  rules(job).ledger->Put(job.index, slot);
}

void Settler::PutOff(const Job& job, uint32_t lane, std::string_view why) {
  LedgerSlot slot = rules(job).ledger->Get(job.index);
  slot.stage = engine::smtp::CommandKind::kGreeting;
  slot.code = {};
  OutcomeNote note;
  note.unix_millis = absl::ToUnixMillis(rules(job).wall_clock());
  slot.due = note.due = static_cast<UnixSeconds>(note.unix_millis / 1000);
  note.lane = lane;
  note.command = engine::smtp::CommandKind::kGreeting;
  PutText(why, &note);
  Write(job, slot, &note);
}

void Settler::TellRefusal(const TryEnd& end) {
  OutcomeNote note;
  note.index = OutcomeNote::kNobody;
  note.outcome = Outcome::kDeferred;
  Classify(*rules_[0], end, &note);
  PutReply(end, rules_[0]->wall_clock(), &note);
  if (notes_.Push(note)) TellNotes();
}

void Settler::Write(const Job& job, const LedgerSlot& slot, OutcomeNote* note) {
  LedgerSlot settled = slot;
  settled.state = StateOf(note->outcome);
  rules(job).ledger->Put(job.index, settled);
  note->offset = job.offset;
  note->index = job.index;
  note->flow = job.flow;
  note->attempts = settled.attempts;
  note->category = settled.category;
  Count(job.flow, note->outcome, 1);
  // One that was deferred or uncertain before is so no more.
  if (job.was != SlotState::kPending) Count(job.flow, OutcomeOf(job.was), -1);
  while (!notes_.Push(*note)) {
    on_notes_();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  TellNotes();
}

void Settler::TellNotes() {
  const size_t enough = eager_.load(std::memory_order_relaxed) ? 1 : kNotes / 4;
  // Both sides use read-modify-write on it: either the coordinator sees the note when it looks once
  // more, or we see that it has gone.
  if (notes_.size_approx() >= enough && !told_.exchange(true, std::memory_order_acq_rel)) {
    on_notes_();
  }
}

bool Settler::TakeNote(OutcomeNote* note) {
  if (notes_.Pop(note)) return true;
  told_.exchange(false, std::memory_order_acq_rel);
  // What came between would tell nobody.
  return notes_.Pop(note);
}

}  // namespace volley::pipeline
