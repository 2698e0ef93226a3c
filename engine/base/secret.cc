#include "engine/base/secret.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "engine/base/secret_memory.h"

namespace volley::engine {

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  bytes_ = std::exchange(other.bytes_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

absl::StatusOr<Secret> Secret::Make(std::string_view bytes) {
  if (bytes.size() > kBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("a secret of {} bytes: at most {} are allowed", bytes.size(), kBytesMax));
  }
  return Concat({bytes});
}

absl::StatusOr<Secret> Secret::Take(std::string* bytes) {
  absl::StatusOr<Secret> secret = Make(*bytes);
  Wipe(bytes);
  return secret;
}

Secret Secret::Concat(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  Secret secret = Sized(size);
  char* out = secret.bytes();
  for (const std::string_view part : parts) out = std::copy(part.begin(), part.end(), out);
  return secret;
}

Secret Secret::Sized(size_t size) {
  Secret secret;
  if (size > 0) secret.bytes_ = AllocateSecretBytes(size);
  secret.size_ = size;
  return secret;
}

void Secret::Clear() {
  if (bytes_ != nullptr) FreeSecretBytes(bytes_, size_);
  bytes_ = nullptr;
  size_ = 0;
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Wipe(std::string* text) {
  text->resize(text->capacity());  // no reallocation: the bytes behind the end are cleared too
  OPENSSL_cleanse(text->data(), text->size());
  text->clear();
}

}  // namespace volley::engine
