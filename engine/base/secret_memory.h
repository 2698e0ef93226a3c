// Memory for secrets: pages that the kernel leaves out of core dumps (MADV_DONTDUMP), handed out in
// blocks, so that a login costs no system call. All of it is zero when it is handed out and is
// overwritten when it comes back.
//
// Not OpenSSL's secure heap: that is one arena of a fixed size, which falls back to ordinary memory
// when it is full, and with it OpenSSL's own keys would move there, too.
//
// Threading: any; one short lock. Memory that was needed once is kept for the next secrets.
#ifndef VOLLEY_ENGINE_BASE_SECRET_MEMORY_H_
#define VOLLEY_ENGINE_BASE_SECRET_MEMORY_H_

#include <cstddef>

namespace volley::engine {

// `size` bytes of zero, for any type. Ends the process when there is no memory. REQUIRES: size > 0.
char* AllocateSecretBytes(size_t size);
// REQUIRES: from AllocateSecretBytes(size), the same size.
void FreeSecretBytes(char* bytes, size_t size);

}  // namespace volley::engine

#endif  // VOLLEY_ENGINE_BASE_SECRET_MEMORY_H_
