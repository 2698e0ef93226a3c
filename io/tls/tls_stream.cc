#include "io/tls/tls_stream.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "io/base/check.h"

namespace volley::io {

using Step = TlsEngine::Step;

TlsStream::TlsStream(Channel* channel, TlsClientContext* context, const TlsConnectOptions& options)
    : channel_(channel), engine_(context, options), handshake_timeout_(options.handshake_timeout) {}

TlsStream::TlsStream(Channel* channel, TlsServerContext* context, const TlsAcceptOptions& options)
    : channel_(channel), engine_(context), handshake_timeout_(options.handshake_timeout) {}

// Also without OnClosed, after the reactor's own destruction.
TlsStream::~TlsStream() { plaintext_.Release(engine_.buffers().send_blocks()); }

// --- the handshake -------------------------------------------------------------------------------

void TlsStream::OnConnected() {
  corked_ = true;
  handler().OnConnected();
  corked_ = false;
  if (state_ == State::kConnecting) return Begin();
  Settle();
}

void TlsStream::Begin() {
  state_ = State::kHandshake;
  reactor().SetTimer(this, reactor().Now() + handshake_timeout_);
  // Not DriveHandshake(): nothing can be finished yet, and a failure must not call back from here.
  if (engine_.Handshake() == Step::kFailed) Fail(TlsFailure::kHandshakeFailed, "");
  Settle();
}

void TlsStream::DriveHandshake() {
  const Step step = engine_.Handshake();
  if (step == Step::kWantsInput) return;
  if (step == Step::kFailed) return Fail(TlsFailure::kHandshakeFailed, "");
  reactor().CancelTimer(this);
  state_ = State::kOpen;
  // Our last flight still waits in the output: what the handler sends now leaves with it.
  handler().OnTlsReady(engine_.MakeInfo());
}

void TlsStream::OnTimer() {
  if (state_ == State::kHandshake) {
    Fail(TlsFailure::kTimeout, std::string(TlsFailureWords(TlsFailure::kTimeout)));
    return Settle();
  }
  CloseStream();
}

// --- receiving -----------------------------------------------------------------------------------

void TlsStream::OnData(std::span<const char> bytes) {
  if (!IsOpen() || peer_ended_) return;
  corked_ = true;
  engine_.Feed(bytes);
  if (state_ == State::kHandshake) DriveHandshake();
  if (state_ == State::kOpen) ReadAll();
  engine_.Feed({});
  corked_ = false;
  Settle();
}

void TlsStream::ReadAll() {
  const std::span<char> into = engine_.buffers().plaintext_in();
  while (state_ == State::kOpen) {
    size_t count = 0;
    const Step step = engine_.Read(into, &count);
    if (count != 0) handler().OnData({into.data(), count});
    if (state_ != State::kOpen || step == Step::kWantsInput) return;
    if (step == Step::kFailed) return Fail(TlsFailure::kBadRecord, "");
    if (step == Step::kEnded) {
      peer_ended_ = true;
      return handler().OnPeerClosed();
    }
  }
}

void TlsStream::OnPeerClosed() {
  if (!IsOpen() || peer_ended_) return;
  const TlsFailure failure =
      state_ == State::kOpen ? TlsFailure::kTruncated : TlsFailure::kPeerClosed;
  Fail(failure, std::string(TlsFailureWords(failure)));
  Settle();
}

// --- sending -------------------------------------------------------------------------------------

void TlsStream::Send(std::span<const iovec> pieces) {
  if (!IsOpen() && sending_) return;
  VOLLEY_CHECK(state_ >= State::kOpen);
  VOLLEY_CHECK(!sending_ && !write_ended_);
  sending_ = true;
  // Also where the stream is lost: it counts as unsent.
  plaintext_.Begin(pieces, engine_.buffers().send_blocks());
  if (!corked_) Settle();
}

void TlsStream::EncryptMore() {
  while (plaintext_.remaining() != 0 && record_count_ < records_.size() &&
         engine_.output().queued() < kTlsSendBytesMax) {
    if (!EncryptRecord()) return;
  }
}

bool TlsStream::EncryptRecord() {
  const iovec bytes = NextPlaintext();
  const Step step = engine_.Write(static_cast<const char*>(bytes.iov_base), bytes.iov_len);
  if (step == Step::kFailed) Fail(TlsFailure::kBadRecord, "");
  if (step != Step::kDone) return false;
  plaintext_.Advance(bytes.iov_len, engine_.buffers().send_blocks());
  records_[record_count_++] = {engine_.output().appended(), static_cast<uint32_t>(bytes.iov_len)};
  return true;
}

// The next record's bytes: where they lie if one piece fills the record or is the last, else put
// together, because a record costs as much as copying a few KB and small ones tell an eavesdropper
// where commands end.
iovec TlsStream::NextPlaintext() {
  const size_t most = engine_.record_bytes_max();
  const std::span<const iovec> pieces = plaintext_.pieces();
  if (pieces.size() == 1 || pieces[0].iov_len >= most) {
    return {pieces[0].iov_base, std::min(pieces[0].iov_len, most)};
  }
  const auto gathered = engine_.buffers().plaintext_out();
  size_t count = 0;
  for (const iovec& piece : pieces) {
    const size_t part = std::min(piece.iov_len, most - count);
    std::memcpy(gathered.data() + count, piece.iov_base, part);
    count += part;
    if (count == most) break;
  }
  return {gathered.data(), count};
}

void TlsStream::OnSent() {
  TlsOutput& output = engine_.output();
  output.Sent();
  const auto left = std::find_if(records_.begin(), records_.begin() + record_count_,
                                 [&](const Record& r) { return r.end > output.given(); });
  std::move(left, records_.begin() + record_count_, records_.begin());
  record_count_ -= static_cast<uint32_t>(left - records_.begin());
  if (sending_ && state_ == State::kOpen && plaintext_.remaining() == 0 && record_count_ == 0) {
    FinishSend();
  }
  Settle();
}

void TlsStream::FinishSend() {
  sending_ = false;
  corked_ = true;
  handler().OnSent();
  corked_ = false;
}

// --- the end -------------------------------------------------------------------------------------

void TlsStream::ShutdownWrite() {
  if (!IsOpen() || write_ended_) return;
  write_ended_ = true;
  if (!corked_) Settle();
}

void TlsStream::Close() {
  if (!IsOpen()) return;
  closed_by_us_ = true;
  // In the middle of a Send the rest of a record may be in flight: the peer must see that the
  // conversation was cut, and does by the missing close_notify.
  if (state_ == State::kOpen && !sending_) {
    if (!half_closed_) engine_.EndWrite();
    BeginEnd();
    if (!corked_) Settle();
    return;
  }
  CloseStream();
}

void TlsStream::Fail(TlsFailure failure, std::string message) {
  channel_->error_ = std::make_unique<TlsError>(engine_.TakeError(failure, std::move(message)));
  BeginEnd();
}

void TlsStream::BeginEnd() {
  state_ = State::kEnding;
  reactor().SetTimer(this, reactor().Now() + kTlsCloseLinger);
}

void TlsStream::Settle() {
  if (state_ == State::kOpen) EncryptMore();
  if (state_ == State::kOpen && write_ended_ && !sending_ && !half_closed_) {
    half_closed_ = true;
    engine_.EndWrite();
  }
  TlsOutput& output = engine_.output();
  if (output.in_flight() || state_ == State::kClosing) return;
  if (!fin_sent_) FlushOutput();
  if (output.in_flight() || state_ != State::kEnding) return;
  CloseStream();
}

// After our FIN nothing can go out, also no alert.
void TlsStream::FlushOutput() {
  TlsOutput& output = engine_.output();
  if (output.waiting() != 0) {
    std::array<iovec, TlsOutput::kPiecesMax> pieces;
    reactor().Send(channel_->id_, output.Give(pieces));
  }
  if (!half_closed_) return;
  fin_sent_ = true;
  reactor().ShutdownWrite(channel_->id_);  // behind the Send
}

void TlsStream::CloseStream() {
  reactor().CancelTimer(this);
  state_ = State::kClosing;
  reactor().Close(channel_->id_);
}

void TlsStream::OnClosed(const CloseInfo& info) {
  reactor().CancelTimer(this);
  CloseInfo told = info;
  told.unsent_bytes = UnsentBytes(info);
  told.status = CloseStatus(info);
  Channel* const channel = channel_;
  // Before the handler is called: it may connect anew, or end the channel and the context.
  channel->tls_.reset();  // this
  channel->handler_->OnClosed(told);
}

uint64_t TlsStream::UnsentBytes(const CloseInfo& info) const {
  const uint64_t taken = engine_.output().given() - info.unsent_bytes;
  uint64_t unsent = plaintext_.remaining();
  for (uint32_t i = 0; i < record_count_; ++i) {
    // A part of a record is nothing to the peer: it cannot be authenticated.
    if (records_[i].end > taken) unsent += records_[i].bytes;
  }
  return unsent;
}

absl::Status TlsStream::CloseStatus(const CloseInfo& info) {
  if (closed_by_us_) return absl::OkStatus();
  if (state_ == State::kHandshake && channel_->error_ == nullptr) {
    channel_->error_ = std::make_unique<TlsError>(
        engine_.TakeError(TlsFailure::kPeerClosed, std::string(info.status.message())));
  }
  if (channel_->error_ == nullptr) return info.status;
  const std::string& message = channel_->error_->message;
  switch (channel_->error_->failure) {
    case TlsFailure::kTimeout:
      return absl::DeadlineExceededError(message);
    case TlsFailure::kPeerClosed:
    case TlsFailure::kTruncated:
      return absl::UnavailableError(message);
    default:
      return absl::FailedPreconditionError(message);
  }
}

}  // namespace volley::io
