#include "engine/smtp/client.h"

#include <algorithm>
#include <utility>

#include "engine/smtp/client_command.h"
#include "engine/smtp/client_impl.h"
#include "fmt/format.h"

namespace volley::engine::smtp {
namespace {

constexpr uint16_t kServiceClosingCode = 421;
constexpr std::string_view kPlaintextAfterStartTls =
    "plaintext after STARTTLS: bytes came before the TLS handshake";

// RFC 5321 §3.2, §4.1.4: HELO is for a server that does not know EHLO, and for no other refusal.
bool MeansNoEhlo(ReplyCode code) {
  switch (code.value()) {
    case 500:
    case 501:
    case 502:
    case 504:
    case 550:
      return true;
    default:
      return false;
  }
}

}  // namespace

// --- In ---

Client::Impl::Impl(const ClientOptions* options, ClientObserver* observer)
    : options_(options), observer_(observer), credentials_(options->credentials) {
  slots_[1].slot = 1;
  Reset();
}

void Client::Impl::Reset() {
  Require(!AnyOpen(), "Reset() with an open transaction");
  parser_.Reset();
  output_.Reset();
  due_.DropAll(false);
  due_.Push({.text_end = 0, .count = 1, .kind = CommandKind::kGreeting, .slot = 0});
  state_ = State::kOpening;
  pipelining_ = chunking_ = quit_wanted_ = reset_needed_ = false;
  capabilities_ = {};
  tls_ = options_->tls == TlsPolicy::kImplicit;
  wants_tls_ = starttls_refused_ = authenticated_ = auth_cancelled_ = auth_required_ = false;
  token_renewal_may_help_ = true;
  auth_mechanism_.reset();
  auth_failure_ = sasl::AuthFailure::kNone;
  ForgetSecrets();
  latest_ = 0;
  held_.clear();
  mails_sent_ = transactions_done_ = 0;
  domains_.clear();
  quit_reason_ = CloseReason::kQuit;
  close_reason_ = CloseReason::kNone;
  close_code_ = {};
  error_.clear();
}

void Client::Impl::Receive(std::span<const char> bytes) {
  std::string_view input(bytes.data(), bytes.size());
  while (!input.empty() && !closed()) {
    // RFC 3207 §4.2, and CVE-2011-0411: what came in clear must not be read as if it had come in
    // TLS.
    if (wants_tls_) return ProtocolError(kPlaintextAfterStartTls);
    switch (parser_.Next(&input)) {
      case ReplyParser::Result::kNeedMore:
        break;
      case ReplyParser::Result::kReply:
        HandleReply(parser_.reply());
        break;
      case ReplyParser::Result::kError:
        ProtocolError(parser_.error());
        break;
    }
  }
}

// A reply to what has not even been handed to the transport cannot be its reply: the peer said
// something twice (as some do after BDAT LAST) or of its own accord. Taking it for an answer would
// shift every later one by a command, and make a delivery of a refusal.
void Client::Impl::HandleReply(const ReplyView& reply) {
  if (due_.empty() || due_.front().text_end > output_.text_taken()) return OnUnsolicited(reply);
  if (state_ == State::kOpening) TellOpeningReply(reply);
  if (reply.code.value() == kServiceClosingCode && due_.front().kind != CommandKind::kQuit) {
    return OnServiceClosing(reply);
  }
  NoteAuthRequired(reply);
  Dispatch(due_.Take(), reply);
  if (closed()) return;
  ReleaseHeld();
  MaybeQuit();
}

void Client::Impl::Dispatch(const DueReply& due, const ReplyView& reply) {
  OpenTransaction* open = &slots_[due.slot];
  switch (due.kind) {
    case CommandKind::kGreeting:
      return OnGreeting(reply);
    case CommandKind::kEhlo:
    case CommandKind::kHelo:
    case CommandKind::kLhlo:
      return OnHello(due.kind, reply);
    case CommandKind::kMail:
      return OnMail(open, reply);
    case CommandKind::kRcpt:
      return OnRcpt(open, reply);
    case CommandKind::kData:
      return OnData(open, reply);
    case CommandKind::kContent:
      return OnContent(open, reply);
    case CommandKind::kRset:
      return OnRset(reply);
    case CommandKind::kQuit:
      return OnQuit();
    case CommandKind::kStartTls:
      return OnStartTls(reply);
    case CommandKind::kAuth:
      return OnAuth(reply);
    case CommandKind::kNoop:
      break;  // never sent
  }
  Require(false, "a reply is due to a command that is never sent");
}

void Client::Impl::TellOpeningReply(const ReplyView& reply) {
  ReplyView told = reply;
  if (RepeatsSecret(reply.text)) told.text = kWordsHidden;
  observer_->OnOpeningReply(due_.front().kind, told);
}

void Client::Impl::OnUnsolicited(const ReplyView& reply) {
  if (reply.code.value() == kServiceClosingCode) {
    // RFC 5321 §3.8: a server may say 421 at any time, also between transactions.
    close_code_ = reply.code;
    error_ = ForPeople(CommandKind::kNoop, reply)
                 .replace(0, CommandName(CommandKind::kNoop).size(), "unsolicited");
    const bool all_is_well = state_ == State::kQuitting && !AnyOpen();
    return EndSession(all_is_well ? quit_reason_ : CloseReason::kServiceClosing, 0, reply);
  }
  ProtocolError(fmt::format("a reply that nothing asked for: {}", reply.code.value()));
}

void Client::Impl::OnServiceClosing(const ReplyView& reply) {
  // It stays: what the reply answered, for the verdicts on what is abandoned.
  const DueReply due = due_.front();
  if (auth_cancelled_) return EndSession(quit_reason_, 0, reply);
  close_code_ = reply.code;
  error_ = ForPeople(due.kind, reply);
  if (due.kind == CommandKind::kAuth) auth_failure_ = Classify(reply);
  // 421 to the final dot is an answer: not delivered. For all else the session's end is the reason.
  if (due.kind == CommandKind::kContent) JudgeContent(&slots_[due_.Take().slot], reply);
  EndSession(CloseReason::kServiceClosing, 0, reply);
}

void Client::Impl::OnOutputSent() {
  output_.OnSent();
  if (closed()) return;
  FinishDrain();
  ReleaseHeld();
  MaybeQuit();
}

void Client::Impl::OnConnectionClosed(uint64_t unsent_bytes, std::string_view why) {
  OnLost(CloseReason::kPeerClosed, unsent_bytes, why);
}

void Client::Impl::OnTimeout() { OnLost(CloseReason::kTimeout, 0, "no reply in time"); }

void Client::Impl::OnLost(CloseReason reason, uint64_t unsent_bytes, std::string_view why) {
  if (closed()) return;
  // RFC 5321 §4.1.1.10 has us wait for 221 but nothing depends on it any more.
  const bool why_is_known = state_ == State::kQuitting || auth_cancelled_;
  if (why_is_known && !AnyOpen()) return EndSession(quit_reason_, 0, {});
  error_ = why;
  if (wants_tls_) {
    error_ += " (in the TLS handshake)";
  } else if (!due_.empty()) {
    error_ += fmt::format(" (waiting for the reply to {})", CommandName(due_.front().kind));
  }
  EndSession(reason, unsent_bytes, {.code = {}, .enhanced = {}, .text = error_});
}

void Client::Impl::ProtocolError(std::string_view what) {
  error_ = what;
  EndSession(CloseReason::kProtocolError, 0, {.code = {}, .enhanced = {}, .text = error_});
}

void Client::Impl::UnexpectedReply(CommandKind kind, const ReplyView& reply) {
  close_code_ = reply.code;
  ProtocolError(fmt::format("unexpected reply to {}", ForPeople(kind, reply)));
}

void Client::Impl::EndSession(CloseReason reason, uint64_t unsent_bytes, const ReplyView& reply) {
  state_ = State::kClosed;
  close_reason_ = reason;
  const uint64_t bytes_left = output_.bytes_taken() - std::min(unsent_bytes, output_.bytes_taken());
  Abandon(&slots_[latest_ ^ 1], bytes_left, reply);  // the older one first
  Abandon(&slots_[latest_], bytes_left, reply);
  due_.DropAll(false);
  held_.clear();
  output_.Drop();
  wants_tls_ = false;
  ForgetSecrets();
}

// --- Opening ---

void Client::Impl::OnGreeting(const ReplyView& reply) {
  if (reply.code.intermediate()) return UnexpectedReply(CommandKind::kGreeting, reply);
  if (!reply.code.positive()) return Reject(CommandKind::kGreeting, reply);
  SendHello(lmtp() ? CommandKind::kLhlo : CommandKind::kEhlo);
}

void Client::Impl::SendHello(CommandKind kind) {
  if (!IsSafeHelo(options_->helo_name)) {
    return ProtocolError(
        "our own EHLO name cannot be sent: it is empty, too long or not printable");
  }
  output_.text()->append(CommandName(kind)).append(" ").append(options_->helo_name);
  QueueCommand(kind, "\r\n");
}

void Client::Impl::OnHello(CommandKind kind, const ReplyView& reply) {
  if (reply.code.intermediate()) return UnexpectedReply(kind, reply);
  if (reply.code.positive()) {
    TakeCapabilities(kind);
    return AfterHello();
  }
  // RFC 2033 §4.1: LMTP has no HELO to fall back to.
  if (kind == CommandKind::kEhlo && MeansNoEhlo(reply.code)) return SendHello(CommandKind::kHelo);
  Reject(kind, reply);
}

// RFC 5321 §4.1.4: the last EHLO's list is the only one that counts, and HELO's reply has none.
void Client::Impl::TakeCapabilities(CommandKind kind) {
  capabilities_ = {};
  const std::string_view first = parser_.line(0);
  capabilities_.greeting_name = first.substr(0, first.find(' '));
  if (kind == CommandKind::kHelo) return;
  for (size_t i = 1; i < parser_.line_count(); ++i) {
    capabilities_.ParseLine(parser_.line(i), options_->discard_ehlo_keywords);
  }
}

void Client::Impl::BecomeReady() {
  state_ = State::kReady;
  pipelining_ = capabilities_.pipelining && options_->use_pipelining;
  chunking_ = capabilities_.chunking && options_->use_chunking;
}

// RFC 5321 §3.1, §4.1.1.10: a refused client still says QUIT before it closes.
void Client::Impl::Reject(CommandKind kind, const ReplyView& reply) {
  close_code_ = reply.code;
  GiveUp(CloseReason::kRejected, ForPeople(kind, reply));
}

void Client::Impl::GiveUp(CloseReason reason, std::string words) {
  quit_reason_ = reason;
  error_ = std::move(words);
  QueueQuit();
}

// --- Between transactions, and the end ---

bool Client::Impl::FlightIsOpen() const {
  if (lockstep()) return !AnyOpen() && due_.empty();
  return latest().phase != Phase::kCommands;
}

void Client::Impl::Quit() {
  quit_wanted_ = true;
  MaybeQuit();
}

// RFC 9422 §4.1: after MAILMAX transactions the session has no further use.
void Client::Impl::MaybeQuit() {
  if (state_ == State::kReady && (quit_wanted_ || MailLimitReached()) && FlightIsOpen())
    QueueQuit();
}

void Client::Impl::QueueQuit() {
  // Behind a BDAT that may yet fail the first command has to be RSET (RFC 3030 §2).
  if (chunking_ && AnyOpen()) QueueReset();
  QueueCommand(CommandKind::kQuit, "QUIT\r\n");
  state_ = State::kQuitting;
}

void Client::Impl::QueueReset() {
  if (!reset_needed_ || state_ != State::kReady) return;
  reset_needed_ = false;
  QueueCommand(CommandKind::kRset, "RSET\r\n");
}

void Client::Impl::QueueCommand(CommandKind kind, std::string_view line) {
  output_.text()->append(line);
  due_.Push({.text_end = output_.text_end(), .count = 1, .kind = kind, .slot = 0});
}

// A RSET that failed may have left the old envelope open, and the MAIL behind it would be refused
// while its RCPTs were added to the old one.
void Client::Impl::OnRset(const ReplyView& reply) {
  if (!reply.code.positive()) UnexpectedReply(CommandKind::kRset, reply);
}

void Client::Impl::OnQuit() { EndSession(quit_reason_, 0, {}); }

std::optional<absl::Duration> Client::Impl::reply_timeout() const {
  const ClientTimeouts& timeouts = options_->timeouts;
  if (wants_tls_) return timeouts.tls_handshake;
  if (closed() || due_.empty()) return std::nullopt;
  const DueReply& due = due_.front();
  switch (due.kind) {
    case CommandKind::kGreeting:
      return timeouts.greeting;
    case CommandKind::kEhlo:
    case CommandKind::kHelo:
    case CommandKind::kLhlo:
      return timeouts.ehlo;
    case CommandKind::kMail:
      return timeouts.mail;
    case CommandKind::kRcpt:
      return timeouts.rcpt;
    case CommandKind::kData:
      return timeouts.data;
    case CommandKind::kContent: {
      const bool sent =
          TerminatorTaken(slots_[due.slot]) && output_.bytes_sent() >= TerminatorEnd();
      return sent ? timeouts.content : timeouts.data_block;
    }
    case CommandKind::kRset:
      return timeouts.rset;
    case CommandKind::kQuit:
      return timeouts.quit;
    case CommandKind::kStartTls:
      return timeouts.starttls;
    case CommandKind::kAuth:
      return timeouts.auth;
    case CommandKind::kNoop:
      break;
  }
  return timeouts.ehlo;
}

// --- The public face ---

Client::Client(const ClientOptions* options, ClientObserver* observer)
    : impl_(std::make_unique<Impl>(options, observer)) {}
Client::~Client() = default;
void Client::Reset() { impl_->Reset(); }
void Client::Receive(std::span<const char> bytes) { impl_->Receive(bytes); }
void Client::OnOutputSent() { impl_->OnOutputSent(); }
void Client::OnConnectionClosed(uint64_t unsent_bytes, std::string_view why) {
  impl_->OnConnectionClosed(unsent_bytes, why);
}
void Client::OnTimeout() { impl_->OnTimeout(); }
void Client::OnTlsEstablished() { impl_->OnTlsEstablished(); }
void Client::OnTlsFailed(std::string_view why) { impl_->OnTlsFailed(why); }
void Client::UseCredentials(const sasl::Credentials* credentials) {
  impl_->UseCredentials(credentials);
}
bool Client::wants_transaction() const { return impl_->wants_transaction(); }
void Client::Add(const Transaction& transaction) { impl_->Add(transaction); }
void Client::Quit() { impl_->Quit(); }
bool Client::has_output() const { return impl_->has_output(); }
size_t Client::TakeOutput(std::span<iovec> out) { return impl_->TakeOutput(out); }
bool Client::ready() const { return impl_->ready(); }
bool Client::idle() const { return impl_->idle(); }
bool Client::closed() const { return impl_->closed(); }
CloseReason Client::close_reason() const { return impl_->close_reason(); }
std::optional<absl::Duration> Client::reply_timeout() const { return impl_->reply_timeout(); }
const Capabilities& Client::capabilities() const { return impl_->capabilities(); }
bool Client::wants_tls() const { return impl_->wants_tls(); }
bool Client::tls() const { return impl_->tls(); }
bool Client::authenticated() const { return impl_->authenticated(); }
std::optional<sasl::Mechanism> Client::auth_mechanism() const { return impl_->auth_mechanism(); }
sasl::AuthFailure Client::auth_failure() const { return impl_->auth_failure(); }
bool Client::token_renewal_may_help() const { return impl_->token_renewal_may_help(); }
bool Client::auth_required() const { return impl_->auth_required(); }
uint32_t Client::transactions_done() const { return impl_->transactions_done(); }
ReplyCode Client::close_code() const { return impl_->close_code(); }
std::string_view Client::error() const { return impl_->error(); }

}  // namespace volley::engine::smtp
