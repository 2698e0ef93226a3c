// From OpenSSL's error queue to a TlsFailure.
#ifndef VOLLEY_IO_TLS_TLS_ERRORS_H_
#define VOLLEY_IO_TLS_TLS_ERRORS_H_

#include <openssl/ssl.h>

#include "io/tls/tls_info.h"

namespace volley::io {

// What the first error in this thread's queue means; empties the queue. REQUIRES: an SSL call has
// failed. `handshake_done`: it was not the handshake.
struct OpenSslFailure {
  TlsFailure failure;
  const char* reason;  // OpenSSL's words, static; "" when it has none
};
OpenSslFailure TakeOpenSslFailure(const SSL* ssl, bool handshake_done);

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_ERRORS_H_
