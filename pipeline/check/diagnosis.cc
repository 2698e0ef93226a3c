#include "pipeline/check/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace volley::pipeline {
namespace {

using engine::sasl::AuthFailure;
using engine::smtp::CloseReason;
using engine::smtp::CommandKind;
using engine::smtp::Protocol;
using engine::smtp::TlsPolicy;
using io::TlsFailure;

constexpr uint16_t kSmtpPort = 25;
constexpr size_t kNamesShown = 4;

struct FaultName {
  Fault fault;
  std::string_view id;
};

// The ids of io and sasl are kept where they have one (diagnosis_test.cc holds us to it).
constexpr FaultName kNames[] = {
    {Fault::kNameNotFound, "name_not_found"},
    {Fault::kNameHasNoAddress, "name_has_no_address"},
    {Fault::kNameLookupFailed, "name_lookup_failed"},
    {Fault::kNoSubmissionService, "no_submission_service"},
    {Fault::kConnectionRefused, "connection_refused"},
    {Fault::kConnectionTimedOut, "connection_timed_out"},
    {Fault::kConnectionBlockedPort25, "connection_blocked_port_25"},
    {Fault::kNetworkUnreachable, "network_unreachable"},
    {Fault::kConnectionFailed, "connection_failed"},
    {Fault::kConnectionClosed, "connection_closed"},
    {Fault::kReplyTimedOut, "reply_timed_out"},
    {Fault::kPlainOnTlsPort, "plain_on_tls_port"},
    {Fault::kTlsOnPlainPort, "tls_on_plain_port"},
    {Fault::kCertificateExpired, "certificate_expired"},
    {Fault::kCertificateNotYetValid, "certificate_not_yet_valid"},
    {Fault::kCertificateNameMismatch, "certificate_name_mismatch"},
    {Fault::kCertificateSelfSigned, "certificate_self_signed"},
    {Fault::kCertificateUntrusted, "certificate_untrusted"},
    {Fault::kCertificateInvalid, "certificate_invalid"},
    {Fault::kCertificateRefused, "certificate_refused"},
    {Fault::kTlsVersion, "protocol_version"},
    {Fault::kTlsNoCommonCipher, "no_common_cipher"},
    {Fault::kTlsHandshakeFailed, "handshake_failed"},
    {Fault::kTlsBadRecord, "bad_record"},
    {Fault::kStartTlsMissing, "starttls_missing"},
    {Fault::kStartTlsRefused, "starttls_refused"},
    {Fault::kGreetingRejected, "greeting_rejected"},
    {Fault::kEhloRejected, "ehlo_rejected"},
    {Fault::kServiceUnavailable, "service_unavailable"},
    {Fault::kProtocolError, "protocol_error"},
    {Fault::kAuthRejected, "auth_rejected"},
    {Fault::kAuthTemporary, "auth_temporary"},
    {Fault::kAuthMechanismTooWeak, "auth_mechanism_too_weak"},
    {Fault::kAuthPasswordTransition, "auth_password_transition"},
    {Fault::kAuthEncryptionRequired, "auth_encryption_required"},
    {Fault::kAppPasswordRequired, "app_password_required"},
    {Fault::kOauthRequired, "oauth_required"},
    {Fault::kTokenExpired, "token_expired"},
    {Fault::kTokenUnavailable, "token_unavailable"},
    {Fault::kAuthMechanismMissing, "auth_mechanism_missing"},
    {Fault::kAuthServerUnproven, "auth_server_unproven"},
    {Fault::kAuthRequired, "auth_required"},
    {Fault::kEncryptionRequired, "encryption_required"},
    {Fault::kRelayDenied, "relay_denied"},
    {Fault::kSenderRejected, "sender_rejected"},
    {Fault::kRecipientRejected, "recipient_rejected"},
    {Fault::kTemporarilyRejected, "temporarily_rejected"},
    {Fault::kLimitReached, "limit_reached"},
    {Fault::kSmtputf8Missing, "smtputf8_missing"},
    {Fault::kMessageRejected, "message_rejected"},
    {Fault::kDeliveryUnknown, "delivery_unknown"},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (static_cast<size_t>(kNames[i].fault) != i) return false;
  }
  return std::size(kNames) == kFaultCount;
}
static_assert(InOrder(), "one entry for each fault, in the enumeration's order");

// "mx.example.org:587", "[::1]:587".
std::string HostPort(const CheckTarget& target, uint16_t port) {
  if (target.host.find(':') != std::string::npos) return fmt::format("[{}]:{}", target.host, port);
  return fmt::format("{}:{}", target.host, port);
}

Diagnosis Make(const CheckTarget& target, Fault fault, std::string_view what, std::string advice) {
  return {fault, fmt::format("{}: {}", target.Name(), what), std::move(advice)};
}

// "port 587 speaks SMTP: write smtp://mx.example.org:587"; empty without a port that does.
std::string PortThatWorks(const CheckTarget& target, std::span<const PortFinding> others) {
  const auto works =
      std::find_if(others.begin(), others.end(), [](const PortFinding& f) { return f.Speaks(); });
  if (works == others.end()) return "";
  return fmt::format("Port {} of the same host {}: write {}.", works->port,
                     PortAnswerWords(works->answer), UrlOf(target, works->answer, works->port));
}

std::string PortsTried(std::span<const PortFinding> others) {
  std::string ports;
  for (const PortFinding& f : others) {
    ports += fmt::format("{}{}", ports.empty() ? "" : ", ", f.port);
  }
  return ports;
}

std::string WithNote(const CheckTarget& target, std::string advice) {
  if (target.note.empty()) return advice;
  return advice + fmt::format(" For this provider: {}.", target.note);
}

std::string NamesOf(const io::TlsInfo& info) {
  std::string names;
  for (size_t i = 0; i < info.peer_names.size() && i < kNamesShown; ++i) {
    names += (names.empty() ? "" : ", ") + info.peer_names[i];
  }
  if (info.peer_names.size() > kNamesShown || info.more_names) names += ", ...";
  return names;
}

}  // namespace

std::string_view FaultId(Fault fault) { return kNames[static_cast<size_t>(fault)].id; }

std::string CheckTarget::Name() const {
  if (!unix_path.empty()) return unix_path;
  return fmt::format("{} port {}", host, port);
}

std::string UrlOf(const CheckTarget& target, PortAnswer answer, uint16_t port) {
  if (target.protocol == Protocol::kLmtp) return "lmtp://" + HostPort(target, port);
  return (answer == PortAnswer::kTls ? "smtps://" : "smtp://") + HostPort(target, port);
}

// --- Before anything is connected to ---

std::optional<Diagnosis> DiagnoseConfiguration(const RelayDefinition& definition,
                                               const absl::Status& status) {
  const std::string words(status.message());
  const bool discovers = definition.via.find("://") == std::string::npos &&
                         definition.via.find('@') != std::string::npos;
  const bool unavailable = status.code() == absl::StatusCode::kUnavailable;
  const bool refreshes = !definition.credentials.oauth2.empty();
  // A file that may not be read has that code too.
  const bool endpoint_says_no = refreshes && status.code() == absl::StatusCode::kPermissionDenied &&
                                words.find("token endpoint") != std::string::npos;
  if (endpoint_says_no || (unavailable && refreshes)) {
    return Diagnosis{Fault::kTokenUnavailable, words,
                     "No access token, so no log-in. Where the endpoint refuses the refresh token "
                     "(invalid_grant), somebody has to log in with a browser and allow access "
                     "again; where it cannot be reached, look at token_url and the network."};
  }
  if (discovers && status.code() == absl::StatusCode::kNotFound) {
    return Diagnosis{Fault::kNoSubmissionService, words,
                     "Few providers announce their servers by DNS: take host and port from your "
                     "provider's help pages and write smtps://HOST or smtp://HOST:587."};
  }
  if (!unavailable) return std::nullopt;
  return Diagnosis{Fault::kNameLookupFailed, words,
                   "Is this host online, and does /etc/resolv.conf name a server that answers?"};
}

// --- The name ---

Diagnosis DiagnoseName(const CheckTarget& target, io::DnsStatus status, std::string_view error,
                       const NameHints& hints) {
  std::string advice;
  if (!hints.nearest.empty()) advice = fmt::format("Did you mean {}? ", hints.nearest);
  if (!hints.that_exist.empty()) {
    std::string names;
    for (const std::string& name : hints.that_exist) names += (names.empty() ? "" : ", ") + name;
    advice += fmt::format("These names have an address: {}. ", names);
  }
  switch (status) {
    case io::DnsStatus::kNoSuchName:
      advice += "Check the spelling; the right name stands in your provider's help pages.";
      return {Fault::kNameNotFound, fmt::format("There is no host named {}", target.host),
              std::move(advice)};
    case io::DnsStatus::kNoData:
      advice +=
          "A mail domain (what follows the @) is often not the server's name: use the server's.";
      return {Fault::kNameHasNoAddress,
              fmt::format("The name {} exists but has no address", target.host), std::move(advice)};
    default:
      return {Fault::kNameLookupFailed,
              fmt::format("The name {} cannot be looked up: {}", target.host, error),
              "The name service is at fault, not the mail server: is this host online, does "
              "/etc/resolv.conf name a server that answers, does a firewall stop port 53?"};
  }
}

// --- The connection ---

namespace {

Diagnosis DiagnoseTimedOut(const CheckTarget& target, const ConnectFailure& failure,
                           std::span<const PortFinding> others, const std::string& works) {
  const std::string what = fmt::format("no answer to the connection request within {:.1f} s",
                                       absl::ToDoubleSeconds(failure.after));
  if (target.port == kSmtpPort && !works.empty()) {
    return Make(target, Fault::kConnectionBlockedPort25,
                what + ", while another port of the same host answers",
                "Most access and cloud providers block outgoing port 25. " + works);
  }
  if (!works.empty()) {
    return Make(target, Fault::kConnectionTimedOut, what,
                "A firewall drops what goes to this port. " + works);
  }
  std::string advice =
      "Something on the way drops the packets (a firewall here, at the provider or at the server), "
      "or nobody has the address. ";
  if (!others.empty()) advice += fmt::format("Ports {} were tried too. ", PortsTried(others));
  if (target.port == kSmtpPort) {
    advice += "Most access and cloud providers block outgoing port 25: use your provider's relay. ";
  }
  return Make(target, Fault::kConnectionTimedOut, what,
              advice + "Check host and port, and try from another network.");
}

Diagnosis DiagnoseRefused(const CheckTarget& target, std::span<const PortFinding> others,
                          const std::string& works) {
  const std::string_view what = "the connection was refused: nothing listens there";
  if (!works.empty()) return Make(target, Fault::kConnectionRefused, what, works);
  if (!target.unix_path.empty()) {
    return Make(target, Fault::kConnectionRefused, what,
                "The socket is there but its server is not running: start it.");
  }
  return Make(target, Fault::kConnectionRefused, what,
              fmt::format("The host is there and takes no mail on this port{}. Check the host name "
                          "and the port, and whether the server runs.",
                          others.empty() ? "" : ", nor on " + PortsTried(others)));
}

}  // namespace

Diagnosis DiagnoseConnect(const CheckTarget& target, const ConnectFailure& failure,
                          std::span<const PortFinding> others) {
  const std::string works = PortThatWorks(target, others);
  if (failure.timed_out || failure.sys_errno == ETIMEDOUT) {
    return DiagnoseTimedOut(target, failure, others, works);
  }
  switch (failure.sys_errno) {
    case ECONNREFUSED:
      return DiagnoseRefused(target, others, works);
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
      return Make(target, Fault::kNetworkUnreachable,
                  fmt::format("there is no way to it: {}", failure.words),
                  "Is this host online? Where the name has an IPv6 address only and this host has "
                  "no IPv6, or the other way round, another host or a relay is needed.");
    case ENOENT:
    case EACCES:
    case EPERM:
      return Make(target, Fault::kConnectionFailed, failure.words,
                  target.unix_path.empty()
                      ? "A firewall rule of this host forbids the connection: look at its rules."
                      : "Check the path of the socket, whether its server runs, and whether this "
                        "account may write to it.");
    default:
      return Make(target, Fault::kConnectionFailed, failure.words,
                  works.empty() ? "Check host and port, and try from another network." : works);
  }
}

// --- TLS ---

namespace {

Fault FaultOf(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kCertificateExpired:
      return Fault::kCertificateExpired;
    case TlsFailure::kCertificateNotYetValid:
      return Fault::kCertificateNotYetValid;
    case TlsFailure::kCertificateNameMismatch:
      return Fault::kCertificateNameMismatch;
    case TlsFailure::kCertificateSelfSigned:
      return Fault::kCertificateSelfSigned;
    case TlsFailure::kCertificateUntrusted:
      return Fault::kCertificateUntrusted;
    case TlsFailure::kCertificateInvalid:
      return Fault::kCertificateInvalid;
    case TlsFailure::kCertificateRefused:
      return Fault::kCertificateRefused;
    case TlsFailure::kProtocolVersion:
      return Fault::kTlsVersion;
    case TlsFailure::kNoCommonCipher:
      return Fault::kTlsNoCommonCipher;
    case TlsFailure::kPlaintextPeer:
      return Fault::kPlainOnTlsPort;
    case TlsFailure::kPeerClosed:
    case TlsFailure::kTruncated:
      return Fault::kConnectionClosed;
    case TlsFailure::kTimeout:
      return Fault::kReplyTimedOut;
    case TlsFailure::kBadRecord:
      return Fault::kTlsBadRecord;
    case TlsFailure::kNone:
    case TlsFailure::kHandshakeFailed:
      break;
  }
  return Fault::kTlsHandshakeFailed;
}

std::string TlsAdvice(const CheckTarget& target, Fault fault, const io::TlsInfo& info) {
  switch (fault) {
    case Fault::kCertificateExpired:
      return "Only the server's administrator can renew it: tell them. Until then mail would go "
             "to a server that nobody vouches for. If the date is wrong, set this host's clock.";
    case Fault::kCertificateNotYetValid:
      return "Set this host's clock; if it is right, tell the server's administrator.";
    case Fault::kCertificateNameMismatch: {
      const std::string names = NamesOf(info);
      return fmt::format(
          "{}If you know that this server is the right one, say which name to look for: "
          "--tls-name NAME.",
          names.empty() ? "It has no names at all. "
                        : fmt::format("Connect by a name it has: {}. ", names));
    }
    case Fault::kCertificateSelfSigned:
      return "If the server is yours, give its certificate: --ca-file FILE. Else tell its "
             "administrator that it needs one from a recognized authority.";
    case Fault::kCertificateUntrusted:
      return "If the authority is your own, give its certificate: --ca-file FILE. A public one: "
             "install ca-certificates on this host; servers that leave out their intermediate "
             "certificate are a common cause too.";
    case Fault::kCertificateRefused:
      return "The server wants a client certificate that it knows: --client-certificate FILE "
             "--client-key FILE.";
    case Fault::kTlsVersion:
      return "The server is too old (TLS 1.0 and 1.1 are broken, RFC 8996) or our minimum is above "
             "what it has: look at tls_min_version.";
    case Fault::kTlsNoCommonCipher:
      return "Leave out ciphers and ciphersuites if they are set; else the server is too old.";
    case Fault::kConnectionClosed:
    case Fault::kReplyTimedOut:
      return fmt::format(
          "Does this port speak TLS from the first byte? Port 587 and 25 mostly want "
          "smtp:// with STARTTLS. Else look at {}.",
          target.unix_path.empty() ? "a firewall or proxy between" : "the server's log");
    default:
      return "Look at the server's log; a proxy or virus scanner on the way can be the cause too.";
  }
}

Diagnosis PlainOnTlsPort(const CheckTarget& target, std::string_view seen, PortAnswer same_port) {
  if (same_port == PortAnswer::kOther) {
    return Make(target, Fault::kPlainOnTlsPort, seen,
                "What speaks there is no mail server: check host and port.");
  }
  return Make(target, Fault::kPlainOnTlsPort, seen,
              fmt::format("This port wants SMTP in clear first, with STARTTLS where it is offered: "
                          "write {}?tls=required.",
                          UrlOf(target, PortAnswer::kSmtp, target.port)));
}

}  // namespace

Diagnosis DiagnoseTls(const CheckTarget& target, const io::TlsError& error,
                      const PortFinding& same_port) {
  const Fault fault = FaultOf(error.failure);
  const bool implicit = target.tls == TlsPolicy::kImplicit;
  if (fault == Fault::kPlainOnTlsPort && !implicit) {
    return Make(target, Fault::kProtocolError, "after STARTTLS, " + error.message,
                "The server, or a proxy or firewall on the way, does not do STARTTLS as the "
                "standard has it. Try TLS from the first byte: smtps://, port 465.");
  }
  const bool silent = fault == Fault::kConnectionClosed || fault == Fault::kReplyTimedOut;
  if (fault == Fault::kPlainOnTlsPort) {
    return PlainOnTlsPort(target, error.message, same_port.answer);
  }
  if (implicit && silent && same_port.answer == PortAnswer::kSmtp) {
    return PlainOnTlsPort(target, "the server does not speak TLS here but SMTP in clear",
                          same_port.answer);
  }
  return Make(target, fault, error.message, TlsAdvice(target, fault, error.info));
}

// --- The session ---

namespace {

Fault FaultOf(AuthFailure failure) {
  switch (failure) {
    case AuthFailure::kRejected:
      return Fault::kAuthRejected;
    case AuthFailure::kTemporary:
      return Fault::kAuthTemporary;
    case AuthFailure::kMechanismTooWeak:
      return Fault::kAuthMechanismTooWeak;
    case AuthFailure::kPasswordTransition:
      return Fault::kAuthPasswordTransition;
    case AuthFailure::kEncryptionRequired:
      return Fault::kAuthEncryptionRequired;
    case AuthFailure::kAppPasswordRequired:
      return Fault::kAppPasswordRequired;
    case AuthFailure::kOauthRequired:
      return Fault::kOauthRequired;
    case AuthFailure::kTokenExpired:
      return Fault::kTokenExpired;
    case AuthFailure::kAccountLimited:
      return Fault::kLimitReached;
    case AuthFailure::kMechanismMissing:
      return Fault::kAuthMechanismMissing;
    case AuthFailure::kServerUnproven:
      return Fault::kAuthServerUnproven;
    case AuthFailure::kNone:
    case AuthFailure::kProtocolError:
      break;
  }
  return Fault::kProtocolError;
}

Diagnosis DiagnoseAuth(const CheckTarget& target, const ConversationEnd& end,
                       std::span<const PortFinding> others) {
  const Fault fault = FaultOf(end.auth);
  std::string what = end.words;
  if (!end.renewal.empty()) what += "; " + end.renewal;
  std::string advice(engine::sasl::Advice(end.auth));
  if (fault == Fault::kAuthMechanismMissing && !end.auth_offered) {
    const std::string works = PortThatWorks(target, others);
    advice =
        "This port lets nobody log in: it is for mail between servers, or logging in is "
        "switched off. ";
    advice += works.empty() ? "Submission is port 587 or 465; without user name and secret, mail "
                              "for the server's own domains can be tried."
                            : works;
  }
  return Make(target, fault, what, WithNote(target, std::move(advice)));
}

Diagnosis DiagnoseRejected(const CheckTarget& target, const ConversationEnd& end) {
  if (end.code.transient()) {
    return Make(target, Fault::kServiceUnavailable, end.words,
                "The server takes no mail now: try again later. It may also limit connections from "
                "this address.");
  }
  if (end.stage == CommandKind::kGreeting) {
    return Make(target, Fault::kGreetingRejected, end.words,
                "The server takes no mail from this address, or none at all: its words say why. "
                "Look the address up at the list it names, or use your provider's relay.");
  }
  return Make(target, Fault::kEhloRejected, end.words,
              "The server does not like our EHLO name: give this host's full name with --helo.");
}

Diagnosis DiagnoseSilence(const CheckTarget& target, const ConversationEnd& end,
                          const PortFinding& same_port) {
  const bool greeting = end.stage == CommandKind::kGreeting;
  if (greeting && target.tls != TlsPolicy::kImplicit && same_port.answer == PortAnswer::kTls) {
    return Make(target, Fault::kTlsOnPlainPort,
                "the server says nothing in clear: it speaks TLS from the first byte here",
                fmt::format("Write {}.", UrlOf(target, PortAnswer::kTls, target.port)));
  }
  if (end.reason == CloseReason::kTimeout) {
    return Make(target, Fault::kReplyTimedOut, end.words,
                greeting ? "The port is open but no mail server greets: it may be overloaded, look "
                           "up names before it greets (--reply-timeout 60s waits longer), or be no "
                           "mail server."
                         : "The server is overloaded or broken, or a firewall on the way holds "
                           "something back: --reply-timeout 60s waits longer.");
  }
  return Make(target, Fault::kConnectionClosed, end.words,
              greeting ? "The server, or a firewall before it, lets this address connect and then "
                         "turns it away: it may be on a block list, or the server allows only "
                         "certain addresses."
                       : "Look at the server's log: it ended the connection without saying why.");
}

Diagnosis DiagnoseNoStartTls(const CheckTarget& target, const ConversationEnd& end,
                             std::span<const PortFinding> others) {
  if (end.code.value() != 0) {
    return Make(target, Fault::kStartTlsRefused, end.words,
                "The server offers STARTTLS and does not do it: its certificate may be missing. "
                "Try smtps:// (port 465), and tell its administrator.");
  }
  std::string advice = PortThatWorks(target, others);
  if (advice.empty()) advice = "Try smtps:// (port 465) or another port (587).";
  return Make(target, Fault::kStartTlsMissing,
              "the server does not offer STARTTLS, and TLS is required",
              advice +
                  " A firewall can strip STARTTLS from the reply, so nothing is sent in clear "
                  "unless ?tls=opportunistic or ?tls=off allow it.");
}

}  // namespace

Diagnosis DiagnoseEnd(const CheckTarget& target, const ConversationEnd& end,
                      const PortFinding& same_port, std::span<const PortFinding> others) {
  if (end.auth != AuthFailure::kNone) return DiagnoseAuth(target, end, others);
  switch (end.reason) {
    case CloseReason::kRejected:
      return DiagnoseRejected(target, end);
    case CloseReason::kServiceClosing:
      return Make(target, Fault::kServiceUnavailable, end.words,
                  "The server ended the session with 421: it is busy or being stopped, or limits "
                  "connections from this address. Try again later.");
    case CloseReason::kTlsUnavailable:
      return DiagnoseNoStartTls(target, end, others);
    case CloseReason::kPeerClosed:
    case CloseReason::kTimeout:
      return DiagnoseSilence(target, end, same_port);
    case CloseReason::kAuthUnavailable:
    case CloseReason::kAuthFailed:
      return DiagnoseAuth(target, end, others);
    case CloseReason::kNone:
    case CloseReason::kQuit:
    case CloseReason::kProtocolError:
      break;
  }
  return Make(target, Fault::kProtocolError, end.words,
              "What answers there does not speak SMTP as the standard has it: check that host and "
              "port are a mail server's, and that no proxy stands between.");
}

}  // namespace volley::pipeline
