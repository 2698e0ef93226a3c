#include "engine/compliance/unsubscribe_url.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"
#include "engine/compliance/codec.h"
#include "engine/compliance/token.h"

namespace volley::engine::compliance {
namespace {

constexpr std::string_view kPlaceholder = "{{token}}";
static_assert(kUrlPatternCharsMax + kTokenCharsMax + 2 <= 998 - 18);  // "List-Unsubscribe: "

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("the unsubscribe URL {}", what));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsLetter(char c) { return Lower(c) >= 'a' && Lower(c) <= 'z'; }

std::string Lowered(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

// RFC 3986 §2: unreserved, reserved and "%", without "#": what is behind that never leaves the
// browser. And without the apostrophe, which ends attributes in people's templates.
bool IsUrlChar(char c) {
  return IsLetter(c) || IsDigit(c) ||
         (c != '\0' && std::string_view("-._~:/?[]@!$&()*+,;=%").find(c) != std::string_view::npos);
}

bool IsHostChar(char c) { return IsLetter(c) || IsDigit(c) || c == '-' || c == '.'; }
bool IsLiteralChar(char c) {
  return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'f') || c == ':';
}

// A percent sign with anything but two hex digits behind it means different things to different
// servers.
bool GoodEscapes(std::string_view url) {
  const auto hex = [](char c) { return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'f'); };
  for (size_t i = url.find('%'); i != std::string_view::npos; i = url.find('%', i + 1)) {
    if (i + 2 >= url.size() || !hex(url[i + 1]) || !hex(url[i + 2])) return false;
  }
  return true;
}

bool GoodPort(std::string_view port) {
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), IsDigit)) {
    return false;
  }
  const int number = std::stoi(std::string(port));
  return number >= 1 && number <= 65535;
}

// "host", "host:port", "[v6]:port" (RFC 3986 §3.2).
absl::StatusOr<std::string> ParseHost(std::string_view authority) {
  if (authority.find('@') != std::string_view::npos) {
    return Wrong("has a user name in front of its host, as phishing has");
  }
  const bool literal = authority.starts_with('[');
  const size_t end =
      literal ? authority.find(']') + 1 : std::min(authority.find(':'), authority.size());
  const std::string_view host = authority.substr(0, end);
  const std::string_view port = authority.substr(end);
  const std::string_view name = literal && host.size() > 2 ? host.substr(1, host.size() - 2) : host;
  if (name.empty() || host.size() > 255 || name.starts_with('.') ||
      !std::all_of(name.begin(), name.end(), literal ? IsLiteralChar : IsHostChar)) {
    return Wrong("has no host, or one that is no name or address");
  }
  if (!port.empty() && (port.front() != ':' || !GoodPort(port.substr(1)))) {
    return Wrong("has a port that is none");
  }
  return Lowered(host);
}

bool IsLoopback(std::string_view host) {
  const auto octets = [](char c) { return IsDigit(c) || c == '.'; };
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && std::all_of(host.begin(), host.end(), octets));
}

absl::Status CheckText(std::string_view before, std::string_view after) {
  for (const std::string_view part : {before, after}) {
    const auto bad = std::find_if_not(part.begin(), part.end(), IsUrlChar);
    if (bad == part.end()) continue;
    if (*bad == '{' || *bad == '}') {
      return Wrong("has braces that are not {{token}}, which may be there once");
    }
    if (*bad == '#') return Wrong("has a \"#\": what is behind it never reaches the server");
    return Wrong(fmt::format("has a character (0x{:02x}) that a URL cannot have as it is",
                             static_cast<unsigned char>(*bad)));
  }
  // The token stands between the two, so that no escape goes over it.
  if (!GoodEscapes(before) || !GoodEscapes(after)) {
    return Wrong("has a \"%\" without two hex digits behind it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UnsubscribeUrl> UnsubscribeUrl::Parse(std::string_view pattern) {
  if (pattern.size() > kUrlPatternCharsMax) {
    return Wrong(fmt::format("has {} characters; at most {}", pattern.size(), kUrlPatternCharsMax));
  }
  const size_t place = pattern.find(kPlaceholder);
  UnsubscribeUrl url;
  url.before_ = pattern.substr(0, place);
  if (place != std::string_view::npos) url.after_ = pattern.substr(place + kPlaceholder.size());
  if (absl::Status s = CheckText(url.before_, url.after_); !s.ok()) return s;

  const std::string_view before = url.before_;
  const size_t scheme_end = before.find("://");
  const std::string scheme = Lowered(before.substr(0, scheme_end));
  if (scheme_end == std::string_view::npos || (scheme != "https" && scheme != "http")) {
    return Wrong("does not begin with https://");
  }
  url.https_ = scheme == "https";
  const std::string_view rest = before.substr(scheme_end + 3);
  const size_t path = rest.find_first_of("/?");
  absl::StatusOr<std::string> host = ParseHost(rest.substr(0, path));
  if (!host.ok()) return host.status();
  url.host_ = *std::move(host);
  if (path == std::string_view::npos || rest[path] == '?') {
    return Wrong("needs a \"/\" behind its host, in front of the token");
  }
  if (place == std::string_view::npos && !before.ends_with('/') && !before.ends_with('=')) {
    return Wrong(
        "ends in neither \"/\" nor \"=\": the token would be glued to its last word; "
        "write {{token}} where it belongs");
  }
  if (!url.https_ && !IsLoopback(url.host_)) {
    return Wrong(
        "is http: one-click unsubscribing needs https (RFC 8058 section 3.1); http is "
        "for localhost only");
  }
  return url;
}

std::vector<std::string_view> TokenCandidates(std::string_view target) {
  constexpr size_t kCharsMin = Base64UrlSize(kTokenBytesMin);
  std::vector<std::string_view> found;
  const auto consider = [&found](std::string_view text) {
    if (found.size() < kTokenCandidatesMax && text.size() >= kCharsMin &&
        text.size() <= kTokenCharsMax && std::all_of(text.begin(), text.end(), IsBase64UrlChar)) {
      found.push_back(text);
    }
  };
  const size_t question = std::min(target.find('?'), target.size());
  std::string_view path = target.substr(0, question);
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    consider(path.substr(slash + 1));  // npos + 1 is 0
    path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
  std::string_view query = target.substr(std::min(question + 1, target.size()));
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    consider(pair.substr(pair.find('=') + 1));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return found;
}

}  // namespace volley::engine::compliance
