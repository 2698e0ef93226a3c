#include "io/tls/tls_info.h"

namespace volley::io {

std::string_view TlsFailureId(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kCertificateExpired:
      return "certificate_expired";
    case TlsFailure::kCertificateNotYetValid:
      return "certificate_not_yet_valid";
    case TlsFailure::kCertificateNameMismatch:
      return "certificate_name_mismatch";
    case TlsFailure::kCertificateSelfSigned:
      return "certificate_self_signed";
    case TlsFailure::kCertificateUntrusted:
      return "certificate_untrusted";
    case TlsFailure::kCertificateInvalid:
      return "certificate_invalid";
    case TlsFailure::kCertificateRefused:
      return "certificate_refused";
    case TlsFailure::kProtocolVersion:
      return "protocol_version";
    case TlsFailure::kNoCommonCipher:
      return "no_common_cipher";
    case TlsFailure::kPlaintextPeer:
      return "plaintext_peer";
    case TlsFailure::kHandshakeFailed:
      return "handshake_failed";
    case TlsFailure::kPeerClosed:
      return "peer_closed";
    case TlsFailure::kTimeout:
      return "timeout";
    case TlsFailure::kTruncated:
      return "truncated";
    case TlsFailure::kBadRecord:
      return "bad_record";
  }
  return "";
}

std::string_view TlsFailureWords(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "no failure";
    case TlsFailure::kCertificateExpired:
      return "the certificate has expired";
    case TlsFailure::kCertificateNotYetValid:
      return "the certificate is not valid yet";
    case TlsFailure::kCertificateNameMismatch:
      return "the certificate is for another name";
    case TlsFailure::kCertificateSelfSigned:
      return "the certificate is self-signed";
    case TlsFailure::kCertificateUntrusted:
      return "the certificate's issuer is not trusted";
    case TlsFailure::kCertificateInvalid:
      return "the certificate is not acceptable";
    case TlsFailure::kCertificateRefused:
      return "the peer refused our certificate or wants one";
    case TlsFailure::kProtocolVersion:
      return "no TLS version in common";
    case TlsFailure::kNoCommonCipher:
      return "no TLS cipher in common";
    case TlsFailure::kPlaintextPeer:
      return "the peer spoke plaintext";
    case TlsFailure::kHandshakeFailed:
      return "the TLS handshake failed";
    case TlsFailure::kPeerClosed:
      return "the peer ended the connection during the TLS handshake";
    case TlsFailure::kTimeout:
      return "the TLS handshake took too long";
    case TlsFailure::kTruncated:
      return "the connection ended without the end of TLS (close_notify)";
    case TlsFailure::kBadRecord:
      return "a damaged TLS record came";
  }
  return "";
}

}  // namespace volley::io
