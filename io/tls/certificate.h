// What is known of a peer's certificate, and what is wrong with it.
#ifndef VOLLEY_IO_TLS_CERTIFICATE_H_
#define VOLLEY_IO_TLS_CERTIFICATE_H_

#include <openssl/x509.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "io/tls/tls_info.h"

namespace volley::io {

// Printable ASCII of what a peer sent, cut at `most` bytes; everything else becomes '?'.
std::string ShownText(std::string_view text, size_t most);

// RFC 4514 form, cut at kTlsTextShownMax.
std::string ShownName(const X509_NAME* name);

// Fills the certificate part of `info`: names, issuer, dates.
void DescribeCertificate(const X509* certificate, TlsInfo* info);

// All faults found in one chain. OpenSSL stops at the first; a user is better served with all.
class CertificateVerdict {
 public:
  // Runs the verification, going on after each fault, and leaves in `store` the code of the one
  // that counts most (it becomes the alert and is kept with the session). True: no fault.
  bool Verify(X509_STORE_CTX* store);
  // A fault known by its X509_V_ERR code only, from a resumed session.
  void Add(int x509_error);

  bool good() const { return failure() == TlsFailure::kNone; }
  TlsFailure failure() const;  // the first in TlsFailure's order
  // For people. `expected`: the name that was looked for; `trust_source`: see TlsClientConfig.
  std::string Words(const TlsInfo& info, std::string_view expected,
                    std::string_view trust_source) const;

 private:
  static constexpr size_t kKinds = static_cast<size_t>(TlsFailure::kCertificateInvalid) + 1;
  static int OnStep(int ok, X509_STORE_CTX* store);
  void Add(int x509_error, int depth, const X509* certificate);
  std::string WordsFor(TlsFailure failure, const TlsInfo& info, std::string_view expected,
                       std::string_view trust_source) const;

  struct Fault {
    int x509_error = 0;  // X509_V_OK: not found
    int depth = 0;       // 0: the server's own certificate
    std::string issuer;  // for depth > 0: the name of that authority
  };
  std::array<Fault, kKinds> faults_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_CERTIFICATE_H_
