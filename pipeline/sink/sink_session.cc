#include "pipeline/sink/sink_session.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <utility>

namespace volley::pipeline {
namespace {

using engine::smtp::EnhancedCode;
using engine::smtp::MailParameters;
using engine::smtp::ReplyCode;
using engine::smtp::ServerReply;

// How long the last replies may take to be read, and how long a peer may take to close behind them.
constexpr absl::Duration kEndingMax = absl::Seconds(5);
constexpr absl::Duration kLingerMax = absl::Seconds(2);
// The same while the sink stops: nobody should wait for a peer that has nothing to lose any more.
constexpr absl::Duration kLingerMaxStopping = absl::Milliseconds(200);

// The idle time is moved with every read, but no more often than this: it need not be exact.
constexpr absl::Duration kDeadlineSlack = absl::Seconds(1);

ServerReply Ok() { return {ReplyCode(250), {}, {}, false}; }
ServerReply StorageTrouble() {
  return {ReplyCode(451), {4, 3, 0}, "cannot store the message", false};
}

}  // namespace

SinkShared::SinkShared(io::Reactor* reactor_in, SinkOptions options_in)
    : reactor(*reactor_in),
      options(std::move(options_in)),
      replies(reactor_in, options.reply_latency, [this](const SinkFlight& f) { Release(f); }),
      greetings(reactor_in, 2 * options.reply_latency,
                [this](const SinkFlight& f) { Release(f); }) {
  if (options.tls) tls = std::make_unique<io::TlsServerContext>(options.tls);
}

void SinkShared::Notice(const std::string& text, bool* told) {
  if (!*told && options.on_notice) options.on_notice(text);
  *told = true;
}

SinkSession::SinkSession(SinkShared* shared, uint32_t index)
    : shared_(*shared),
      index_(index),
      channel_(&shared->reactor, this),
      server_(&shared->options.server, this),
      deadline_(this) {}

// --- The connection ---

io::StreamHandler* SinkSession::Open(io::StreamId stream, const io::Endpoint& peer) {
  channel_.Adopt(stream);
  ++generation_;
  open_ = true;
  sending_ = ending_ = lingering_ = peer_closed_ = false;
  scheduled_ = released_ = 0;
  errors_seen_ = 0;
  if (shared_.journal) peer_ = peer.ToString();
  helo_.clear();
  server_.Reset();
  server_.Start();
  shared_.reactor.SetTimer(&deadline_, shared_.reactor.Now() + shared_.options.idle_timeout);
  handshaking_ = shared_.tls != nullptr;
  if (handshaking_) {
    channel_.StartTlsServer(shared_.tls.get(), {});
  } else {
    Schedule(&shared_.greetings);
  }
  return channel_.stream_handler();
}

void SinkSession::OnTlsReady(const io::TlsInfo&) {
  handshaking_ = false;
  Schedule(&shared_.greetings);
}

void SinkSession::OnData(std::span<const char> bytes) {
  if (lingering_) return;
  server_.Receive(bytes);
  shared_.counters.protocol_errors += server_.protocol_errors() - errors_seen_;
  errors_seen_ = server_.protocol_errors();
  if (shared_.say_goodbye) Dismiss();
  const io::MonoTime deadline = shared_.reactor.Now() + shared_.options.idle_timeout;
  if (!ending_ && deadline - deadline_.deadline() >= kDeadlineSlack) {
    shared_.reactor.SetTimer(&deadline_, deadline);
  }
  Schedule(&shared_.replies);
  SendReplies();
}

// Gives the replies made since the last time their time to leave.
void SinkSession::Schedule(DelayLine<SinkFlight>* line) {
  const uint64_t end = server_.output_end();
  if (end == scheduled_) return;
  scheduled_ = end;
  const SinkFlight flight{index_, generation_, end};
  if (line->delay() <= absl::ZeroDuration()) {
    Release(flight);
  } else {
    line->Add(flight);
  }
}

void SinkSession::Release(const SinkFlight& flight) {
  if (!open_ || flight.generation != generation_) return;
  released_ = std::max(released_, flight.output_end);
  SendReplies();
}

void SinkSession::SendReplies() {
  if (sending_ || lingering_ || handshaking_ || !open_) return;
  const uint64_t taken = server_.output_taken();
  if (taken < released_) {
    const std::string_view bytes = server_.TakeOutput(released_ - taken);
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    sending_ = true;
    channel_.Send({&piece, 1});
  } else if (server_.closed() && taken == server_.output_end()) {
    Finish();
  }
}

void SinkSession::OnSent() {
  sending_ = false;
  server_.OnOutputSent();
  SendReplies();
}

void SinkSession::Finish() {
  if (peer_closed_) return Close();
  lingering_ = true;
  channel_.ShutdownWrite();
  Linger();
}

void SinkSession::Linger() {
  const absl::Duration most = shared_.say_goodbye ? kLingerMaxStopping : kLingerMax;
  shared_.reactor.SetTimer(&deadline_, shared_.reactor.Now() + most);
}

// RFC 5321 §4.1.1.5: as if QUIT had come. What was pipelined before is still answered.
void SinkSession::OnPeerClosed() {
  peer_closed_ = true;
  if (lingering_) return Close();
  server_.OnConnectionClosed();
  SendReplies();
}

void SinkSession::OnClosed(const io::CloseInfo&) {
  server_.OnConnectionClosed();
  if (sending_) server_.OnOutputSent();
  open_ = false;
  shared_.reactor.CancelTimer(&deadline_);
  shared_.OnSessionClosed(this);
}

void SinkSession::OnDeadline() {
  if (ending_ || lingering_) return Close();
  End(421, {4, 4, 2}, "idle too long");  // RFC 5321 §4.5.3.2.7, §3.8
}

void SinkSession::Dismiss() {
  if (lingering_ && open_) return Linger();
  if (!server_.in_transaction()) End(421, {4, 3, 2}, "shutting down");
}

void SinkSession::End(uint16_t code, EnhancedCode enhanced, std::string_view why) {
  if (!open_ || ending_ || lingering_) return;
  if (handshaking_) return Close();  // nothing can be said yet
  ending_ = true;
  const std::string text =
      fmt::format("{} {}, closing the connection", shared_.options.server.hostname, why);
  server_.EndSession({ReplyCode(code), enhanced, text, false});
  shared_.reactor.SetTimer(&deadline_,
                           shared_.reactor.Now() + kEndingMax + 2 * shared_.options.reply_latency);
  Schedule(&shared_.replies);
  SendReplies();
}

// Replies that are still on their way (reply_latency) are not sent any more.
void SinkSession::Close() {
  lingering_ = true;
  if (open_) channel_.Close();
}

// --- The messages ---

ServerReply SinkSession::OnHello(std::string_view helo) {
  if (shared_.journal) helo_ = helo;
  return Ok();
}

ServerReply SinkSession::OnMail(std::string_view reverse_path, const MailParameters&) {
  if (shared_.no_new_mail) return {ReplyCode(421), {4, 3, 2}, "shutting down", true};
  if (shared_.journal) mail_from_ = reverse_path;
  return Ok();
}

ServerReply SinkSession::OnRcpt(std::string_view forward_path) {
  if (shared_.options.on_rcpt) {
    const ServerReply reply = shared_.options.on_rcpt(forward_path);
    if (reply.code.value() != 0) return reply;
  }
  ++recipients_;
  if (shared_.journal) rcpt_to_.emplace_back(forward_path);
  return Ok();
}

void SinkSession::OnContent(std::span<const char> bytes) {
  content_bytes_ += bytes.size();
  if (shared_.maildir && StartMessage()) store_failed_ = !Check(message_.Append(bytes));
}

// LMTP asks for each recipient: the one file is for all of them.
ServerReply SinkSession::OnContentEnd(uint32_t recipient) {
  if (shared_.options.on_message) {
    const ServerReply reply = shared_.options.on_message();
    if (reply.code.value() != 0) {
      ForgetMessage();
      return reply;
    }
  }
  if (recipient == 0 && StoreMessage()) {
    ++shared_.counters.messages;
    shared_.counters.recipients += recipients_;
    shared_.counters.bytes += content_bytes_;
    shared_.OnMessage();
  }
  const bool last = shared_.options.server.protocol != engine::smtp::Protocol::kLmtp ||
                    recipient + 1 == recipients_;
  const bool stored = !store_failed_;
  if (last) ForgetMessage();
  return stored ? Ok() : StorageTrouble();
}

void SinkSession::OnReset() { ForgetMessage(); }

bool SinkSession::StartMessage() {
  if (!store_failed_ && !message_.started()) {
    store_failed_ = !Check(message_.Start(shared_.maildir.get(), shared_.options.wall_clock()));
  }
  return !store_failed_;
}

bool SinkSession::StoreMessage() {
  if (shared_.maildir && StartMessage()) store_failed_ = !Check(message_.Commit());
  if (shared_.journal && !store_failed_) {
    store_failed_ = !Check(shared_.journal->Append(
        {shared_.options.wall_clock(), peer_, helo_, mail_from_, rcpt_to_, content_bytes_}));
  }
  return !store_failed_;
}

bool SinkSession::Check(const absl::Status& status) {
  if (!status.ok()) {
    shared_.Notice(fmt::format("messages are refused with 451: {}", std::string(status.message())),
                   &shared_.storage_told);
  }
  return status.ok();
}

void SinkSession::ForgetMessage() {
  message_.Abort();
  rcpt_to_.clear();
  recipients_ = 0;
  content_bytes_ = 0;
  store_failed_ = false;
}

}  // namespace volley::pipeline
