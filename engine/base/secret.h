// Secret: a password, a token or a key, and every string that holds one on its way out. It never
// prints: streaming it does not compile, fmt writes "(secret)", and only reveal() gives the bytes.
// Its memory is its own, is left out of core dumps (secret_memory.h), is never moved by growing,
// and is overwritten before it is freed.
//
// What it cannot do: clear the copies other code makes of reveal() (a TLS library's record, the
// kernel's socket buffer).
//
// Threading: as any value. Lifetime: a view from reveal() lives until the secret is moved from,
// assigned to, cleared or destroyed. Errors: Make() and Take() refuse what is over kBytesMax.
#ifndef VOLLEY_ENGINE_BASE_SECRET_H_
#define VOLLEY_ENGINE_BASE_SECRET_H_

#include <cstddef>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "fmt/format.h"

namespace volley::engine {

class Secret {
 public:
  // Of one password or token. The longest in use are OAuth2 access tokens: Google says up to 2048
  // bytes, Microsoft's grow with the claims to a few kilobytes. With the rest of a SASL message and
  // in base64 it stays under the 12288 octets every server has to take (RFC 4954 §4).
  static constexpr size_t kBytesMax = 8 * 1024;

  Secret() = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Clear(); }

  // A copy of `bytes`; the caller clears its own. InvalidArgument: over kBytesMax.
  [[nodiscard]] static absl::StatusOr<Secret> Make(std::string_view bytes);
  // As Make(), and `*bytes` is overwritten and emptied, also when it was too long.
  [[nodiscard]] static absl::StatusOr<Secret> Take(std::string* bytes);
  // `parts` one behind the other, in memory of exactly that size. For messages made of secrets:
  // not bounded by kBytesMax, the parts are.
  static Secret Concat(std::initializer_list<std::string_view> parts);
  // `size` bytes of zero, to be written through bytes().
  static Secret Sized(size_t size);
  Secret Clone() const { return Concat({reveal()}); }

  std::string_view reveal() const { return {bytes_, size_}; }
  char* bytes() { return bytes_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void Clear();

 private:
  char* bytes_ = nullptr;  // null when size_ is 0
  size_t size_ = 0;
};

std::ostream& operator<<(std::ostream&, const Secret&) = delete;

// Takes the same time wherever the two differ. Their sizes are not kept secret.
bool EqualInConstantTime(std::string_view a, std::string_view b);

// Overwrites the whole capacity of `*text` and leaves it empty.
void Wipe(std::string* text);

}  // namespace volley::engine

template <>
struct fmt::formatter<volley::engine::Secret> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const volley::engine::Secret&, Context& context) const {
    return fmt::formatter<fmt::string_view>::format("(secret)", context);
  }
};

#endif  // VOLLEY_ENGINE_BASE_SECRET_H_
