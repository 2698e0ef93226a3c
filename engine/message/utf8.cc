#include "engine/message/utf8.h"

#include <fmt/format.h>

namespace volley::engine::message {
namespace {

struct Lead {
  size_t bytes;
  uint32_t bits;
  uint32_t smallest;  // a lower value is an overlong form
};

Lead LeadOf(unsigned char c) {
  if (c < 0x80) return {1, c, 0};
  if (c >= 0xC2 && c <= 0xDF) return {2, c & 0x1Fu, 0x80};
  if (c >= 0xE0 && c <= 0xEF) return {3, c & 0x0Fu, 0x800};
  if (c >= 0xF0 && c <= 0xF4) return {4, c & 0x07u, 0x10000};
  return {0, 0, 0};
}

}  // namespace

CodePoint DecodeUtf8(std::string_view text) {
  if (text.empty()) return {};
  const Lead lead = LeadOf(static_cast<unsigned char>(text[0]));
  if (lead.bytes == 0 || lead.bytes > text.size()) return {};
  uint32_t value = lead.bits;
  for (size_t i = 1; i < lead.bytes; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c & 0xC0) != 0x80) return {};
    value = (value << 6) | (c & 0x3Fu);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < lead.smallest || surrogate || value > 0x10FFFF) return {};
  return {value, lead.bytes};
}

size_t ValidUtf8Prefix(std::string_view text) {
  size_t i = 0;
  while (true) {
    i += AsciiPrefix(text.substr(i));
    if (i == text.size()) return i;
    const CodePoint point = DecodeUtf8(text.substr(i));
    if (point.bytes == 0) return i;
    i += point.bytes;
  }
}

void AppendUtf8(uint32_t value, std::string* out) {
  auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    put(value);
    return;
  }
  if (value < 0x800) {
    put(0xC0 | value >> 6);
  } else {
    if (value < 0x10000) {
      put(0xE0 | value >> 12);
    } else {
      put(0xF0 | value >> 18);
      put(0x80 | (value >> 12 & 0x3F));
    }
    put(0x80 | (value >> 6 & 0x3F));
  }
  put(0x80 | (value & 0x3F));
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShownBytes = 60;
  std::string out = "\"";
  size_t i = 0;
  while (i < text.size() && i < kShownBytes) {
    const CodePoint point = DecodeUtf8(text.substr(i));
    const char c = text[i];
    if (point.bytes == 0) {
      fmt::format_to(std::back_inserter(out), "\\x{:02X}", static_cast<unsigned char>(c));
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0)) {
      fmt::format_to(std::back_inserter(out), "\\x{:02X}", point.value);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += text.substr(i, point.bytes);
    }
    i += point.bytes == 0 ? 1 : point.bytes;
  }
  out += i < text.size() ? "...\"" : "\"";
  return out;
}

}  // namespace volley::engine::message
