#include "pipeline/deliver/session.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <string_view>
#include <utility>

#include "engine/sasl/reply.h"
#include "io/base/check.h"

namespace volley::pipeline {

using engine::smtp::CommandKind;
using engine::smtp::Verdict;
using engine::smtp::VerdictKind;
constexpr uint16_t kAuthRequiredCode = 530;
constexpr uint16_t kServiceClosingCode = 421;
constexpr uint16_t kGoingAwayRetriesMax = 2;
constexpr std::string_view kNoTlsContext = "TLS cannot be set up on this host";

namespace {

Outcome OutcomeOf(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::kDelivered:
      return Outcome::kDelivered;
    case VerdictKind::kFailed:
      return Outcome::kBounced;
    case VerdictKind::kRetry:
      return Outcome::kDeferred;
    case VerdictKind::kUnknown:
      break;
  }
  return Outcome::kUncertain;
}

}  // namespace

Session::Session(Lane* lane)
    : lane_(lane), client_(&lane->client_options_, this), channel_(lane->reactor_, this) {}

Session::~Session() { VOLLEY_CHECK(!open_); }

void Session::Open(const io::Endpoint& peer, ConnectionLease place) {
  VOLLEY_CHECK(!open_);
  place_ = std::move(place);
  const Relay& relay = lane_->options_.relay;
  open_ = true;
  client_.Reset();
  if (relay.credentials != nullptr) {
    credentials_ = relay.credentials->current();
    client_.UseCredentials(&credentials_->credentials);
  }
  added_ = 0;
  closes_ = false;
  close_note_.clear();
  sending_ = closing_ = was_ready_ = handshaking_ = idle_listed_ = false;
  io::ConnectOptions options;
  options.timeout = lane_->options_.connect_timeout;
  options.local = lane_->options_.source;
  if (relay.tls == engine::smtp::TlsPolicy::kImplicit) {
    handshaking_ = true;
    channel_.ConnectTls(peer, options, lane_->TlsContext(), relay.tls_options);
  } else {
    channel_.Connect(peer, options);
  }
}

void Session::Close(std::string_view note) {
  if (closing_) return;
  close_note_ = note;
  closing_ = true;
  lane_->reactor_->CancelTimer(this);
  channel_.Close();
}

void Session::CloseUnlessReady() {
  if (open_ && !was_ready_) Close("stopped");
}

// A handshake has its own time limit.
void Session::OnConnected() {
  if (!handshaking_) SetReplyTimer();
}

// The reply to STARTTLS may be heard before the kernel has told us that it took the command.
void Session::StartTls() {
  if (sending_ || handshaking_) return;
  handshaking_ = true;
  lane_->reactor_->CancelTimer(this);
  io::TlsClientContext* context = lane_->TlsContext();
  if (context == nullptr) return Close(kNoTlsContext);
  channel_.StartTls(context, lane_->options_.relay.tls_options);
}

void Session::OnTlsReady(const io::TlsInfo& info) {
  handshaking_ = false;
  lane_->OnSessionTls(info);
  if (client_.wants_tls()) client_.OnTlsEstablished();
  Pump();
}

void Session::OnData(std::span<const char> bytes) {
  client_.Receive(bytes);
  if (!was_ready_ && client_.ready()) {
    was_ready_ = true;
    lane_->OnSessionReady(client_);
  }
  Pump();
}

void Session::OnSent() {
  sending_ = false;
  client_.OnOutputSent();
  FreeEndedSlots();
  Pump();
}

void Session::Pump() {
  if (closing_) return;
  if (client_.wants_tls()) return StartTls();
  const bool was_idle = std::exchange(idle_listed_, false);
  FillWindow();
  SendOutput();
  if (client_.closed()) return Close("");  // also while a peer that has ended takes no more bytes
  if (!was_idle) idle_since_ = lane_->reactor_->Now();
  SetReplyTimer();
  if (client_.idle() && !idle_listed_) {
    idle_listed_ = true;
    lane_->OnSessionIdle(this);
  }
}

bool Session::MessageLimitReached() const {
  const auto reached = [this](uint32_t max) { return max != 0 && added_ >= max; };
  if (closes_ || reached(lane_->options_.messages_per_connection)) return true;
  if (!place_.held()) return false;
  return reached(place_.messages_per_connection()) ||
         (added_ >= kYieldAfter && lane_->open_ > 1 && place_.wanted());
}

void Session::FillWindow() {
  while (client_.wants_transaction()) {
    if (MessageLimitReached() || lane_->takes_no_jobs()) return client_.Quit();
    const uint32_t slot = FindFreeSlot();
    if (slot == kTransactionSlots) return;  // memory of an earlier one is still being sent
    if (!AddNextJob(slot)) {
      if (lane_->no_more_jobs()) client_.Quit();
      return;
    }
  }
}

// Takes jobs until one is to be sent and can be composed; false when there is none.
bool Session::AddNextJob(uint32_t slot_index) {
  Slot& slot = slots_[slot_index];
  while (lane_->TakeJob(&slot.job, &slot.permit)) {
    auto copy = lane_->TakeCopy();
    const Press::Made made = lane_->press_->Make(slot.job, copy.get());
    if (made.outcome) {
      lane_->ReturnCopy(std::move(copy));
      lane_->ReturnPermit(&slot.permit);
      lane_->Settle(slot.job, *made.outcome, CommandKind::kContent, {{}, {}, made.why});
      continue;
    }
    slot.copy = std::move(copy);
    slot.ended = false;
    slot.composed = lane_->reactor_->Now();
    ++added_;
    Add(slot_index, *made.record);
    return true;
  }
  return false;
}

void Session::Add(uint32_t slot, const RecipientRecord& record) {
  const Copy& copy = *slots_[slot].copy;
  const std::string_view recipient = record.address;
  engine::smtp::Transaction transaction;
  transaction.tag = slot;
  transaction.reverse_path = copy.reverse_path;
  transaction.recipients = {&recipient, 1};
  transaction.content = copy.message.pieces();
  transaction.content_bytes = copy.message.bytes();
  transaction.eight_bit = copy.message.eight_bit();
  transaction.smtputf8 = copy.message.needs_smtputf8() || record.needs_smtputf8;
  transaction.dot_free = copy.message.dot_free();
  client_.Add(transaction);
}

void Session::SendOutput() {
  if (sending_ || !client_.has_output()) return;
  std::array<iovec, io::Reactor::kMaxSendPieces> pieces;
  const size_t n = client_.TakeOutput(pieces);
  if (n == 0) return;
  sending_ = true;
  channel_.Send({pieces.data(), n});
}

void Session::SetReplyTimer() {
  if (const auto timeout = client_.reply_timeout()) {
    lane_->reactor_->SetTimer(this, lane_->reactor_->Now() + *timeout);
  } else if (sending_) {  // a peer that stops reading is not waited for without end
    lane_->reactor_->SetTimer(this,
                              lane_->reactor_->Now() + lane_->client_options_.timeouts.data_block);
  } else if (client_.idle()) {
    lane_->reactor_->SetTimer(this, idle_since_ + (place_.wanted() ? kIdleWanted : kIdleMax));
  } else {
    lane_->reactor_->CancelTimer(this);
  }
}

void Session::OnTimer() {
  if (closing_) return;
  if (client_.idle()) {
    client_.Quit();
    return Pump();
  }
  client_.OnTimeout();
  Close("no reply in time");
}

void Session::OnPeerClosed() { Close("the peer closed the connection"); }

std::string Session::WhyEnded(const io::CloseInfo& info) const {
  using engine::smtp::CloseReason;
  const CloseReason reason = client_.close_reason();
  if (reason != CloseReason::kNone && !client_.error().empty() &&
      reason != CloseReason::kPeerClosed) {
    std::string why(client_.error());
    if (client_.close_code().value() != 0 && reason == CloseReason::kRejected) {
      why = fmt::format("it answered {} {}", client_.close_code().value(), why);
    }
    const std::string_view advice = engine::sasl::Advice(client_.auth_failure());
    return advice.empty() ? why : fmt::format("{}. {}", why, advice);
  }
  if (!info.status.ok()) return std::string(info.status.message());
  return close_note_.empty() ? "closed" : close_note_;
}

void Session::NoteTlsFailure(SessionEnd* end) {
  std::string why;
  if (const io::TlsError* error = channel_.tls_error()) {
    why = fmt::format("TLS: {}", error->message);
  } else if (close_note_ == kNoTlsContext) {
    why = close_note_;
  } else {
    return;  // it did not get that far
  }
  end->tls_failed = true;
  client_.OnTlsFailed(why);
}

void Session::OnClosed(const io::CloseInfo& info) {
  lane_->reactor_->CancelTimer(this);
  closing_ = true;
  sending_ = open_ = false;
  SessionEnd end;
  end.was_ready = was_ready_;
  if (handshaking_) NoteTlsFailure(&end);
  client_.OnConnectionClosed(info.unsent_bytes, WhyEnded(info));
  end.why = WhyEnded(info);  // that a refused client's QUIT was not answered is not why
  end.code = client_.close_code();
  end.place_was_wanted = place_.wanted();
  place_.Release();
  end.auth_failure = client_.auth_failure();
  if (credentials_ != nullptr) end.credentials_version = credentials_->version;
  client_.UseCredentials(nullptr);
  credentials_.reset();
  FreeEndedSlots();
  for (const Slot& slot : slots_) VOLLEY_CHECK(slot.copy == nullptr);
  lane_->OnSessionEnded(this, end);
}

void Session::GiveBack(Slot& slot, const Verdict& verdict) {
  lane_->ReturnPermit(&slot.permit);
  lane_->press_->Keep(slot.job, *slot.copy);
  lane_->GiveBack(slot.job, verdict.command, verdict.reply);
}

// 530: MAIL is not for us before a log-in (RFC 4954 §6) or STARTTLS (RFC 3207 §4): about the
// session, not about the message.
void Session::OnVerdict(const Verdict& verdict) {
  Slot& slot = slots_[verdict.tag];
  if (verdict.reply.code.value() == kAuthRequiredCode) {
    GiveBack(slot, verdict);
    return lane_->OnSessionRefused(verdict.reply.text, client_.auth_required());
  }
  if (verdict.kind == VerdictKind::kRetry && lane_->ClosesSession(verdict.command, verdict.reply)) {
    closes_ = true;
    // Where the first one is refused so, the next session fares no better.
    if (added_ > 1) return GiveBack(slot, verdict);
  }
  // 421 to the first message of a session: the relay goes away, and another may take it; but one
  // that always says so is not asked for ever. A provider's 421 is its answer.
  const bool going_away = verdict.reply.code.value() == kServiceClosingCode &&
                          lane_->options_.policy == nullptr &&
                          slot.job.free_retries < kGoingAwayRetriesMax;
  if (verdict.kind == VerdictKind::kRetry && (!verdict.counts_as_attempt || going_away)) {
    return GiveBack(slot, verdict);
  }
  lane_->Settle(slot.job, OutcomeOf(verdict.kind), verdict.command, verdict.reply,
                lane_->reactor_->Now() - slot.composed);
}

void Session::OnContentBegins(uint64_t tag) {
  LimitSet::Use(&slots_[tag].permit);
  lane_->Begin(slots_[tag].job);
}

void Session::OnTransactionEnd(uint64_t tag) {
  Slot& slot = slots_[tag];
  slot.ended = true;
  LimitSet::Use(&slot.permit);  // refused before its content: the server was asked all the same
  if (!sending_) lane_->ReturnCopy(std::move(slot.copy));
}

void Session::FreeEndedSlots() {
  for (Slot& slot : slots_) {
    if (slot.copy != nullptr && slot.ended) lane_->ReturnCopy(std::move(slot.copy));
  }
}

uint32_t Session::FindFreeSlot() const {
  uint32_t i = 0;
  while (i < kTransactionSlots && slots_[i].copy != nullptr) ++i;
  return i;
}

}  // namespace volley::pipeline
