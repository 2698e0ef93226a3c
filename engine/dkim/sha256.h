// Sha256: a streaming SHA-256 by OpenSSL that can be used again and again.
//
// Threading: one thread. Lifetime: a value, not copied. Errors: OpenSSL without SHA-256 or without
// memory ends the process; no configuration of DKIM can do without it.
#ifndef VOLLEY_ENGINE_DKIM_SHA256_H_
#define VOLLEY_ENGINE_DKIM_SHA256_H_

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

namespace volley::engine::dkim {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void Start();  // forgets what was added
  void Add(std::string_view bytes);
  Sha256Digest Finish();  // Start() comes next

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_SHA256_H_
