#include "pipeline/deliver/session.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <string_view>
#include <utility>

#include "io/base/check.h"

namespace volley::pipeline {

using engine::smtp::CommandKind;
using engine::smtp::Verdict;
using engine::smtp::VerdictKind;

Session::Session(Lane* lane) : lane_(lane), client_(&lane->options_.client, this) {}

Session::~Session() { VOLLEY_CHECK(!stream_.valid()); }

void Session::Open(const io::Endpoint& peer) {
  VOLLEY_CHECK(!stream_.valid());
  client_.Reset();
  added_ = 0;
  close_note_.clear();
  sending_ = closing_ = was_ready_ = idle_listed_ = false;
  io::ConnectOptions options;
  options.timeout = lane_->options_.connect_timeout;
  stream_ = lane_->reactor_->Connect(peer, options, this);
}

void Session::CloseUnlessReady() {
  if (!stream_.valid() || was_ready_ || closing_) return;
  close_note_ = "stopped";
  closing_ = true;
  lane_->reactor_->CancelTimer(this);
  lane_->reactor_->Close(stream_);
}

void Session::OnConnected() { SetReplyTimer(); }

void Session::OnData(std::span<const char> bytes) {
  client_.Receive(bytes);
  if (!was_ready_ && client_.ready()) {
    was_ready_ = true;
    lane_->OnSessionReady();
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
  idle_listed_ = false;
  FillWindow();
  SendOutput();
  if (client_.closed() && !sending_) {
    closing_ = true;
    lane_->reactor_->CancelTimer(this);
    lane_->reactor_->Close(stream_);
    return;
  }
  SetReplyTimer();
  if (client_.idle() && !idle_listed_) {
    idle_listed_ = true;
    lane_->OnSessionIdle(this);
  }
}

bool Session::MessageLimitReached() const {
  const uint32_t max = lane_->options_.messages_per_connection;
  return max != 0 && added_ >= max;
}

void Session::FillWindow() {
  while (client_.wants_transaction()) {
    if (MessageLimitReached() || lane_->draining_) return client_.Quit();
    const uint32_t slot = FindFreeSlot();
    if (slot == kTransactionSlots) return;  // memory of an earlier one is still being sent
    if (!AddNextJob(slot)) {
      if (lane_->no_more_jobs()) client_.Quit();
      return;
    }
  }
}

// Takes jobs until one can be composed; false when there is none.
bool Session::AddNextJob(uint32_t slot_index) {
  Slot& slot = slots_[slot_index];
  while (lane_->TakeJob(&slot.job)) {
    auto message = lane_->TakeMessage();
    RecipientRecord& record = lane_->record_;
    absl::Status status = lane_->campaign_->recipients().ReadAt(slot.job.offset, &record).status();
    if (status.ok()) status = lane_->campaign_->Compose(record, message.get());
    if (!status.ok()) {
      const std::string why(status.message());
      lane_->ReturnMessage(std::move(message));
      --lane_->in_flight_;
      lane_->settler_->Settle(slot.job, Outcome::kUnrenderable, CommandKind::kContent,
                              {{}, {}, why});
      continue;
    }
    slot.message = std::move(message);
    slot.ended = false;
    ++added_;
    const std::string_view recipient = record.address;
    engine::smtp::Transaction transaction;
    transaction.tag = slot_index;
    transaction.reverse_path = lane_->campaign_->reverse_path();
    transaction.recipients = {&recipient, 1};
    transaction.content = slot.message->pieces();
    transaction.content_bytes = slot.message->bytes();
    transaction.eight_bit = slot.message->eight_bit();
    transaction.smtputf8 = slot.message->needs_smtputf8() || record.needs_smtputf8;
    transaction.dot_free = slot.message->dot_free();
    client_.Add(transaction);
    return true;
  }
  return false;
}

void Session::SendOutput() {
  if (sending_ || !client_.has_output()) return;
  std::array<iovec, io::Reactor::kMaxSendPieces> pieces;
  const size_t n = client_.TakeOutput(pieces);
  if (n == 0) return;
  sending_ = true;
  lane_->reactor_->Send(stream_, {pieces.data(), n});
}

void Session::SetReplyTimer() {
  if (const auto timeout = client_.reply_timeout()) {
    lane_->reactor_->SetTimer(this, lane_->reactor_->Now() + *timeout);
  } else {
    lane_->reactor_->CancelTimer(this);
  }
}

void Session::OnTimer() {
  if (closing_) return;
  close_note_ = "no reply in time";
  client_.OnTimeout();
  closing_ = true;
  lane_->reactor_->Close(stream_);
}

void Session::OnPeerClosed() {
  if (closing_) return;
  close_note_ = "the peer closed the connection";
  closing_ = true;
  lane_->reactor_->CancelTimer(this);
  lane_->reactor_->Close(stream_);
}

std::string Session::WhyEnded(const io::CloseInfo& info) const {
  if (client_.close_reason() != engine::smtp::CloseReason::kNone && !client_.error().empty() &&
      client_.close_reason() != engine::smtp::CloseReason::kPeerClosed) {
    return client_.close_code().value() == 0
               ? std::string(client_.error())
               : fmt::format("it answered {} {}", client_.close_code().value(), client_.error());
  }
  if (!info.status.ok()) return std::string(info.status.message());
  return close_note_.empty() ? "closed" : close_note_;
}

void Session::OnClosed(const io::CloseInfo& info) {
  lane_->reactor_->CancelTimer(this);
  closing_ = true;
  sending_ = false;
  stream_ = {};
  std::string why = WhyEnded(info);
  client_.OnConnectionClosed(info.unsent_bytes, why);
  FreeEndedSlots();
  for (const Slot& slot : slots_) VOLLEY_CHECK(slot.message == nullptr);
  lane_->OnSessionEnded(this, was_ready_, std::move(why));
}

void Session::OnVerdict(const Verdict& verdict) {
  const Slot& slot = slots_[verdict.tag];
  if (verdict.kind == VerdictKind::kRetry && !verdict.counts_as_attempt) {
    return lane_->GiveBack(slot.job, verdict.command, verdict.reply);
  }
  --lane_->in_flight_;
  switch (verdict.kind) {
    case VerdictKind::kDelivered:
      return lane_->settler_->Delivered();
    case VerdictKind::kFailed:
      return lane_->settler_->Settle(slot.job, Outcome::kBounced, verdict.command, verdict.reply);
    case VerdictKind::kRetry:
      return lane_->settler_->Settle(slot.job, Outcome::kDeferred, verdict.command, verdict.reply);
    case VerdictKind::kUnknown:
      return lane_->settler_->Settle(slot.job, Outcome::kUncertain, verdict.command, verdict.reply);
  }
}

void Session::OnTransactionEnd(uint64_t tag) {
  Slot& slot = slots_[tag];
  slot.ended = true;
  if (!sending_) lane_->ReturnMessage(std::move(slot.message));
}

void Session::FreeEndedSlots() {
  for (Slot& slot : slots_) {
    if (slot.message != nullptr && slot.ended) lane_->ReturnMessage(std::move(slot.message));
  }
}

uint32_t Session::FindFreeSlot() const {
  uint32_t i = 0;
  while (i < kTransactionSlots && slots_[i].message != nullptr) ++i;
  return i;
}

}  // namespace volley::pipeline
