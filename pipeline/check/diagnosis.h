// Diagnosis: what is wrong with a connection, and what to try: pure functions from what was seen
// (a DNS answer, an errno, a TLS failure, the end of a session, a refusal) to an id, a sentence and
// advice, with the values at hand.
//
// Threading: functions without state. Errors: none; what no rule knows is named by its kind.
// Peers' words come in as ShownText has made them: one line, printable, cut, without secrets.
#ifndef VOLLEY_PIPELINE_CHECK_DIAGNOSIS_H_
#define VOLLEY_PIPELINE_CHECK_DIAGNOSIS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sasl/reply.h"
#include "engine/smtp/client.h"
#include "engine/smtp/types.h"
#include "io/resolver/resolver.h"
#include "io/tls/tls_info.h"
#include "pipeline/check/port_probe.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

// Each has an id for scripts and a chapter in docs/check.md.
enum class Fault : uint8_t {
  // The name.
  kNameNotFound,
  kNameHasNoAddress,  // it exists, and is no host's
  kNameLookupFailed,  // the name service cannot say
  kNoSubmissionService,
  // The connection.
  kConnectionRefused,
  kConnectionTimedOut,
  kConnectionBlockedPort25,
  kNetworkUnreachable,
  kConnectionFailed,  // anything else the kernel said
  kConnectionClosed,
  kReplyTimedOut,
  kPlainOnTlsPort,
  kTlsOnPlainPort,
  // TLS.
  kCertificateExpired,
  kCertificateNotYetValid,
  kCertificateNameMismatch,
  kCertificateSelfSigned,
  kCertificateUntrusted,
  kCertificateInvalid,
  kCertificateRefused,
  kTlsVersion,
  kTlsNoCommonCipher,
  kTlsHandshakeFailed,
  kTlsBadRecord,
  kStartTlsMissing,
  kStartTlsRefused,
  // The session.
  kGreetingRejected,
  kEhloRejected,
  kServiceUnavailable,
  kProtocolError,
  // Logging in.
  kAuthRejected,
  kAuthTemporary,
  kAuthMechanismTooWeak,
  kAuthPasswordTransition,
  kAuthEncryptionRequired,
  kAppPasswordRequired,
  kOauthRequired,
  kTokenExpired,
  kTokenUnavailable,
  kAuthMechanismMissing,
  kAuthServerUnproven,
  kAuthRequired,
  // The envelope and the message.
  kEncryptionRequired,
  kRelayDenied,
  kSenderRejected,
  kRecipientRejected,
  kTemporarilyRejected,
  kLimitReached,
  kSmtputf8Missing,
  kMessageRejected,
  kDeliveryUnknown,
};
inline constexpr size_t kFaultCount = static_cast<size_t>(Fault::kDeliveryUnknown) + 1;

std::string_view FaultId(Fault fault);  // "certificate_expired": stable

struct Diagnosis {
  Fault fault = Fault::kProtocolError;
  std::string what;    // one sentence: what is wrong
  std::string advice;  // what to try
};

// A relay that could not be configured (ConfigureRelay's status): nullopt where the command or a
// file must be mended first, a diagnosis where the name service or a token endpoint is the reason.
std::optional<Diagnosis> DiagnoseConfiguration(const RelayDefinition& definition,
                                               const absl::Status& status);

// Where we wanted to go: the values that words are made of.
struct CheckTarget {
  std::string host;  // name or address; empty for a Unix socket
  uint16_t port = 0;
  std::string unix_path;
  engine::smtp::Protocol protocol = engine::smtp::Protocol::kSmtp;
  engine::smtp::TlsPolicy tls = engine::smtp::TlsPolicy::kOff;
  bool with_credentials = false;
  std::string note;  // what the preset says about logging in

  std::string Name() const;  // "mx.example.org port 25"; the path of a Unix socket
};

// "smtps://mx.example.org", "smtp://[::1]:587": how to write it.
std::string UrlOf(const CheckTarget& target, PortAnswer answer, uint16_t port);

// What is known of a name that was not found.
struct NameHints {
  std::string nearest;                  // a known server's name that is nearly the same; or empty
  std::vector<std::string> that_exist;  // names like it that have an address
};
Diagnosis DiagnoseName(const CheckTarget& target, io::DnsStatus status, std::string_view error,
                       const NameHints& hints);

// No address took the connection. `connect`: how the first one ended; `others`: what the other
// ports answer, in the order of preference; may be empty.
struct ConnectFailure {
  int sys_errno = 0;
  bool timed_out = false;
  absl::Duration after;
  std::string words;  // for people
};
Diagnosis DiagnoseConnect(const CheckTarget& target, const ConnectFailure& failure,
                          std::span<const PortFinding> others);

// TLS did not come about. `same_port`: what the port says to who waits for a greeting; nothing
// known: kPending.
Diagnosis DiagnoseTls(const CheckTarget& target, const io::TlsError& error,
                      const PortFinding& same_port);

// How a session ended that should have gone on.
struct ConversationEnd {
  engine::smtp::CloseReason reason = engine::smtp::CloseReason::kNone;
  engine::smtp::CommandKind stage = engine::smtp::CommandKind::kGreeting;  // what was waited for
  engine::smtp::ReplyCode code;
  std::string words;
  engine::sasl::AuthFailure auth = engine::sasl::AuthFailure::kNone;
  bool auth_offered = false;  // any mechanism, in the last EHLO
  std::string renewal;        // of a refused token: what came of getting another
};
// `same_port`: what it says to a TLS handshake where it said nothing at all. `others`: as above,
// for what another port may have (TLS, AUTH).
Diagnosis DiagnoseEnd(const CheckTarget& target, const ConversationEnd& end,
                      const PortFinding& same_port, std::span<const PortFinding> others);

// A refused MAIL, RCPT or message.
struct Refusal {
  engine::smtp::CommandKind command = engine::smtp::CommandKind::kMail;
  engine::smtp::ReplyView reply;  // code 0: it was not sent, text says why
  bool authenticated = false;
  std::string_view from, to;
};
Diagnosis DiagnoseRefusal(const CheckTarget& target, const Refusal& refusal);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_DIAGNOSIS_H_
