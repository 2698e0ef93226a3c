#include "engine/smtp/server.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/smtp/server_impl.h"

namespace volley::engine::smtp {
namespace {

// An over-long line is read to its CRLF to stay in step, but not for ever.
constexpr size_t kLongLineMax = 64 << 10;
// A peer that sends commands and reads no replies must not fill our memory.
constexpr size_t kUnsentRepliesMax = 64 << 10;

// One past the LF of the first CRLF, 0 if there is none. `after_cr`: the byte before was a CR.
size_t FindLineEnd(std::span<const char> bytes, bool after_cr) {
  for (size_t from = 0; from < bytes.size();) {
    const void* found = std::memchr(bytes.data() + from, '\n', bytes.size() - from);
    if (found == nullptr) return 0;
    const size_t at = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (at == 0 ? after_cr : bytes[at - 1] == '\r') return at + 1;
    from = at + 1;
  }
  return 0;
}

bool HasBareControl(std::string_view line) {
  if (line.empty()) return false;
  const auto has = [&](char c) { return std::memchr(line.data(), c, line.size()) != nullptr; };
  return has('\r') || has('\n') || has('\0');
}

// RFC 2920 §3.1: only RSET, MAIL and RCPT (SEND, SOML, SAML) may stand anywhere in a group. BDAT
// brings its own data with it and may be followed (RFC 3030 §4.2). An unknown verb says nothing
// about what follows it.
bool IsLastInGroup(Verb verb) {
  switch (verb) {
    case Verb::kEhlo:
    case Verb::kHelo:
    case Verb::kLhlo:
    case Verb::kData:
    case Verb::kNoop:
    case Verb::kVrfy:
    case Verb::kExpn:
    case Verb::kHelp:
    case Verb::kQuit:
    case Verb::kKnown:
      return true;
    default:
      return false;
  }
}

std::string_view OwnWords(ReplyCode code) {
  switch (code.value()) {
    case 421:
      return "service not available, closing the connection";
    case 450:
      return "mailbox unavailable, try again later";
    case 451:
      return "local error, try again later";
    case 452:
      return "insufficient system storage, try again later";
    case 550:
      return "mailbox unavailable";
    case 552:
      return "message too large";
    case 554:
      return "transaction failed";
    default:
      return code.positive() ? "ok" : code.transient() ? "try again later" : "refused";
  }
}

}  // namespace

// --- Session ---

void Server::Impl::Reset() {
  OnConnectionClosed();
  replies_.Clear();
  phase_ = Phase::kCommand;
  hello_done_ = extended_ = closed_ = quit_ = false;
  mails_seen_ = protocol_errors_ = 0;
  sync_end_ = 0;
  line_bytes_ = 0;
}

void Server::Impl::Start() {
  const std::string_view space = options_.banner_text.empty() ? "" : " ";
  std::string text(options_.hostname);
  text.append(space).append(options_.banner_text);
  Say(220, {}, text);
  sync_end_ = replies_.end();
}

void Server::Impl::OnConnectionClosed() {
  DropTransaction();
  closed_ = true;
}

void Server::Impl::EndSession(const ServerReply& reply) {
  if (closed_) return;
  Respond(reply, {}, "");
  DropTransaction();
  closed_ = true;
}

void Server::Impl::DropTransaction() {
  mail_open_ = false;
  transaction_ = Transaction();
  if (!handler_open_) return;
  handler_open_ = false;
  handler_.OnReset();
}

// --- Input ---

void Server::Impl::Receive(Bytes bytes) {
  while (!bytes.empty() && !closed_) {
    if (replies_.taken() < sync_end_) return RefuseEarlyInput();
    switch (phase_) {
      case Phase::kCommand:
        bytes = ReadLine(bytes);
        break;
      case Phase::kLongLine:
        bytes = ReadLongLine(bytes);
        break;
      case Phase::kData:
        bytes = ReadData(bytes);
        break;
      case Phase::kChunk:
        bytes = ReadChunk(bytes);
        break;
    }
    if (!closed_ && replies_.pending() > kUnsentRepliesMax)
      Close("too many replies unread", {4, 7, 0});
  }
  if (quit_ && !bytes.empty()) {
    quit_ = false;  // said once
    ++protocol_errors_;
  }
}

// RFC 2920 §3.1. Going on would be worse than closing: behind a DATA that was refused the content
// would be read as commands, behind a 354 nobody read it may be a smuggled message.
void Server::Impl::RefuseEarlyInput() {
  ++protocol_errors_;
  Say(554, {5, 5, 0},
      "input before the reply it had to wait for (RFC 2920), closing the connection");
  DropTransaction();
  closed_ = true;
}

Server::Impl::Bytes Server::Impl::ReadLine(Bytes bytes) {
  const bool after_cr = line_bytes_ > 0 && line_[line_bytes_ - 1] == '\r';
  const size_t end = FindLineEnd(bytes, after_cr);
  const size_t taken = end == 0 ? bytes.size() : end;
  if (line_bytes_ + taken > line_.size()) {
    phase_ = Phase::kLongLine;
    long_after_cr_ = after_cr;
    return bytes;
  }
  if (end == 0) {
    KeepPartialLine(bytes);
  } else if (line_bytes_ == 0) {
    HandleLine({bytes.data(), end - 2});
  } else {
    KeepPartialLine(bytes.first(end));
    const size_t size = line_bytes_ - 2;
    line_bytes_ = 0;
    HandleLine({line_.data(), size});
  }
  return bytes.subspan(taken);
}

void Server::Impl::KeepPartialLine(Bytes bytes) {
  std::memcpy(line_.data() + line_bytes_, bytes.data(), bytes.size());
  line_bytes_ += bytes.size();
}

// RFC 5321 §4.5.3.1.9: "500 Line too long", once, when its end is found.
Server::Impl::Bytes Server::Impl::ReadLongLine(Bytes bytes) {
  const size_t end = FindLineEnd(bytes, long_after_cr_);
  const size_t taken = end == 0 ? bytes.size() : end;
  line_bytes_ += taken;
  long_after_cr_ = bytes[taken - 1] == '\r';
  if (line_bytes_ > kLongLineMax) {
    ++protocol_errors_;
    Say(500, kSyntax, "line too long");
    Close("no end of line", {4, 7, 0});
  } else if (end != 0) {
    phase_ = Phase::kCommand;
    line_bytes_ = 0;
    Error(500, kSyntax, "line too long");
    if (!pipelining()) sync_end_ = replies_.end();
  }
  return bytes.subspan(taken);
}

Server::Impl::Bytes Server::Impl::ReadData(Bytes bytes) {
  while (!bytes.empty()) {
    const ContentScanner::Piece piece = scanner_.Next(bytes);
    Keep(piece.content);
    bytes = bytes.subspan(piece.consumed);
    if (piece.ended) {
      EndData();
      break;
    }
  }
  return bytes;
}

Server::Impl::Bytes Server::Impl::ReadChunk(Bytes bytes) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), chunk_.left));
  if (chunk_.refusal == ReplyCode()) Keep(scanner_.Next(bytes.first(taken)).content);
  chunk_.left -= taken;
  if (chunk_.left == 0) EndChunk();
  return bytes.subspan(taken);
}

void Server::Impl::HandleLine(std::string_view line) {
  const CommandLine command = SplitCommand(line);
  const size_t line_max = command.verb == Verb::kMail && extended_ ? kMailLineMax : kLineMax;
  if (line.size() + 2 > line_max) {
    Error(500, kSyntax, "line too long");
  } else if (HasBareControl(line)) {
    // RFC 5321 §2.3.8: CR and LF only together. What looks like two commands to someone else is
    // one bad line here.
    Error(500, kSyntax, "bare CR, bare LF or NUL in a command line");
  } else {
    Dispatch(command);
  }
  if (!pipelining() || IsLastInGroup(command.verb)) sync_end_ = replies_.end();
}

// --- Replies ---

void Server::Impl::Say(ReplyCode code, EnhancedCode enhanced, std::string_view text, bool more) {
  // RFC 2034 §4: on every 2yz, 4yz and 5yz reply but those to the connection and to EHLO or HELO.
  replies_.Add(code, options_.enhanced_status_codes ? enhanced : EnhancedCode(), text, more);
}

void Server::Impl::Respond(const ServerReply& reply, EnhancedCode own_code,
                           std::string_view own_words) {
  const bool broken = reply.code.value() < 200 || reply.code.value() > 599;
  const ReplyCode code = broken ? ReplyCode(451) : reply.code;
  EnhancedCode enhanced = broken ? EnhancedCode() : reply.enhanced;
  std::string_view text = broken ? std::string_view() : reply.text;
  const bool own = code.positive() && own_code.present();
  if (!enhanced.present() && code.first_digit() != 3) {
    enhanced = own ? own_code : EnhancedCode{static_cast<uint8_t>(code.first_digit()), 0, 0};
  }
  if (text.empty()) text = own ? own_words : OwnWords(code);
  Say(code, enhanced, text);
  if (reply.then_close) {
    DropTransaction();
    closed_ = true;
  }
}

void Server::Impl::Error(uint16_t code, EnhancedCode enhanced, std::string_view text) {
  Say(code, enhanced, text);
  CountError();
}

void Server::Impl::CountError() {
  ++protocol_errors_;
  if (closed_ || options_.protocol_errors_max == 0) return;
  if (protocol_errors_ >= options_.protocol_errors_max) Close("too many errors", {4, 7, 0});
}

// RFC 5321 §3.8, §4.2.3: "421 <domain> ...".
void Server::Impl::Close(std::string_view why, EnhancedCode enhanced) {
  Say(421, enhanced, options_.hostname + " " + std::string(why) + ", closing the connection");
  DropTransaction();
  closed_ = true;
}

// --- Server ---

Server::Server(const ServerOptions* options, ServerHandler* handler)
    : impl_(std::make_unique<Impl>(options, handler)) {}
Server::~Server() = default;

void Server::Reset() { impl_->Reset(); }
void Server::Start() { impl_->Start(); }
void Server::Receive(std::span<const char> bytes) { impl_->Receive(bytes); }
void Server::OnConnectionClosed() { impl_->OnConnectionClosed(); }
bool Server::has_output() const { return !impl_->replies().empty(); }
std::string_view Server::TakeOutput(size_t max_bytes) { return impl_->replies().Take(max_bytes); }
void Server::OnOutputSent() { impl_->replies().Sent(); }
uint64_t Server::output_end() const { return impl_->replies().end(); }
uint64_t Server::output_taken() const { return impl_->replies().taken(); }
void Server::EndSession(const ServerReply& reply) { impl_->EndSession(reply); }
bool Server::in_transaction() const { return impl_->in_transaction(); }
bool Server::closed() const { return impl_->closed(); }
uint32_t Server::protocol_errors() const { return impl_->protocol_errors(); }

}  // namespace volley::engine::smtp
