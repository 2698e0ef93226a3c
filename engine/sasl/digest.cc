#include "engine/sasl/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace volley::engine::sasl {
namespace {

const EVP_MD* Algorithm(Hash hash) {
  switch (hash) {
    case Hash::kMd5:
      return EVP_md5();
    case Hash::kSha1:
      return EVP_sha1();
    case Hash::kSha256:
      return EVP_sha256();
  }
  return nullptr;
}

Secret SizedFor(const EVP_MD* algorithm) {
  return Secret::Sized(static_cast<size_t>(EVP_MD_get_size(algorithm)));
}

unsigned char* Bytes(Secret* secret) { return reinterpret_cast<unsigned char*>(secret->bytes()); }

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Secret Hmac(Hash hash, std::string_view key, std::string_view data) {
  const EVP_MD* algorithm = Algorithm(hash);
  Secret out = SizedFor(algorithm);
  // A null key would mean "the key of last time" to OpenSSL.
  const char* key_bytes = key.empty() ? "" : key.data();
  if (HMAC(algorithm, key_bytes, static_cast<int>(key.size()), Bytes(data), data.size(),
           Bytes(&out), nullptr) == nullptr) {
    return {};
  }
  return out;
}

Secret Digest(Hash hash, std::string_view data) {
  const EVP_MD* algorithm = Algorithm(hash);
  Secret out = SizedFor(algorithm);
  if (EVP_Digest(data.data(), data.size(), Bytes(&out), nullptr, algorithm, nullptr) != 1) {
    return {};
  }
  return out;
}

Secret Pbkdf2(Hash hash, std::string_view password, std::string_view salt, uint32_t iterations) {
  const EVP_MD* algorithm = Algorithm(hash);
  Secret out = SizedFor(algorithm);
  if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), Bytes(salt),
                        static_cast<int>(salt.size()), static_cast<int>(iterations), algorithm,
                        static_cast<int>(out.size()), Bytes(&out)) != 1) {
    return {};
  }
  return out;
}

}  // namespace volley::engine::sasl
