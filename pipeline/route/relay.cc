#include "pipeline/route/relay.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstring>
#include <span>

#include "absl/strings/ascii.h"
#include "engine/base/nearest_name.h"

namespace volley::pipeline {
namespace {

using engine::smtp::Protocol;
constexpr std::string_view kExample =
    "write it as smtp://127.0.0.1:2525 or lmtp+unix:///run/lmtp.sock";

absl::Status Bad(std::string_view url, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("relay \"{}\": {}; {}", url, what, kExample));
}

absl::Status UnknownScheme(std::string_view url, std::string_view scheme) {
  if (scheme == "smtps") {
    return absl::UnimplementedError(fmt::format(
        "relay \"{}\": this version has no TLS yet; use a relay on this host or a trusted network "
        "by smtp://",
        url));
  }
  static const std::vector<std::string> kSchemes = {"smtp", "lmtp", "lmtp+unix"};
  return Bad(url,
             fmt::format("unknown scheme \"{}\"{}", scheme, engine::DidYouMean(scheme, kSchemes)));
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

bool ParsePort(std::string_view text, uint16_t* port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *port);
  return error == std::errc() && end == text.data() + text.size() && *port != 0;
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ||
         c == ':';
}

absl::StatusOr<RelayUrl> ParseTcp(std::string_view text, std::string_view rest, RelayUrl url) {
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) {
    return Bad(text, "this version does not log in, so a user name has no place here");
  }
  if (const size_t extra = rest.find_first_of("/?#"); extra != std::string_view::npos) {
    return Bad(text, fmt::format("\"{}\" after the port has no meaning", rest.substr(extra)));
  }
  std::string_view host, port;
  if (!SplitHostPort(rest, &host, &port) || host.empty()) return Bad(text, "no host");
  for (const char c : host) {
    if (!IsHostCharacter(c)) return Bad(text, "the host holds a character no host name has");
  }
  url.host = std::string(host);
  url.port = 25;
  if (!port.empty() && !ParsePort(port, &url.port)) {
    return Bad(text, fmt::format("port \"{}\" is not a number from 1 to 65535", port));
  }
  if (url.protocol == Protocol::kLmtp && (port.empty() || url.port == 25)) {
    return Bad(text, "LMTP needs a port of its own, not 25 (RFC 2033)");
  }
  return url;
}

}  // namespace

absl::StatusOr<RelayUrl> ParseRelayUrl(std::string_view text) {
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return Bad(text, "no scheme such as smtp://");
  const std::string scheme = [&] {
    std::string s(text.substr(0, mark));
    absl::AsciiStrToLower(&s);
    return s;
  }();
  const std::string_view rest = text.substr(mark + 3);
  RelayUrl url;
  url.text = std::string(text);
  if (scheme == "lmtp+unix") {
    if (!rest.starts_with('/') || rest.size() < 2) return Bad(text, "no absolute path");
    url.protocol = Protocol::kLmtp;
    url.unix_path = std::string(rest);
    return url;
  }
  if (scheme != "smtp" && scheme != "lmtp") return UnknownScheme(text, scheme);
  url.protocol = scheme == "lmtp" ? Protocol::kLmtp : Protocol::kSmtp;
  return ParseTcp(text, rest, std::move(url));
}

absl::StatusOr<std::vector<io::Endpoint>> ResolveRelay(const RelayUrl& url) {
  if (!url.unix_path.empty()) {
    auto endpoint = io::Endpoint::FromUnixPath(url.unix_path);
    if (!endpoint.ok()) return Bad(url.text, std::string(endpoint.status().message()));
    return std::vector<io::Endpoint>{*endpoint};
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &list);
  if (error == EAI_NONAME || error == EAI_NODATA) {
    return absl::NotFoundError(fmt::format(
        "relay \"{}\": there is no host named \"{}\": check the spelling", url.text, url.host));
  }
  if (error != 0) {
    return absl::UnavailableError(
        fmt::format("relay \"{}\": the name \"{}\" cannot be looked up: {}", url.text, url.host,
                    gai_strerror(error)));
  }
  std::vector<io::Endpoint> endpoints;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    endpoints.push_back(io::Endpoint::FromSockaddr(a->ai_addr, a->ai_addrlen));
  }
  freeaddrinfo(list);
  return endpoints;
}

std::string DefaultHeloName(const io::Endpoint& peer) {
  char host[HOST_NAME_MAX + 1] = {};
  if (gethostname(host, sizeof host - 1) == 0 && std::strchr(host, '.') != nullptr &&
      CheckHeloName(host).ok()) {
    return host;
  }
  if (peer.family() == AF_UNIX) return "localhost.localdomain";
  // Connecting a datagram socket sends nothing; it only asks the kernel for the route.
  const int fd = socket(peer.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_storage local{};
  socklen_t bytes = sizeof local;
  std::string name = "[127.0.0.1]";
  if (fd >= 0 && connect(fd, peer.address(), peer.address_bytes()) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&local), &bytes) == 0) {
    const auto us = io::Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&local), bytes);
    name =
        us.family() == AF_INET6 ? fmt::format("[IPv6:{}]", us.ip()) : fmt::format("[{}]", us.ip());
  }
  if (fd >= 0) close(fd);
  return name;
}

absl::Status CheckHeloName(std::string_view name) {
  bool good = !name.empty() && name.size() <= 255;
  for (const char c : name) good = good && (IsHostCharacter(c) || c == '[' || c == ']');
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("EHLO name \"{}\" is neither a host name nor an address in brackets", name));
}

}  // namespace volley::pipeline
