// What TLS did, or why it did not: values to show, to log and to decide on. No OpenSSL in here.
#ifndef VOLLEY_IO_TLS_TLS_INFO_H_
#define VOLLEY_IO_TLS_TLS_INFO_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace volley::io {

// Stable: the ids are written to events and `--json`.
enum class TlsFailure : uint8_t {
  kNone,
  // The certificate, in the order in which one is named first when several apply.
  kCertificateExpired,
  kCertificateNotYetValid,
  kCertificateNameMismatch,
  kCertificateSelfSigned,
  kCertificateUntrusted,  // issued by nobody we know
  kCertificateInvalid,    // anything else: wrong purpose, weak key, broken extension, bad signature
  // The handshake.
  kCertificateRefused,  // the peer refused our certificate, or wants one and got none
  kProtocolVersion,     // no version in common
  kNoCommonCipher,
  kPlaintextPeer,    // what came is not TLS (an SMTP banner, an HTTP error)
  kHandshakeFailed,  // anything else: damaged messages, an alert without a better name
  kPeerClosed,       // ended or reset during the handshake
  kTimeout,
  // After the handshake.
  kTruncated,  // the connection ended without close_notify (RFC 8446 §6.1): something may be
               // missing
  kBadRecord,  // damaged, forged or out of order
};

// "certificate_expired": stable, for events and tests.
std::string_view TlsFailureId(TlsFailure failure);
// "the certificate has expired": for people, without the case at hand.
std::string_view TlsFailureWords(TlsFailure failure);

// A finished handshake. Strings that the peer chose are cut (limits.h) and hold only printable
// ASCII; what was not printable is '?'.
struct TlsInfo {
  std::string version;       // "TLSv1.3"
  std::string cipher;        // "TLS_AES_128_GCM_SHA256"
  std::string key_exchange;  // "x25519"; empty where OpenSSL cannot tell (1.2 without (EC)DHE)
  bool resumed = false;      // by a ticket: nothing of the certificate was sent this time
  // The server name of the handshake: what we asked for, or, on the server side, what the client
  // asked for. Empty: none was sent (an IP address is never sent, RFC 6066 §3).
  std::string server_name;

  // The peer's certificate. All empty when it sent none (a client usually does not).
  std::string subject;                  // RFC 4514 form: "CN=mx.example.com,O=Example"
  std::string issuer;                   // the same
  std::vector<std::string> peer_names;  // dNSName and iPAddress of the subjectAltName
  bool more_names = false;              // it has more than we list
  absl::Time not_before = absl::InfinitePast();
  absl::Time not_after = absl::InfiniteFuture();

  // Chain and name are good, checked or not wanted: known in both modes of TlsVerify. For a resumed
  // session what the first handshake found.
  bool verified = false;
  TlsFailure unverified_reason = TlsFailure::kNone;  // the first of them; kNone: no name was given
  std::string why_not_verified;  // all of them, for people: names, dates, issuer; empty: verified
};

// Why a TLS connection did not come about or ended.
struct TlsError {
  TlsFailure failure = TlsFailure::kNone;
  // For people, with the case at hand: "the certificate is for smtp.example.net, not for
  // smtp.example.com". One line, printable ASCII.
  std::string message;
  TlsInfo info;  // as far as the handshake had got; the certificate when there was one
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_INFO_H_
