#include "pipeline/shard/recorder.h"

#include <utility>

#include "engine/bounce/category.h"

namespace volley::pipeline {
namespace {

using engine::bounce::Category;

struct SuppressAfter {
  Category category;
  uint32_t count;
  absl::Duration window;
  bool distinct_campaigns;
};

const SuppressAfter kSuppressAfter[] = {
    {Category::kRecipientUnknown, 1, absl::InfiniteDuration(), false},
    {Category::kRecipientMoved, 1, absl::InfiniteDuration(), false},
    {Category::kRecipientInactive, 2, absl::Hours(30 * 24), false},
    {Category::kMailboxFull, 3, absl::InfiniteDuration(), true},
    {Category::kDomainInvalid, 1, absl::InfiniteDuration(), false},
    {Category::kUnknown, 5, absl::InfiniteDuration(), false},
};

std::vector<BounceThreshold> Thresholds() {
  std::vector<BounceThreshold> thresholds;
  for (const SuppressAfter& after : kSuppressAfter) {
    thresholds.push_back({std::string(engine::bounce::InfoOf(after.category).name), after.count,
                          after.window, after.distinct_campaigns});
  }
  return thresholds;
}

// A domain is gone for certain where the name service said so (RFC 3463: X.1.2; RFC 7505: X.1.10);
// a relay that just cannot reach it says other things.
bool DomainIsGone(const engine::smtp::EnhancedCode& enhanced) {
  return enhanced.klass == 5 && enhanced.subject == 1 &&
         (enhanced.detail == 2 || enhanced.detail == 10);
}

}  // namespace

absl::Status Recorder::Open(absl::Time now) {
  const std::string& dir = campaign_->dir();
  auto events = EventLog::Open(dir, campaign_->id(), events_options_);
  if (!events.ok()) return events.status();
  events_ = *std::move(events);
  undelivered_.set_path(dir + "/undelivered.csv");
  rejected_.set_path(dir + "/rejected.csv");
  if (!state_dir_.empty() && history_ == nullptr) {
    auto history = BounceHistory::Open(state_dir_, Thresholds());
    if (!history.ok()) return history.status();
    history_ = *std::move(history);
  }
  constexpr std::string_view kWhy = "volley was stopped before the reply was read";
  OutcomeNote note;
  note.outcome = Outcome::kUncertain;
  note.command = engine::smtp::CommandKind::kContent;
  note.unix_millis = absl::ToUnixMillis(now);
  note.text_bytes = static_cast<uint8_t>(kWhy.copy(note.text.data(), note.text.size()));
  for (const uint32_t index : ledger_->found_in_flight()) {
    const auto offset = campaign_->recipients().FindOffset(index);
    if (!offset.ok()) return offset.status();
    note.offset = *offset;
    note.index = index;
    note.attempts = ledger_->Get(index).attempts;
    Record(note, "");
  }
  return Flush();
}

void Recorder::Record(const OutcomeNote& note, std::string_view way) {
  const bool found = campaign_->recipients().ReadAt(note.offset, &record_).ok();
  const std::string_view address = found ? record_.address : "(unreadable record)";
  const std::string_view category =
      engine::bounce::InfoOf(static_cast<Category>(note.category)).name;
  events_->Add(note, address, way, category);
  if (found && history_ != nullptr) CountBounce(note, address, category);
  if (note.outcome == Outcome::kDelivered) return;
  // One that is tried again may still be delivered: ListUnsettled().
  if (IsTriedAgain(StateOf(note.outcome))) return undelivered_.Remember(note);
  undelivered_.Add(address, note);
  if (note.outcome == Outcome::kUnrenderable) {
    rejected_.Add(found ? record_.source_line : 0, address, note.text_view());
  }
}

void Recorder::RecordChange(const LimitChange& change, absl::Time now) {
  if (events_ == nullptr) return;
  const std::pair<std::string_view, std::string_view> fields[] = {
      {"lane", change.lane}, {"what", change.what},   {"from", change.from},
      {"to", change.to},     {"cause", change.cause}, {"rule", change.rule}};
  events_->AddOther(absl::ToUnixMillis(now), "throttled",
                    {fields, change.rule.empty() ? std::size(fields) - 1 : std::size(fields)});
}

void Recorder::CountBounce(const OutcomeNote& note, std::string_view address,
                           std::string_view category) {
  const bool delivered = note.outcome == Outcome::kDelivered;
  if (delivered ? !history_->Counts(address) : note.outcome != Outcome::kBounced) return;
  if (static_cast<Category>(note.category) == Category::kDomainInvalid &&
      !DomainIsGone(note.enhanced)) {
    return;
  }
  bounces_.push_back({std::string(address), delivered ? std::string_view() : category,
                      absl::FromUnixMillis(note.unix_millis)});
  if (bounces_.size() >= kBouncesMax) WriteBounces();
}

// On failure they are kept, and the error stops the campaign.
void Recorder::WriteBounces() {
  if (bounces_.empty() || !bounces_status_.ok()) return;
  std::vector<BounceEvent> events;
  for (const Bounce& bounce : bounces_) {
    events.push_back({.address = bounce.address,
                      .category = bounce.category,
                      .campaign = campaign_->id(),
                      .at = bounce.at,
                      .kind = bounce.category.empty() ? BounceEvent::Kind::kDelivered
                                                      : BounceEvent::Kind::kReplied});
  }
  const auto decisions = history_->RecordBatch(events, "bounce in campaign " + campaign_->id());
  bounces_status_ = decisions.status();
  if (!decisions.ok()) return;
  suppressed_ += decisions->size();
  bounces_.clear();
}

bool Recorder::IsTriedAgain(SlotState state) const {
  return state == SlotState::kDeferred ||
         (state == SlotState::kUncertain && uncertain_ == UncertainPolicy::kResend);
}

absl::Status Recorder::ListUnsettled() {
  for (uint32_t i = 0; i < ledger_->size(); ++i) {
    if (!IsTriedAgain(ledger_->StateAt(i))) continue;
    const auto offset = campaign_->recipients().FindOffset(i);
    if (!offset.ok()) return offset.status();
    const auto next = campaign_->recipients().ReadAt(*offset, &record_);
    if (!next.ok()) return next.status();
    undelivered_.AddUnsettled(record_.address, ledger_->Get(i));
  }
  return absl::OkStatus();
}

absl::Status Recorder::Flush() {
  WriteBounces();
  absl::Status flushed = events_->Flush();
  flushed.Update(undelivered_.Flush());
  flushed.Update(rejected_.Flush());
  flushed.Update(bounces_status_);
  return flushed;
}

absl::Status Recorder::status() const {
  absl::Status status = events_->status();
  status.Update(undelivered_.status());
  status.Update(bounces_status_);
  return status;
}

}  // namespace volley::pipeline
