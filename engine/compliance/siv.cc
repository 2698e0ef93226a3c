#include "engine/compliance/siv.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace volley::engine::compliance {
namespace {

constexpr size_t kHashBytes = 32;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Secret HmacSha256(const Secret& key, std::string_view data) {
  Secret out = Secret::Sized(kHashBytes);
  if (HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.size()), Bytes(data),
           data.size(), reinterpret_cast<unsigned char*>(out.bytes()), nullptr) == nullptr) {
    return {};
  }
  return out;
}

struct FreeMac {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
};

}  // namespace

std::optional<SivKeys> DeriveSivKeys(const Secret& master, std::string_view purpose) {
  // One block of HKDF-Expand is HMAC(PRK, info || 0x01).
  const std::string info = "volley " + std::string(purpose) + " v1 ";
  SivKeys keys{.mac = HmacSha256(master, info + "mac\x01"),
               .encryption = HmacSha256(master, info + "encryption\x01")};
  if (keys.mac.empty() || keys.encryption.empty()) return std::nullopt;
  return keys;
}

void Siv::Free::operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
void Siv::Free::operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }

std::optional<Siv> Siv::Make(const SivKeys& keys) {
  const std::unique_ptr<EVP_MAC, FreeMac> hmac(EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr));
  if (hmac == nullptr) return std::nullopt;
  MacContext mac(EVP_MAC_CTX_new(hmac.get()));  // keeps the EVP_MAC alive
  CipherContext cipher(EVP_CIPHER_CTX_new());
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1),
      OSSL_PARAM_construct_end()};
  const bool made = mac != nullptr && cipher != nullptr &&
                    EVP_MAC_init(mac.get(), Bytes(keys.mac.reveal()), keys.mac.size(), params) &&
                    EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_ctr(), nullptr,
                                       Bytes(keys.encryption.reveal()), nullptr) == 1;
  if (!made) return std::nullopt;
  return Siv(std::move(mac), std::move(cipher));
}

// The length in front: no two (associated, plain) pairs give the same bytes.
bool Siv::Tag(std::string_view associated, std::string_view plain, unsigned char* tag) {
  const auto size = static_cast<uint32_t>(associated.size());
  const unsigned char length[4] = {
      static_cast<unsigned char>(size >> 24), static_cast<unsigned char>(size >> 16),
      static_cast<unsigned char>(size >> 8), static_cast<unsigned char>(size)};
  size_t written = 0;
  return EVP_MAC_init(mac_.get(), nullptr, 0, nullptr) == 1 &&  // the same key again
         EVP_MAC_update(mac_.get(), length, sizeof length) == 1 &&
         EVP_MAC_update(mac_.get(), Bytes(associated), associated.size()) == 1 &&
         EVP_MAC_update(mac_.get(), Bytes(plain), plain.size()) == 1 &&
         EVP_MAC_final(mac_.get(), tag, &written, kHashBytes) == 1 && written == kHashBytes;
}

// In CTR mode encrypting and decrypting are the same.
bool Siv::Crypt(const unsigned char* iv, std::string_view in, char* out) {
  int written = 0;
  return EVP_EncryptInit_ex(cipher_.get(), nullptr, nullptr, nullptr, iv) == 1 &&
         EVP_EncryptUpdate(cipher_.get(), reinterpret_cast<unsigned char*>(out), &written,
                           Bytes(in), static_cast<int>(in.size())) == 1 &&
         static_cast<size_t>(written) == in.size();
}

bool Siv::Seal(std::string_view associated, std::string_view plain, std::string* out) {
  unsigned char tag[kHashBytes];
  if (!Tag(associated, plain, tag)) return false;
  out->append(reinterpret_cast<const char*>(tag), kSivTagBytes);
  const size_t begin = out->size();
  out->resize(begin + plain.size());
  return Crypt(tag, plain, out->data() + begin);
}

std::optional<std::string> Siv::Open(std::string_view associated, std::string_view sealed) {
  if (sealed.size() < kSivTagBytes) return std::nullopt;
  const std::string_view iv = sealed.substr(0, kSivTagBytes);
  std::string plain(sealed.size() - kSivTagBytes, '\0');
  unsigned char tag[kHashBytes];
  if (!Crypt(Bytes(iv), sealed.substr(kSivTagBytes), plain.data()) ||
      !Tag(associated, plain, tag) ||
      !EqualInConstantTime({reinterpret_cast<const char*>(tag), kSivTagBytes}, iv)) {
    return std::nullopt;
  }
  return plain;
}

}  // namespace volley::engine::compliance
