// What an SSL_CTX calls back into: the engine of the SSL it is about. Set once, by the configs.
#ifndef VOLLEY_IO_TLS_TLS_CALLBACKS_H_
#define VOLLEY_IO_TLS_TLS_CALLBACKS_H_

#include <openssl/ssl.h>

namespace volley::io {

void InstallClientCallbacks(SSL_CTX* ctx);
void InstallServerCallbacks(SSL_CTX* ctx);

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_CALLBACKS_H_
