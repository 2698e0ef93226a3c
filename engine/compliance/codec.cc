#include "engine/compliance/codec.h"

#include <cstdint>

namespace volley::engine::compliance {
namespace {

constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Widths are template arguments so that the loop is unrolled and shifts are constants: this runs
// once a message.
template <int kWidth>
void AppendEncoded(std::string_view bytes, const char* alphabet, std::string* out) {
  const size_t begin = out->size();
  out->resize(begin + (bytes.size() * 8 + kWidth - 1) / kWidth);
  char* next = out->data() + begin;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= kWidth; bits &= (1U << count) - 1) {
      count -= kWidth;
      *next++ = alphabet[bits >> count];
    }
  }
  if (count > 0) *next = alphabet[bits << (kWidth - count)];
}

std::optional<std::string> Decode(std::string_view text, int width, std::string_view alphabet) {
  std::string bytes;
  bytes.reserve(text.size() * static_cast<size_t>(width) / 8);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << width | static_cast<uint32_t>(value);
    count += width;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count));
    bits &= (1U << count) - 1;
  }
  // A whole character over, or bits set that no byte uses: there is a shorter or another text for
  // the same bytes.
  if (count >= width || bits != 0) return std::nullopt;
  return bytes;
}

}  // namespace

void AppendBase64Url(std::string_view bytes, std::string* out) {
  AppendEncoded<6>(bytes, kBase64Url.data(), out);
}

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  return Decode(text, 6, kBase64Url);
}

void AppendBase32(std::string_view bytes, std::string* out) {
  AppendEncoded<5>(bytes, kBase32.data(), out);
}

std::optional<std::string> DecodeBase32(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = ToLower(c);
  return Decode(lower, 5, kBase32);
}

}  // namespace volley::engine::compliance
