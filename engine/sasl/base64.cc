#include "engine/sasl/base64.h"

#include <array>
#include <cstdint>

namespace volley::engine::sasl {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNone;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}();

constexpr size_t EncodedSize(size_t bytes) { return (bytes + 2) / 3 * 4; }

void EncodeTo(std::string_view bytes, char* out) {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    *out++ = kAlphabet[group >> 18 & 63];
    *out++ = kAlphabet[group >> 12 & 63];
    *out++ = i + 1 < bytes.size() ? kAlphabet[group >> 6 & 63] : '=';
    *out++ = i + 2 < bytes.size() ? kAlphabet[group & 63] : '=';
  }
}

size_t PaddingOf(std::string_view text) {
  if (text.ends_with("==")) return 2;
  return text.ends_with('=') ? 1 : 0;
}

}  // namespace

std::string EncodeBase64(std::string_view bytes) {
  std::string text(EncodedSize(bytes.size()), '\0');
  EncodeTo(bytes, text.data());
  return text;
}

Secret EncodeBase64(const Secret& bytes) {
  Secret text = Secret::Sized(EncodedSize(bytes.size()));
  EncodeTo(bytes.reveal(), text.bytes());
  return text;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() > kBase64BytesMax || text.size() % 4 != 0) return std::nullopt;
  const size_t padding = PaddingOf(text);
  text.remove_suffix(padding);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<unsigned char>(c)];
    if (value == kNone) return std::nullopt;
    bits = bits << 6 | value;
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    bytes.push_back(static_cast<char>(bits >> bit_count & 0xff));
    bits &= (1U << bit_count) - 1;
  }
  // One character of padding leaves two bits over, two leave four: they have to be zero.
  if (bits != 0) return std::nullopt;
  return bytes;
}

}  // namespace volley::engine::sasl
