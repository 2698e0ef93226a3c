// Deterministic authenticated encryption: the SIV construction (Rogaway and Shrimpton 2006; RFC
// 5297 is its instance with CMAC) with HMAC-SHA-256, cut to 128 bits, as its PRF and AES-256-CTR:
//
//   tag = HMAC-SHA-256(mac key, bytes of associated, 4 octets || associated || plain)[0..16)
//   sealed = tag || AES-256-CTR(encryption key, initial counter = tag, plain)
//
// The tag is both the proof and the synthetic IV, so no nonce has to be kept or made: the same
// input gives the same bytes, and all that equal outputs tell is that the inputs were equal.
//
// Why not OpenSSL's AES-SIV, which 3.0 has: an endpoint that is not volley has to be able to check
// these tokens too, and HMAC and CTR are in every language's standard library, SIV is in few. The
// theorem takes any PRF, and HMAC is the better known one. And AES-SIV of OpenSSL 3.0 has had its
// traps (CVE-2023-2975: empty associated data was not authenticated at all).
//
// Threading: a Siv belongs to one thread; it is made once and used for many messages, because what
// costs is looking the algorithms up and setting the keys. Errors: false or nullopt when OpenSSL
// could not, which is never an input's fault.
#ifndef VOLLEY_ENGINE_COMPLIANCE_SIV_H_
#define VOLLEY_ENGINE_COMPLIANCE_SIV_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/secret.h"

using EVP_MAC_CTX = struct evp_mac_ctx_st;
using EVP_CIPHER_CTX = struct evp_cipher_ctx_st;

namespace volley::engine::compliance {

inline constexpr size_t kSivTagBytes = 16;

// Two independent keys of 32 bytes for one purpose.
struct SivKeys {
  Secret mac;
  Secret encryption;
};

// Both keys of `purpose` by HKDF-Expand (RFC 5869 §2.3); the step before, Extract, is for keys that
// are not uniformly random, and these are. Keys of different purposes tell nothing of each other.
// nullopt: OpenSSL could not.
std::optional<SivKeys> DeriveSivKeys(const Secret& master, std::string_view purpose);

class Siv {
 public:
  // The keys are copied into OpenSSL's contexts, which clear them. nullopt: OpenSSL could not.
  static std::optional<Siv> Make(const SivKeys& keys);
  Siv(Siv&&) noexcept = default;
  Siv& operator=(Siv&&) noexcept = default;

  // Appends kSivTagBytes + plain.size() bytes. On false `*out` may have a part of them.
  bool Seal(std::string_view associated, std::string_view plain, std::string* out);
  // nullopt: not sealed with these keys and this associated data. Compares in constant time.
  std::optional<std::string> Open(std::string_view associated, std::string_view sealed);

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const;
    void operator()(EVP_CIPHER_CTX* context) const;
  };
  using MacContext = std::unique_ptr<EVP_MAC_CTX, Free>;
  using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Free>;

  Siv(MacContext mac, CipherContext cipher) : mac_(std::move(mac)), cipher_(std::move(cipher)) {}
  bool Tag(std::string_view associated, std::string_view plain, unsigned char* tag);
  bool Crypt(const unsigned char* iv, std::string_view in, char* out);

  MacContext mac_;
  CipherContext cipher_;
};

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_SIV_H_
