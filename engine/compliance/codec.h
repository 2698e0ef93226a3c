// Binary as text: base64url without padding (RFC 4648 §5) for URLs, base32 in lower case without
// padding (RFC 4648 §6) for local parts, whose case gets lost on the way.
//
// Only the canonical encoding is decoded: no padding, no white space, no bits that no byte uses. So
// that two texts are never the same bytes, but for the case of base32.
//
// Threading: functions without state. Errors: nullopt. The caller bounds the size.
#ifndef VOLLEY_ENGINE_COMPLIANCE_CODEC_H_
#define VOLLEY_ENGINE_COMPLIANCE_CODEC_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace volley::engine::compliance {

constexpr size_t Base64UrlSize(size_t bytes) { return (bytes * 8 + 5) / 6; }
constexpr size_t Base32Size(size_t bytes) { return (bytes * 8 + 4) / 5; }

void AppendBase64Url(std::string_view bytes, std::string* out);
std::optional<std::string> DecodeBase64Url(std::string_view text);
void AppendBase32(std::string_view bytes, std::string* out);
std::optional<std::string> DecodeBase32(std::string_view text);  // either case

inline bool IsBase64UrlChar(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_CODEC_H_
