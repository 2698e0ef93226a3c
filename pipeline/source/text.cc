#include "pipeline/source/text.h"

#include <fmt/format.h>

#include "absl/container/flat_hash_set.h"
#include "engine/message/utf8.h"

namespace volley::pipeline {

std::string_view CutAtCodePoint(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t cut = max_bytes;
  // No sequence has more than three continuation bytes; bytes that are not UTF-8 are cut anywhere.
  while (cut > 0 && max_bytes - cut < 3 && (text[cut] & 0xC0) == 0x80) --cut;
  return text.substr(0, cut);
}

std::string_view TrimBlanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

void AsciiLower(std::string_view text, std::string* out) {
  out->resize(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    (*out)[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
}

std::string QuotedList(std::span<const std::string> names) {
  constexpr size_t kShown = 30;
  std::string out;
  for (size_t i = 0; i < names.size() && i < kShown; ++i) {
    out += (i == 0 ? "" : ", ") + engine::message::Quoted(names[i]);
  }
  if (names.size() > kShown) out += fmt::format(", and {} more", names.size() - kShown);
  return out;
}

size_t FindRepeated(std::span<const std::string> names) {
  absl::flat_hash_set<std::string> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!names[i].empty() && !seen.insert(names[i]).second) return i;
  }
  return names.size();
}

}  // namespace volley::pipeline
