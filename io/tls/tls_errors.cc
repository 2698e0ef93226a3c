#include "io/tls/tls_errors.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>

namespace volley::io {
namespace {

bool IsVersion(int reason) {
  switch (reason) {
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNSUPPORTED_SSL_VERSION:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_WRONG_SSL_VERSION:
      return true;
    default:
      return false;
  }
}

bool IsCipher(int reason) {
  switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_CIPHERS_AVAILABLE:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
      return true;
    default:
      return false;
  }
}

bool IsCertificateRefused(int reason) {
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

TlsFailure FailureFor(const SSL* ssl, int reason, bool handshake_done) {
  if (IsCertificateRefused(reason)) return TlsFailure::kCertificateRefused;  // 1.3: tells us late
  if (handshake_done) return TlsFailure::kBadRecord;
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) return TlsFailure::kCertificateInvalid;
  if (IsVersion(reason)) return TlsFailure::kProtocolVersion;
  if (IsCipher(reason)) return TlsFailure::kNoCommonCipher;
  // RFC 8446 §6.2: "unable to negotiate an acceptable set of security parameters". Behind the
  // ServerHello, where a cipher is chosen, it means something else.
  if (reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE && SSL_get_pending_cipher(ssl) == nullptr) {
    return TlsFailure::kNoCommonCipher;
  }
  return TlsFailure::kHandshakeFailed;
}

}  // namespace

OpenSslFailure TakeOpenSslFailure(const SSL* ssl, bool handshake_done) {
  const unsigned long error = ERR_peek_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  ERR_clear_error();
  return {FailureFor(ssl, ERR_GET_REASON(error), handshake_done), reason == nullptr ? "" : reason};
}

}  // namespace volley::io
