#include "engine/message/mime.h"

#include <fmt/format.h>

#include <array>

namespace volley::engine::message {
namespace {

// splitmix64: spreads neighbouring seeds over all bits.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

bool IsSevenBitLine(std::string_view line) {
  constexpr size_t kMaxLineBytes = 76;
  if (line.size() > kMaxLineBytes || line.starts_with(".") || line.starts_with("From "))
    return false;
  if (line.ends_with(' ') || line.ends_with('\t')) return false;
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte >= 0x7F) return false;
  }
  return true;
}

}  // namespace

std::string MakeBoundary(uint64_t seed, uint64_t multipart) {
  seed = Mix(seed) + multipart;
  return fmt::format("=_{:016x}{:016x}", Mix(seed), Mix(~seed));
}

bool IsSevenBit(std::string_view fixed_text) {
  if (fixed_text.find("=_") != fixed_text.npos) return false;
  const std::string text = WithCrlf(fixed_text);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    if (!IsSevenBitLine(rest.substr(0, end))) return false;
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 2);
  }
  return true;
}

std::string WithCrlf(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' && text[i] != '\n') {
      out.push_back(text[i]);
      continue;
    }
    if (text.substr(i, 2) == "\r\n") ++i;
    out.append("\r\n");
  }
  return out;
}

std::string PartHeaders(PartType type, PartEncoding encoding) {
  constexpr std::array<std::string_view, 3> kTypes = {"plain", "x-amp-html", "html"};
  constexpr std::array<std::string_view, 3> kEncodings = {"7bit", "quoted-printable", "base64"};
  return fmt::format("Content-Type: text/{}; charset=utf-8\r\nContent-Transfer-Encoding: {}\r\n",
                     kTypes[static_cast<size_t>(type)], kEncodings[static_cast<size_t>(encoding)]);
}

}  // namespace volley::engine::message
