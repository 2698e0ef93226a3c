#include "pipeline/route/relay_url.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "engine/base/nearest_name.h"
#include "engine/message/address.h"

namespace volley::pipeline {
namespace {

using engine::smtp::Protocol;
using engine::smtp::TlsPolicy;
constexpr std::string_view kExample =
    "write it as smtp://mail.example.org:587, smtps://mail.example.org or "
    "lmtp+unix:///run/lmtp.sock";
constexpr size_t kMaxUrlBytes = 2048;
constexpr size_t kMaxUserBytes = 255;

// A password that somebody wrote into a URL is not repeated.
std::string Shown(std::string_view url) {
  const size_t begin = url.find("://");
  const size_t at = url.rfind('@');
  if (begin == std::string_view::npos || at == std::string_view::npos) return std::string(url);
  const size_t colon = url.find(':', begin + 3);
  if (colon > at) return std::string(url);
  return fmt::format("{}:(password){}", url.substr(0, colon), url.substr(at));
}

absl::Status Bad(std::string_view url, std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("relay \"{}\": {}; {}", Shown(url), what, kExample));
}

// "host", "host:port", "[v6]", "[v6]:port" into host and port text.
bool SplitHostPort(std::string_view text, std::string_view* host, std::string_view* port) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    *host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    const size_t colon = text.find(':');
    *host = text.substr(0, colon);
    text = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (text.empty()) return true;
  if (!text.starts_with(':') || text.size() == 1) return false;
  *port = text.substr(1);
  return true;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ||
         c == ':';
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// RFC 3986 §2.1.
std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

absl::Status ReadUser(std::string_view user, RelayUrl* url) {
  if (user.find(':') != std::string_view::npos) {
    return Bad(
        url->text,
        "a password has no place in a URL, where other users of this machine and logs see it: "
        "keep it in a file and give password_file (--password-file), or password_env, "
        "password_command");
  }
  const auto decoded = PercentDecode(user);
  if (!decoded) return Bad(url->text, "\"%\" in the user name is not followed by two hex digits");
  const bool control = std::any_of(decoded->begin(), decoded->end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  if (decoded->empty() || decoded->size() > kMaxUserBytes || control) {
    return Bad(url->text, "the user name is empty, too long, or holds a control character");
  }
  url->user = *decoded;
  return absl::OkStatus();
}

absl::Status ReadTls(std::string_view value, RelayUrl* url) {
  if (url->tls == TlsPolicy::kImplicit) {
    if (value == "required") return absl::OkStatus();
    return Bad(url->text, fmt::format("smtps:// is always TLS, so tls={} contradicts it", value));
  }
  if (value == "required") {
    url->tls = TlsPolicy::kRequired;
  } else if (value == "opportunistic") {
    url->tls = TlsPolicy::kOpportunistic;
  } else if (value == "off") {
    url->tls = TlsPolicy::kOff;
  } else {
    return Bad(url->text, fmt::format("tls={} is none of required, opportunistic and off", value));
  }
  return absl::OkStatus();
}

absl::Status ReadOption(std::string_view key, std::string_view value, RelayUrl* url) {
  if (key == "tls") return ReadTls(value, url);
  if (key == "auth") {
    url->auth = engine::sasl::ParseMechanism(value);
    if (url->auth) return absl::OkStatus();
    std::vector<std::string_view> names;
    for (const auto m : engine::sasl::kMechanisms) names.push_back(engine::sasl::MechanismName(m));
    return Bad(url->text, fmt::format("auth={} is none of {}", value, fmt::join(names, ", ")));
  }
  if (key == "auth_insecure") {
    url->auth_insecure = value == "true";
    if (value == "true" || value == "false") return absl::OkStatus();
    return Bad(url->text, fmt::format("auth_insecure={} is neither true nor false", value));
  }
  if (key == "weight") {
    uint32_t weight = 0;
    if (!ParseNumber(value, &weight) || weight > kMaxWeight) {
      return Bad(url->text, fmt::format("weight={} is no number from 0 to {}", value, kMaxWeight));
    }
    url->weight = weight;
    return absl::OkStatus();
  }
  static const std::vector<std::string> kKnown = {"tls", "auth", "auth_insecure", "weight"};
  return Bad(url->text,
             fmt::format("unknown option \"{}\"{}", key, engine::DidYouMean(key, kKnown)));
}

absl::Status ReadOptions(std::string_view query, RelayUrl* url) {
  std::vector<std::string_view> seen;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return Bad(url->text, fmt::format("option \"{}\" has no value", pair));
    }
    const std::string_view key = pair.substr(0, equals);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      return Bad(url->text, fmt::format("option \"{}\" is given twice", key));
    }
    seen.push_back(key);
    if (absl::Status s = ReadOption(key, pair.substr(equals + 1), url); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status ReadHost(std::string_view host, RelayUrl* url) {
  if (host.empty()) return Bad(url->text, "no host");
  url->host = std::string(host);
  if (!IsAscii(host)) {
    auto ascii = engine::message::ToALabels(host);
    if (!ascii.ok()) return Bad(url->text, std::string(ascii.status().message()));
    url->host = *std::move(ascii);
  }
  for (const char c : url->host) {
    if (!IsHostCharacter(c)) return Bad(url->text, "the host holds a character no host name has");
  }
  if (url->host.size() > 253) return Bad(url->text, "the host name is over 253 characters");
  return absl::OkStatus();
}

absl::StatusOr<RelayUrl> ParseTcp(std::string_view rest, RelayUrl url) {
  const std::string_view query =
      rest.find('?') == std::string_view::npos ? "" : rest.substr(rest.find('?') + 1);
  rest = rest.substr(0, rest.find('?'));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    if (absl::Status s = ReadUser(rest.substr(0, at), &url); !s.ok()) return s;
    rest.remove_prefix(at + 1);
  }
  if (const size_t extra = rest.find_first_of("/#"); extra != std::string_view::npos) {
    return Bad(url.text, fmt::format("\"{}\" after the port has no meaning", rest.substr(extra)));
  }
  std::string_view host, port;
  if (!SplitHostPort(rest, &host, &port)) return Bad(url.text, "no host, or no port behind \":\"");
  if (absl::Status s = ReadHost(host, &url); !s.ok()) return s;
  url.port = url.tls == TlsPolicy::kImplicit ? 465 : 25;
  if (!port.empty() && (!ParseNumber(port, &url.port) || url.port == 0)) {
    return Bad(url.text, fmt::format("port \"{}\" is not a number from 1 to 65535", port));
  }
  if (url.protocol == Protocol::kLmtp && (port.empty() || url.port == 25)) {
    return Bad(url.text, "LMTP needs a port of its own, not 25 (RFC 2033)");
  }
  if (absl::Status s = ReadOptions(query, &url); !s.ok()) return s;
  return url;
}

}  // namespace

absl::StatusOr<RelayUrl> ParseRelayUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return Bad("(not shown)", "over 2048 bytes long");
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return Bad(text, "no scheme such as smtp://");
  std::string scheme(text.substr(0, mark));
  absl::AsciiStrToLower(&scheme);
  const std::string_view rest = text.substr(mark + 3);
  RelayUrl url;
  url.text = std::string(text);
  if (scheme == "lmtp+unix") {
    if (!rest.starts_with('/') || rest.size() < 2) return Bad(text, "no absolute path");
    url.protocol = Protocol::kLmtp;
    url.unix_path = std::string(rest);
    return url;
  }
  if (scheme == "smtps") {
    url.tls = TlsPolicy::kImplicit;
  } else if (scheme == "lmtp") {
    url.protocol = Protocol::kLmtp;
  } else if (scheme != "smtp") {
    static const std::vector<std::string> kSchemes = {"smtp", "smtps", "lmtp", "lmtp+unix"};
    return Bad(
        text, fmt::format("unknown scheme \"{}\"{}", scheme, engine::DidYouMean(scheme, kSchemes)));
  }
  return ParseTcp(rest, std::move(url));
}

}  // namespace volley::pipeline
