#include "engine/preflight/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace volley::engine::preflight {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

std::string ToLower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), Lower);
  return out;
}

bool EqualsNoCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

bool StartsWithNoCase(std::string_view text, std::string_view prefix) {
  return EqualsNoCase(text.substr(0, prefix.size()), prefix);
}

bool ContainsNoCase(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char x, char y) { return Lower(x) == Lower(y); }) != text.end();
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

absl::StatusOr<std::vector<Tag>> ParseTagList(std::string_view text) {
  std::vector<Tag> tags;
  for (std::string_view part : Split(text, ';')) {
    part = Trim(part);
    if (part.empty()) continue;  // the list may end in ";"
    const size_t equals = part.find('=');
    const Tag tag{Trim(part.substr(0, equals)),
                  equals == part.npos ? std::string_view() : Trim(part.substr(equals + 1))};
    if (equals == part.npos || tag.name.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("{} is not of the form tag=value", Shown(part)));
    }
    if (std::any_of(tags.begin(), tags.end(), [&](const Tag& t) { return t.name == tag.name; })) {
      return absl::InvalidArgumentError(fmt::format("the tag {} is there twice", Shown(tag.name)));
    }
    tags.push_back(tag);
  }
  return tags;
}

std::string DomainOf(std::string_view address) {
  const size_t at = address.rfind('@');
  return at == address.npos ? std::string() : ToLower(address.substr(at + 1));
}

bool IsWithin(std::string_view name, std::string_view parent) {
  if (parent.empty() || name.size() < parent.size()) return false;
  const size_t at = name.size() - parent.size();
  return EqualsNoCase(name.substr(at), parent) && (at == 0 || name[at - 1] == '.');
}

std::string Shown(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kShownBytesMax)) out += c >= ' ' && c < 0x7f ? c : '?';
  return out + (text.size() > kShownBytesMax ? "...\"" : "\"");
}

}  // namespace volley::engine::preflight
