// STARTTLS (RFC 3207) and AUTH (RFC 4954): between EHLO and the first transaction, one command at a
// time.
#include <algorithm>
#include <utility>

#include "engine/sasl/base64.h"
#include "engine/smtp/client_command.h"
#include "engine/smtp/client_impl.h"
#include "fmt/format.h"

namespace volley::engine::smtp {
namespace {

constexpr uint16_t kStartTlsReady = 220;
constexpr uint16_t kAuthChallenge = 334;
constexpr uint16_t kAuthAccepted = 235;
constexpr uint16_t kAuthRequired = 530;
constexpr std::string_view kCrlf = "\r\n";

// "MAIL: 550 5.7.1 go away".
std::string Describe(std::string_view command, const ReplyView& reply, std::string_view text) {
  std::string words = fmt::format("{}: {}", command, reply.code.value());
  if (reply.enhanced.present()) {
    words += fmt::format(" {}.{}.{}", reply.enhanced.klass, reply.enhanced.subject,
                         reply.enhanced.detail);
  }
  return text.empty() ? words : words.append(" ").append(text);
}

sasl::AuthReply AuthReplyOf(const ReplyView& reply, bool with_token) {
  return {.code = reply.code.value(),
          .enhanced_class = reply.enhanced.klass,
          .enhanced_subject = reply.enhanced.subject,
          .enhanced_detail = reply.enhanced.detail,
          .text = reply.text,
          .with_token = with_token};
}

sasl::AuthFailure FailureOf(const absl::Status& status) {
  return status.code() == absl::StatusCode::kPermissionDenied ? sasl::AuthFailure::kServerUnproven
                                                              : sasl::AuthFailure::kProtocolError;
}

std::string WordsOf(const absl::Status& status) { return std::string(status.message()); }

// How much of `needle` in `text` gives it away: servers cut what they repeat.
bool Gives(std::string_view text, std::string_view needle, size_t enough) {
  return !needle.empty() && text.find(needle.substr(0, enough)) != std::string_view::npos;
}

}  // namespace

// --- STARTTLS ---

// After every accepted EHLO, LHLO or HELO.
void Client::Impl::AfterHello() {
  if (quit_wanted_) return BecomeReady();  // nothing will be sent: what would TLS or a login be for
  if (WantsStartTls()) return QueueCommand(CommandKind::kStartTls, "STARTTLS\r\n");
  if (options_->tls == TlsPolicy::kRequired && !tls_) {
    return GiveUp(CloseReason::kTlsUnavailable,
                  "starttls_missing: the server does not offer STARTTLS and TLS is required");
  }
  if (credentials_ == nullptr) return BecomeReady();
  StartAuth();
}

// RFC 3207 §4.2: offered inside TLS it is not to be used.
bool Client::Impl::WantsStartTls() const {
  if (tls_ || starttls_refused_ || !capabilities_.starttls) return false;
  return options_->tls == TlsPolicy::kOpportunistic || options_->tls == TlsPolicy::kRequired;
}

// RFC 3207 §4: 220, 501 or 454. A refusal leaves the session as it was.
void Client::Impl::OnStartTls(const ReplyView& reply) {
  if (reply.code.value() == kStartTlsReady) {
    wants_tls_ = true;
    return;
  }
  if (reply.code.positive() || reply.code.intermediate()) {
    return UnexpectedReply(CommandKind::kStartTls, reply);
  }
  starttls_refused_ = true;
  if (options_->tls == TlsPolicy::kOpportunistic) return AfterHello();
  close_code_ = reply.code;
  GiveUp(CloseReason::kTlsUnavailable, ForPeople(CommandKind::kStartTls, reply));
}

void Client::Impl::OnTlsEstablished() {
  Require(wants_tls_, "OnTlsEstablished() without wants_tls()");
  wants_tls_ = false;
  tls_ = true;
  capabilities_ = {};
  parser_.Reset();
  SendHello(lmtp() ? CommandKind::kLhlo : CommandKind::kEhlo);
}

void Client::Impl::OnTlsFailed(std::string_view why) {
  if (closed()) return;
  const bool at_the_start = options_->tls == TlsPolicy::kImplicit && state_ == State::kOpening;
  Require(wants_tls_ || at_the_start, "OnTlsFailed() where no TLS is wanted");
  error_ = why;
  EndSession(CloseReason::kTlsUnavailable, 0, {.code = {}, .enhanced = {}, .text = error_});
}

// --- AUTH ---

void Client::Impl::StartAuth() {
  const sasl::MechanismChoice choice =
      sasl::ChooseMechanism({.offered = capabilities_.auth,
                             .has_password = !credentials_->password.empty(),
                             .has_token = !credentials_->token.empty(),
                             .tls = tls_,
                             .allow_insecure = options_->auth_insecure,
                             .only = options_->auth_mechanism});
  if (!choice.mechanism) return NoMechanism(choice);
  auth_mechanism_ = choice.mechanism;
  absl::StatusOr<std::unique_ptr<sasl::SaslClient>> client =
      sasl::SaslClient::Make(*choice.mechanism, *credentials_,
                             {.host = options_->server_name,
                              .port = options_->server_port,
                              .random = options_->random,
                              .scram_keys = options_->scram_keys});
  if (!client.ok()) {
    auth_failure_ = client.status().code() == absl::StatusCode::kInvalidArgument
                        ? sasl::AuthFailure::kRejected
                        : sasl::AuthFailure::kTemporary;
    return GiveUp(CloseReason::kAuthFailed, AuthWords(WordsOf(client.status())));
  }
  sasl_ = *std::move(client);
  SendAuth();
}

void Client::Impl::NoMechanism(const sasl::MechanismChoice& choice) {
  auth_failure_ = choice.failure;
  if (!capabilities_.auth.empty()) return GiveUp(CloseReason::kAuthUnavailable, choice.why);
  if (!tls_ && capabilities_.starttls) {
    auth_failure_ = sasl::AuthFailure::kEncryptionRequired;
    return GiveUp(CloseReason::kAuthUnavailable, "the server does not offer AUTH without TLS");
  }
  GiveUp(CloseReason::kAuthUnavailable, "the server does not offer AUTH");
}

// RFC 4954 §4: with the initial response, unless the line would be too long for a command.
void Client::Impl::SendAuth() {
  const std::string_view name = sasl::MechanismName(*auth_mechanism_);
  const size_t room = kCommandBytesMax - (std::string_view("AUTH  \r\n").size() + name.size());
  const std::optional<Secret> response = sasl_->InitialResponse(room / 4 * 3);
  if (!response) {
    output_.text()->append("AUTH ").append(name);
    return QueueCommand(CommandKind::kAuth, kCrlf);
  }
  Secret text = sasl::EncodeBase64(*response);
  output_.AppendSecret({"AUTH ", name, " ", text.empty() ? "=" : text.reveal(), kCrlf});
  QueueCommand(CommandKind::kAuth, "");
  auth_lines_.push_back(std::move(text));
}

void Client::Impl::SendResponse(const Secret& response) {
  Secret text = sasl::EncodeBase64(response);
  output_.AppendSecret({text.reveal(), kCrlf});
  QueueCommand(CommandKind::kAuth, "");
  auth_lines_.push_back(std::move(text));
}

void Client::Impl::OnAuth(const ReplyView& reply) {
  if (auth_cancelled_) return OnAuthCancelled(reply);
  if (reply.code.value() == kAuthChallenge) return OnChallenge(reply);
  if (reply.code.value() == kAuthAccepted) return OnAuthAccepted();
  if (reply.code.positive() || reply.code.intermediate()) {
    auth_failure_ = sasl::AuthFailure::kProtocolError;
    return UnexpectedReply(CommandKind::kAuth, reply);
  }
  OnAuthRefused(reply);
}

// RFC 4954 §4: "This challenge MUST NOT contain any text other than the BASE64 encoded challenge",
// and what cannot be decoded MUST be answered by cancelling.
void Client::Impl::OnChallenge(const ReplyView& reply) {
  const sasl::AuthFailure nonsense = sasl::AuthFailure::kProtocolError;
  if (parser_.line_count() != 1) return CancelAuth(nonsense, "a challenge of several lines");
  if (reply.text.size() > sasl::kBase64BytesMax) {
    return CancelAuth(nonsense, "a challenge that is too long");
  }
  const std::optional<std::string> challenge = sasl::DecodeBase64(reply.text);
  if (!challenge) return CancelAuth(nonsense, "a challenge that is not base64");
  const absl::StatusOr<Secret> response = sasl_->Step(*challenge);
  if (!response.ok()) return CancelAuth(FailureOf(response.status()), WordsOf(response.status()));
  SendResponse(*response);
}

void Client::Impl::CancelAuth(sasl::AuthFailure failure, std::string_view why) {
  auth_cancelled_ = true;
  auth_failure_ = failure;
  quit_reason_ = CloseReason::kAuthFailed;
  error_ = AuthWords(why);
  QueueCommand(CommandKind::kAuth, "*\r\n");
}

// RFC 4954 §4: "it MUST reject the AUTH command by sending a 501 reply". Our reason stands.
void Client::Impl::OnAuthCancelled(const ReplyView& reply) {
  if (reply.code.positive() || reply.code.intermediate()) {
    close_code_ = reply.code;
    return ProtocolError(error_ + "; and the server goes on with the login that was cancelled");
  }
  QueueQuit();
}

// RFC 5802 §5: "the client MUST consider the authentication exchange to be unsuccessful" if the
// server did not prove itself.
void Client::Impl::OnAuthAccepted() {
  if (const absl::Status status = sasl_->Finished(); !status.ok()) {
    auth_failure_ = FailureOf(status);
    return GiveUp(CloseReason::kAuthFailed, AuthWords(WordsOf(status)));
  }
  authenticated_ = true;
  ForgetSecrets();
  BecomeReady();  // no EHLO: no mechanism of ours sets a security layer (RFC 4954 §4)
}

void Client::Impl::OnAuthRefused(const ReplyView& reply) {
  close_code_ = reply.code;
  auth_failure_ = Classify(reply);
  std::string words = ForPeople(CommandKind::kAuth, reply);
  if (const sasl::OauthError* error = sasl_->oauth_error(); error != nullptr) {
    // Some refuse the answer to their error with 501 and the like: the error is the reason.
    if (auth_failure_ == sasl::AuthFailure::kProtocolError) {
      auth_failure_ = sasl::AuthFailure::kTokenExpired;
    }
    token_renewal_may_help_ = error->RenewalMayHelp();
    const std::string said = error->Describe();
    if (!RepeatsSecret(said)) words += fmt::format(" (the server said: {})", said);
  }
  GiveUp(CloseReason::kAuthFailed, std::move(words));
}

void Client::Impl::NoteAuthRequired(const ReplyView& reply) {
  if (reply.code.value() != kAuthRequired) return;
  auth_required_ = auth_required_ || sasl::AsksForAuth(AuthReplyOf(reply, /*with_token=*/false));
}

// --- Words, without secrets ---

std::string Client::Impl::AuthWords(std::string_view words) const {
  return fmt::format("AUTH {}: {}", sasl::MechanismName(*auth_mechanism_), words);
}

sasl::AuthFailure Client::Impl::Classify(const ReplyView& reply) const {
  return sasl::ClassifyAuthReply(
      AuthReplyOf(reply, auth_mechanism_.has_value() && sasl::UsesToken(*auth_mechanism_)));
}

// Servers repeat the line they did not understand ("500 unknown command: AUTH PLAIN AHVz...").
// Asked of what ends a session, from AUTH on; a verdict's text is left as it is.
bool Client::Impl::RepeatsSecret(std::string_view text) const {
  if (!auth_mechanism_ || credentials_ == nullptr) return false;
  constexpr size_t kAll = std::string_view::npos;
  constexpr size_t kBase64Enough = 8;
  return Gives(text, credentials_->password.reveal(), kAll) ||
         Gives(text, credentials_->token.reveal(), 2 * kBase64Enough) ||
         std::any_of(auth_lines_.begin(), auth_lines_.end(),
                     [&](const Secret& line) { return Gives(text, line.reveal(), kBase64Enough); });
}

std::string Client::Impl::ForPeople(CommandKind kind, const ReplyView& reply) const {
  std::string command(CommandName(kind));
  if (kind == CommandKind::kAuth && auth_mechanism_) {
    command.append(" ").append(sasl::MechanismName(*auth_mechanism_));
  }
  const bool hide = RepeatsSecret(reply.text);
  return Describe(command, reply, hide ? kWordsHidden : reply.text);
}

void Client::Impl::ForgetSecrets() {
  sasl_.reset();
  auth_lines_.clear();
}

}  // namespace volley::engine::smtp
