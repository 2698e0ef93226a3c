// UTF-8 as the message code needs it: validity, and one code point at a time. RFC 3629.
// Everything is pure, allocates nothing and has a fast path for ASCII, the usual case.
#ifndef VOLLEY_ENGINE_MESSAGE_UTF8_H_
#define VOLLEY_ENGINE_MESSAGE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace volley::engine::message {

inline constexpr uint64_t kHighBits = 0x8080808080808080;

// How many bytes at the front of `text` are ASCII.
inline size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & kHighBits) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

inline bool IsAscii(std::string_view text) { return AsciiPrefix(text) == text.size(); }

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;  // 0: not valid UTF-8 here
};

// The code point at the front of `text`. No overlong forms, surrogates or values over 10FFFF.
CodePoint DecodeUtf8(std::string_view text);

// Offset of the first byte that is not valid UTF-8; text.size() when all of it is.
size_t ValidUtf8Prefix(std::string_view text);
inline bool IsUtf8(std::string_view text) { return ValidUtf8Prefix(text) == text.size(); }

// REQUIRES: value is a code point and no surrogate.
void AppendUtf8(uint32_t value, std::string* out);

// `text` for a message to people: control characters, quotes and invalid bytes as escapes, in
// quotes, cut after some 60 bytes.
std::string Quoted(std::string_view text);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_UTF8_H_
