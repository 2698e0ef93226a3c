// Character references: "&eacute;", "&#233;", "&#xE9;".
#include <algorithm>
#include <array>
#include <iterator>

#include "engine/message/html_entities.h"
#include "engine/message/html_text.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;

// What browsers make of &#128; to &#159;: Windows-1252. 0: no character.
constexpr std::array<uint16_t, 32> kWindows1252 = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int Digit(char c, uint32_t base) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return base == 16 && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

uint32_t Shown(uint32_t value) {
  if (value >= 0x80 && value < 0xA0) value = kWindows1252[value - 0x80];
  const bool control = value < 0x20 && value != '\t' && value != '\n' && value != '\r';
  const bool surrogate = value >= 0xD800 && value < 0xE000;
  return control || surrogate || value == 0x7F || value > 0x10FFFF ? kReplacement : value;
}

CharacterReference Made(uint32_t value, size_t bytes) {
  CharacterReference made{{}, bytes};
  AppendUtf8(value, &made.text);
  return made;
}

std::optional<CharacterReference> Numeric(std::string_view text) {
  size_t at = 2;
  const bool hex = text.size() > 2 && (text[2] | 0x20) == 'x';
  const uint32_t base = hex ? 16 : 10;
  if (hex) ++at;
  const size_t digits = at;
  uint32_t value = 0;
  for (; at < text.size() && Digit(text[at], base) >= 0; ++at) {
    value =
        std::min<uint32_t>(value * base + static_cast<uint32_t>(Digit(text[at], base)), 0x110000);
  }
  if (at == digits) return std::nullopt;
  if (at < text.size() && text[at] == ';') ++at;
  return Made(Shown(value), at);
}

std::optional<CharacterReference> Named(std::string_view text) {
  constexpr size_t kLongestName = 8;
  size_t end = 1;
  while (end < text.size() && end <= kLongestName && IsAlnum(text[end])) ++end;
  const std::string_view name = text.substr(1, end - 1);
  const auto* known = std::lower_bound(
      std::begin(kHtmlEntityNames), std::end(kHtmlEntityNames), name,
      [](const HtmlEntityName& entity, std::string_view wanted) { return entity.name < wanted; });
  if (known == std::end(kHtmlEntityNames) || known->name != name) return std::nullopt;
  if (end < text.size() && text[end] == ';') return Made(known->code_point, end + 1);
  // Without it only those of Latin-1, as pages of old have them, and not in a URL's "&copy=2".
  const bool goes_on = end < text.size() && (IsAlnum(text[end]) || text[end] == '=');
  if (known->code_point > 0xFF || goes_on) return std::nullopt;
  return Made(known->code_point, end);
}

}  // namespace

std::optional<CharacterReference> DecodeReference(std::string_view text) {
  if (text.size() < 3 || text[0] != '&') return std::nullopt;
  return text[1] == '#' ? Numeric(text) : Named(text);
}

}  // namespace volley::engine::message
