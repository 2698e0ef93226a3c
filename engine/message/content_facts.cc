#include "engine/message/content_facts.h"

#include <algorithm>

namespace volley::engine::message {
namespace {

char LowerByte(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// `lower` is in lower case.
bool BeginsWith(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char a, char b) { return a == LowerByte(b); });
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view WithoutSpaces(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  return text;
}

bool IsWebLink(std::string_view url) {
  return BeginsWith(url, "http:") || BeginsWith(url, "https:") || url.starts_with("{{");
}

// Whether `text`, behind "<", begins an element of that name.
bool IsElement(std::string_view text, std::string_view name) {
  if (!BeginsWith(text, name) || text.size() == name.size()) return false;
  const char next = text[name.size()];
  return IsSpace(next) || next == '/' || next == '>';
}

bool HasWebHref(std::string_view tag) {
  for (size_t i = 0; i < tag.size(); ++i) {
    if (!IsSpace(tag[i]) || !BeginsWith(tag.substr(i + 1), "href")) continue;
    std::string_view value = WithoutSpaces(tag.substr(i + 5));
    if (!value.starts_with('=')) continue;
    value = WithoutSpaces(value.substr(1));
    if (value.starts_with('"') || value.starts_with('\'')) value.remove_prefix(1);
    return IsWebLink(WithoutSpaces(value));
  }
  return false;
}

}  // namespace

std::string Skeleton(const Template& compiled) {
  std::string out;
  for (const std::vector<TemplateOp>& body : compiled.bodies) {
    for (const TemplateOp& op : body) {
      out += op.kind == OpKind::kLiteral ? std::string_view(compiled.literals[op.arg]) : "{{";
    }
  }
  return out;
}

size_t CountHtmlLinks(std::string_view skeleton) {
  size_t links = 0;
  for (size_t at = skeleton.find('<'); at != skeleton.npos; at = skeleton.find('<', at)) {
    const std::string_view rest = skeleton.substr(++at);
    if (!IsElement(rest, "a") && !IsElement(rest, "area")) continue;
    const std::string_view tag = rest.substr(0, rest.find('>'));
    if (HasWebHref(tag)) ++links;
    at += tag.size();
  }
  return links;
}

size_t CountImages(std::string_view skeleton) {
  size_t images = 0;
  for (size_t at = skeleton.find('<'); at != skeleton.npos; at = skeleton.find('<', at)) {
    if (IsElement(skeleton.substr(++at), "img")) ++images;
  }
  return images;
}

size_t CountTextLinks(std::string_view skeleton) {
  size_t links = 0;
  for (size_t at = skeleton.find("://"); at != skeleton.npos; at = skeleton.find("://", at + 3)) {
    const std::string_view before = skeleton.substr(0, at);
    const bool http = at >= 4 && BeginsWith(before.substr(at - 4), "http");
    const bool https = at >= 5 && BeginsWith(before.substr(at - 5), "https");
    if (http || https) ++links;
  }
  return links;
}

}  // namespace volley::engine::message
