// Certificates and keys from PEM files into an SSL_CTX, with errors that name the file and why.
#ifndef VOLLEY_IO_TLS_PEM_FILES_H_
#define VOLLEY_IO_TLS_PEM_FILES_H_

#include <openssl/ssl.h>

#include <string>

#include "absl/status/status.h"
#include "io/tls/tls_context.h"

namespace volley::io {

// Errors: NotFound, PermissionDenied (also of a key that others can read), InvalidArgument (not
// PEM, an encrypted key, key and certificate do not belong together).
absl::Status UseCertificate(const TlsCertificateFiles& files, SSL_CTX* ctx);

// The authorities in `file` become trusted. InvalidArgument: there is no certificate in it.
absl::Status TrustFile(const std::string& file, SSL_CTX* ctx);

// The newest reason in OpenSSL's queue, for messages; empties the queue.
std::string TakeOpenSslReason();

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_PEM_FILES_H_
