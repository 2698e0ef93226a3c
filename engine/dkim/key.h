// SigningKey: a domain's private key, RSA or Ed25519, and the DNS record that goes with it.
//
// Threading: a SigningKey is immutable; any number of threads may sign with one, each through its
// own SigningContext. LIFETIME: shared_ptr: a context keeps its key, so that a reload may drop the
// old one while messages are still signed with it. The private part never leaves it but by ToPem().
// Source: RFC 6376 §3.3, §3.6.1; RFC 8301 (sizes); RFC 8463 (Ed25519); RFC 7468 (PEM).
#ifndef VOLLEY_ENGINE_DKIM_KEY_H_
#define VOLLEY_ENGINE_DKIM_KEY_H_

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "engine/dkim/sha256.h"

namespace volley::engine::dkim {

enum class KeyAlgorithm : uint8_t { kRsa, kEd25519 };
std::string_view SignatureAlgorithmName(KeyAlgorithm algorithm);  // as in a=: "rsa-sha256"
std::string_view KeyTypeName(KeyAlgorithm algorithm);             // as in k=: "rsa"

// RFC 8301 §3.2: signers must use 1024 bits or more and should use 2048 or more; verifiers need not
// take more than 4096, so a longer key would look like a broken signature to some.
inline constexpr int kRsaBitsMin = 1024;
inline constexpr int kRsaBitsDefault = 2048;
inline constexpr int kRsaBitsMax = 4096;

struct OpensslFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

class SigningKey {
 public:
  static constexpr size_t kPemBytesMax = 32 * 1024;

  // A PEM file's text with one private key: PKCS#1 ("RSA PRIVATE KEY") or PKCS#8 ("PRIVATE KEY").
  // InvalidArgument, with what to do: an encrypted key, a public key or certificate, several keys,
  // another algorithm, an RSA size outside the bounds, a key whose parts do not fit.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const SigningKey>> ParsePem(
      std::string_view pem);
  // A new key; takes up to seconds for RSA. InvalidArgument: `rsa_bits` outside the bounds.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const SigningKey>> Generate(
      KeyAlgorithm algorithm, int rsa_bits = kRsaBitsDefault);

  KeyAlgorithm algorithm() const { return algorithm_; }
  int bits() const { return EVP_PKEY_get_bits(key_.get()); }  // 253 for Ed25519

  // The public key as p= has it: base64 of the SubjectPublicKeyInfo (RSA) or of the 32 raw bytes.
  const std::string& public_key() const { return public_key_; }
  // "v=DKIM1; k=rsa; p=...": the TXT record at SELECTOR._domainkey.DOMAIN, in one piece.
  std::string DnsRecord() const;
  // Whether `bytes` (a record's p=, decoded) are this key's public half: the same key, also where
  // its SubjectPublicKeyInfo is encoded in another way.
  bool HasPublicKey(std::string_view bytes) const;

  // PKCS#8, unencrypted. Empty when OpenSSL could not.
  Secret ToPem() const;

 private:
  friend class SigningContext;
  using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree>;

  SigningKey(KeyAlgorithm algorithm, KeyPtr key) : algorithm_(algorithm), key_(std::move(key)) {}
  static absl::StatusOr<std::shared_ptr<const SigningKey>> Make(KeyPtr key);
  bool EncodePublicKey();
  bool SignsWhatItVerifies() const;

  KeyAlgorithm algorithm_;
  KeyPtr key_;
  std::string public_key_;
};

// A record's text cut into the strings of at most 255 bytes that a TXT record is made of
// (RFC 6376 §3.6.2.2: they are joined without anything between them).
std::vector<std::string_view> SplitTxtRecord(std::string_view record);

// One thread's way to sign with a key.
class SigningContext {
 public:
  static constexpr size_t kSignatureBytesMax = kRsaBitsMax / 8;

  explicit SigningContext(std::shared_ptr<const SigningKey> key);
  SigningContext(SigningContext&&) noexcept = default;
  SigningContext& operator=(SigningContext&&) noexcept = default;

  const SigningKey& key() const { return *key_; }
  // The raw signature over the hash of a message's header (b= before base64); a view that is good
  // until the next call or a move. Empty: OpenSSL could not sign.
  std::string_view Sign(const Sha256Digest& digest);

 private:
  bool PrepareRsa();

  std::shared_ptr<const SigningKey> key_;
  std::unique_ptr<EVP_PKEY_CTX, OpensslFree> rsa_;    // null: Ed25519, or not yet prepared
  std::unique_ptr<EVP_MD_CTX, OpensslFree> ed25519_;  // null: RSA
  std::array<unsigned char, kSignatureBytesMax> signature_;
};

// Base64 (RFC 4648 §4) appended to `out`.
void AppendBase64(std::string_view bytes, std::string* out);

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_KEY_H_
