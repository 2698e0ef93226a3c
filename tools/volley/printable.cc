#include "tools/volley/printable.h"

#include <algorithm>
#include <cstdint>

#include "engine/message/utf8.h"

namespace volley::tools {
namespace {

constexpr size_t kShownBytes = 200;

bool MayBeShown(uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  // Directional overrides turn a line around.
  const bool bidi = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return !control && !bidi && c != 0x2028 && c != 0x2029;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty() && out.size() < kShownBytes) {
    const auto c = engine::message::DecodeUtf8(text);
    const bool good = c.bytes > 0 && MayBeShown(c.value);
    const size_t bytes = std::max<size_t>(1, c.bytes);
    out += good ? text.substr(0, bytes) : "?";
    text.remove_prefix(bytes);
  }
  return text.empty() ? out : out + "...";
}

}  // namespace volley::tools
