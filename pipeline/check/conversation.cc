#include "pipeline/check/conversation.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "io/base/check.h"
#include "pipeline/check/explain.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CloseReason;
using engine::smtp::CommandKind;
using engine::smtp::TlsPolicy;

// A server that does not answer QUIT has done all that was wanted of it.
constexpr absl::Duration kQuitTimeout = absl::Seconds(3);

engine::smtp::ClientOptions MakeOptions(const Relay& relay, const io::Endpoint& peer,
                                        const Conversation::Options& options) {
  engine::smtp::ClientOptions client = MakeClientOptions(relay, peer);
  client.tls = options.tls;
  engine::smtp::ClientTimeouts& t = client.timeouts;
  t.greeting = t.ehlo = t.starttls = t.tls_handshake = t.auth = options.reply_timeout;
  t.mail = t.rcpt = t.data = t.data_block = t.content = t.rset = options.reply_timeout;
  t.quit = std::min(kQuitTimeout, options.reply_timeout);
  return client;
}

// What the client says next, by the first words of its output. Base64 of AUTH holds neither a space
// nor a line end in its midst, so it is none of these.
std::optional<CommandKind> CommandOf(std::string_view output) {
  constexpr std::pair<std::string_view, CommandKind> kCommands[] = {
      {"EHLO ", CommandKind::kEhlo}, {"HELO ", CommandKind::kHelo},
      {"LHLO ", CommandKind::kLhlo}, {"STARTTLS\r\n", CommandKind::kStartTls},
      {"AUTH ", CommandKind::kAuth}, {"MAIL ", CommandKind::kMail},
      {"RCPT ", CommandKind::kRcpt}, {"RSET\r\n", CommandKind::kRset},
  };
  for (const auto& [words, kind] : kCommands) {
    if (output.starts_with(words)) return kind;
  }
  return std::nullopt;
}

std::string_view StepOf(CommandKind command) {
  switch (command) {
    case CommandKind::kEhlo:
    case CommandKind::kHelo:
    case CommandKind::kLhlo:
      return "ehlo";
    case CommandKind::kStartTls:
      return "tls";
    case CommandKind::kAuth:
      return "auth";
    case CommandKind::kMail:
      return "mail";
    case CommandKind::kRcpt:
      return "rcpt";
    default:
      return "reset";
  }
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

}  // namespace

std::string HeardReply::Words() const {
  std::string words = fmt::format("{}", code.value());
  if (enhanced.present()) {
    words += fmt::format(" {}.{}.{}", enhanced.klass, enhanced.subject, enhanced.detail);
  }
  return text.empty() ? words : words + " " + text;
}

Conversation::Conversation(io::Reactor* reactor, io::TlsClientContext* tls, const Relay* relay,
                           const ShownText* shown, const io::Endpoint& peer, const Options& options)
    : reactor_(reactor),
      tls_(tls),
      relay_(relay),
      shown_(shown),
      peer_(peer),
      options_(options),
      client_options_(MakeOptions(*relay, peer, options)),
      credentials_(relay->credentials == nullptr || options.only_tls
                       ? nullptr
                       : relay->credentials->current()),
      client_(&client_options_, this),
      channel_(reactor, this) {
  if (credentials_ != nullptr) client_.UseCredentials(&credentials_->credentials);
}

void Conversation::Start() {
  io::ConnectOptions connect;
  connect.timeout = options_.connect_timeout;
  step_began_ = reactor_->Now();
  if (options_.tls != TlsPolicy::kImplicit) return channel_.Connect(peer_, connect);
  handshaking_ = true;
  io::TlsConnectOptions tls = relay_->tls_options;
  tls.handshake_timeout = options_.reply_timeout;
  channel_.ConnectTls(peer_, connect, tls_, tls);
}

// --- Steps ---

absl::Duration Conversation::SinceStep() const { return reactor_->Now() - step_began_; }

void Conversation::BeginStep(std::string_view name) {
  step_ = name;
  step_began_ = reactor_->Now();
}

void Conversation::EndStep(std::string detail, bool ok) {
  steps_.push_back({std::string(step_), ok, SinceStep(), std::move(detail)});
  step_began_ = reactor_->Now();
}

std::vector<Step> Conversation::TakeSteps() { return std::exchange(steps_, {}); }

bool Conversation::WaitsForGreeting() const {
  return connected_ && !ended_ && !heard_anything_ && step_ == "greeting";
}

HeardReply Conversation::Heard(const engine::smtp::ReplyView& reply) const {
  return {reply.code, reply.enhanced, (*shown_)(reply.text), SinceStep()};
}

void Conversation::OnOpeningReply(CommandKind command, const engine::smtp::ReplyView& reply) {
  opening_.push_back({command, Heard(reply)});
}

// After the client has acted on them: what a reply offers is known then.
void Conversation::NoteReplies() {
  const std::vector<OpeningReply> heard = std::exchange(opening_, {});
  for (const OpeningReply& opening : heard) NoteReply(opening.command, opening.reply);
}

void Conversation::NoteReply(CommandKind command, const HeardReply& reply) {
  switch (command) {
    case CommandKind::kGreeting:
      if (!reply.code.positive()) return;
      EndStep(reply.Words());
      return BeginStep("ehlo");
    case CommandKind::kEhlo:
    case CommandKind::kHelo:
    case CommandKind::kLhlo:
      if (reply.code.positive()) NoteHello();
      return;
    case CommandKind::kStartTls:
      if (reply.code.value() == 220 || options_.tls == TlsPolicy::kRequired) return;
      return EndStep("STARTTLS was refused, so mail goes in clear: " + reply.Words(), false);
    case CommandKind::kAuth:
      if (!client_.authenticated()) return;
      return EndStep(fmt::format("{} as {}", engine::sasl::MechanismName(*client_.auth_mechanism()),
                                 (*shown_)(credentials_->credentials.user)));
    default:
      return;
  }
}

void Conversation::NoteHello() {
  const engine::smtp::Capabilities& offered = client_.capabilities();
  const absl::Duration took = SinceStep();
  round_trip_ = std::min(round_trip_, took);
  std::string detail =
      (*shown_)(offered.greeting_name) + " offers " + ListCapabilities(offered, *shown_);
  const bool wants_tls = !client_.tls() && (options_.tls == TlsPolicy::kOpportunistic ||
                                            options_.tls == TlsPolicy::kRequired);
  // What is offered before TLS counts for nothing behind it (RFC 3207 §4.2).
  if (!(wants_tls && offered.starttls)) {
    detail += "\n" + Lines(ExplainCapabilities(offered, std::min(round_trip_, connect_time_)));
  }
  EndStep(std::move(detail));
  if (wants_tls && !offered.starttls && options_.tls == TlsPolicy::kOpportunistic) {
    steps_.push_back({"tls", true, {}, "not offered: mail goes in clear"});
  }
}

// --- What the transport tells ---

void Conversation::OnConnected() {
  connected_ = true;
  connect_time_ = SinceStep();
  BeginStep(handshaking_ ? "tls" : "greeting");
  if (!handshaking_) SetReplyTimer();
}

void Conversation::OnTlsReady(const io::TlsInfo& info) {
  handshaking_ = false;
  tls_info_ = info;
  EndStep(Lines(ExplainTls(info, absl::Now())));
  const bool in_midst = client_.wants_tls();
  BeginStep(in_midst ? "ehlo" : "greeting");
  if (in_midst) client_.OnTlsEstablished();
  if (options_.only_tls) client_.Quit();
  Pump();
}

void Conversation::OnData(std::span<const char> bytes) {
  if (closing_) return;
  heard_anything_ = true;
  if (own_command_) {
    TakeOwnReply(bytes);
  } else {
    client_.Receive(bytes);
    NoteReplies();
  }
  Pump();
}

void Conversation::OnSent() {
  sending_ = false;
  if (own_sending_) {
    own_sending_ = false;
  } else {
    client_.OnOutputSent();
  }
  Pump();
}

void Conversation::OnPeerClosed() { Close("the server closed the connection"); }

void Conversation::OnTimer() {
  if (closing_) return;
  if (own_command_) {
    own_end_ = CloseReason::kTimeout;
  } else {
    client_.OnTimeout();
  }
  Close("no reply in time");
}

void Conversation::Close(std::string_view note) {
  if (closing_) return;
  close_note_ = note;
  closing_ = true;
  ended_after_ = SinceStep();
  reactor_->CancelTimer(this);
  channel_.Close();
}

void Conversation::OnClosed(const io::CloseInfo& info) {
  reactor_->CancelTimer(this);
  if (!closing_) ended_after_ = SinceStep();
  closing_ = ended_ = true;
  sending_ = false;
  if (!connected_) {
    const bool timed_out = info.status.code() == absl::StatusCode::kDeadlineExceeded ||
                           info.sys_errno == ETIMEDOUT || close_note_ == "no reply in time";
    connect_time_ = ended_after_;
    connect_failure_ = {
        info.sys_errno, timed_out, connect_time_,
        (*shown_)(info.status.message().empty() ? std::string_view(close_note_)
                                                : std::string_view(info.status.message().data(),
                                                                   info.status.message().size()))};
  }
  if (handshaking_ && channel_.tls_error() != nullptr) {
    client_.OnTlsFailed(channel_.tls_error()->message);
  }
  const std::string why = WhyEnded(info);
  client_.OnConnectionClosed(info.unsent_bytes, why);
  if (own_command_ && own_end_ == CloseReason::kNone) own_end_ = CloseReason::kPeerClosed;
  if (own_end_ != CloseReason::kNone) {
    end_words_ =
        fmt::format("{} (waiting for the reply to {})", why, engine::smtp::CommandName(stage_));
  } else {
    end_words_ = (*shown_)(client_.error().empty() ? std::string_view(why) : client_.error());
  }
}

std::string Conversation::WhyEnded(const io::CloseInfo& info) const {
  if (!close_note_.empty()) return close_note_;
  if (!info.status.ok()) return std::string(info.status.message());
  return "closed";
}

// --- The conversation ---

void Conversation::Pump() {
  if (closing_) return;
  if (client_.wants_tls()) return StartTls();
  SendOutput();
  if (client_.closed() && !sending_) return Close("");
  SetReplyTimer();
}

// The reply to STARTTLS may be heard before the kernel has told us that it took the command.
void Conversation::StartTls() {
  if (sending_ || handshaking_) return;
  handshaking_ = true;
  reactor_->CancelTimer(this);
  io::TlsConnectOptions tls = relay_->tls_options;
  tls.handshake_timeout = options_.reply_timeout;
  channel_.StartTls(tls_, tls);
}

void Conversation::SendOutput() {
  if (sending_ || !client_.has_output()) return;
  std::array<iovec, io::Reactor::kMaxSendPieces> pieces;
  const size_t n = client_.TakeOutput(pieces);
  if (n == 0) return;
  NoteCommand({static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len});
  sending_ = true;
  channel_.Send({pieces.data(), n});
}

// A QUIT leaves it as it was: where something has failed, it is the client's way out.
void Conversation::NoteCommand(std::string_view output) {
  const std::optional<CommandKind> command = CommandOf(output);
  if (!command) return;
  stage_ = *command;
  if (step_ != "message") BeginStep(StepOf(*command));
}

void Conversation::SetReplyTimer() {
  const auto due = own_command_ ? options_.reply_timeout : client_.reply_timeout();
  if (due) {
    reactor_->SetTimer(this, reactor_->Now() + *due);
  } else {
    reactor_->CancelTimer(this);
  }
}

// --- What it is asked ---

void Conversation::Say(std::string line) {
  VOLLEY_CHECK(ready() && !sending_ && !own_command_);
  own_line_ = std::move(line);
  own_command_ = own_sending_ = sending_ = true;
  own_parser_.Reset();
  reply_.reset();
  NoteCommand(own_line_);
  const iovec piece{own_line_.data(), own_line_.size()};
  channel_.Send({&piece, 1});
  SetReplyTimer();
}

void Conversation::TakeOwnReply(std::span<const char> bytes) {
  std::string_view input(bytes.data(), bytes.size());
  switch (own_parser_.Next(&input)) {
    case engine::smtp::ReplyParser::Result::kNeedMore:
      return;
    case engine::smtp::ReplyParser::Result::kReply:
      break;
    case engine::smtp::ReplyParser::Result::kError:
      own_end_ = CloseReason::kProtocolError;
      return Close(own_parser_.error());
  }
  reply_ = Heard(own_parser_.reply());
  own_command_ = false;
  client_.Receive({input.data(), input.size()});  // what is behind it is nothing we asked for
}

void Conversation::Deliver(std::string_view from, std::string_view to, bool smtputf8,
                           std::string content) {
  VOLLEY_CHECK(ready() && client_.wants_transaction());
  content_ = std::move(content);
  content_piece_ = {content_.data(), content_.size()};
  engine::smtp::Transaction transaction;
  transaction.reverse_path = from;
  transaction.recipients = {&to, 1};
  transaction.content = {&content_piece_, 1};
  transaction.content_bytes = content_.size();
  transaction.smtputf8 = transaction.eight_bit = smtputf8;
  BeginStep("message");
  client_.Add(transaction);
  Pump();
}

void Conversation::OnVerdict(const engine::smtp::Verdict& verdict) {
  verdict_ = HeardVerdict{verdict.kind, verdict.command, Heard(verdict.reply)};
}

void Conversation::Quit() {
  client_.Quit();
  Pump();
}

void Conversation::Abort() { Close("stopped"); }

void Conversation::Expire() {
  if (closing_) return;
  if (handshaking_ || !connected_) {
    own_end_ = CloseReason::kTimeout;
    return Close("no reply in time");
  }
  OnTimer();
}

// --- How it ended ---

const io::TlsError* Conversation::tls_error() const {
  const io::TlsError* error = channel_.tls_error();
  // Many servers end without close_notify; what was missing then is said by who waited for it.
  return error != nullptr && error->failure == io::TlsFailure::kTruncated ? nullptr : error;
}

ConversationEnd Conversation::End() const {
  ConversationEnd end;
  end.reason = own_end_ == CloseReason::kNone ? client_.close_reason() : own_end_;
  end.stage = stage_;
  end.code = client_.close_code();
  end.words = end_words_;
  end.auth = client_.auth_failure();
  end.auth_offered = !client_.capabilities().auth.empty();
  return end;
}

}  // namespace volley::pipeline
