#include "pipeline/settle/settler.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace volley::pipeline {
namespace {

void PutText(std::string_view text, OutcomeNote* note) {
  note->text_bytes = static_cast<uint8_t>(std::min(text.size(), OutcomeNote::kMaxText));
  std::copy_n(text.data(), note->text_bytes, note->text.data());
}

}  // namespace

Outcome Settler::Settle(const Job& job, const TryEnd& end) {
  const absl::Time now = rules_->wall_clock();
  LedgerSlot slot = rules_->ledger->Get(job.index);
  if (slot.first == 0) slot.first = static_cast<UnixSeconds>(absl::ToUnixSeconds(now));
  if (end.counts_as_attempt && slot.attempts < UINT8_MAX) ++slot.attempts;
  slot.code = end.reply.code;
  slot.stage = end.command;
  slot.due = 0;

  OutcomeNote note;
  note.unix_millis = absl::ToUnixMillis(now);
  note.outcome = end.outcome;
  note.lane = end.lane;
  note.command = end.command;
  note.code = end.reply.code;
  note.enhanced = end.reply.enhanced;
  PutText(end.reply.text, &note);

  if (end.outcome == Outcome::kUncertain) slot.was_uncertain = true;
  if (end.outcome == Outcome::kDeferred || end.outcome == Outcome::kUncertain) {
    Schedule(job, static_cast<UnixSeconds>(absl::ToUnixSeconds(now)), &slot, &note);
  }
  Write(job, slot, &note);
  return note.outcome;
}

void Settler::Schedule(const Job& job, UnixSeconds now, LedgerSlot* slot, OutcomeNote* note) const {
  if (rules_->retry.give_up_after <= absl::ZeroDuration()) return;
  if (note->outcome == Outcome::kUncertain && rules_->uncertain == UncertainPolicy::kSkip) return;
  const DeferredTry deferred{job.index, slot->attempts, slot->first, {}};
  if (const auto due = NextTry(rules_->retry, deferred, now)) {
    slot->due = note->due = *due;
  } else if (note->outcome == Outcome::kDeferred) {
    note->outcome = Outcome::kBounced;
    note->expired = true;
  }
}

void Settler::TakeBack(const Job& job) {
  LedgerSlot slot = rules_->ledger->Get(job.index);
  if (slot.state != SlotState::kInFlight) return;
  slot.state = job.was;
  rules_->ledger->Put(job.index, slot);
}

void Settler::PutOff(const Job& job, uint16_t lane, std::string_view why) {
  LedgerSlot slot = rules_->ledger->Get(job.index);
  slot.stage = engine::smtp::CommandKind::kGreeting;
  slot.code = {};
  OutcomeNote note;
  note.unix_millis = absl::ToUnixMillis(rules_->wall_clock());
  slot.due = note.due = static_cast<UnixSeconds>(note.unix_millis / 1000);
  note.lane = lane;
  note.command = engine::smtp::CommandKind::kGreeting;
  PutText(why, &note);
  Write(job, slot, &note);
}

void Settler::Write(const Job& job, const LedgerSlot& slot, OutcomeNote* note) {
  LedgerSlot settled = slot;
  settled.state = StateOf(note->outcome);
  rules_->ledger->Put(job.index, settled);
  note->offset = job.offset;
  note->index = job.index;
  note->attempts = settled.attempts;
  note->category = settled.category;
  Count(note->outcome, 1);
  // One that was deferred or uncertain before is so no more.
  if (job.was != SlotState::kPending) Count(OutcomeOf(job.was), -1);
  while (!notes_.Push(*note)) {
    on_notes_();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
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
