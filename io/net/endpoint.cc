#include "io/net/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "fmt/format.h"
#include "io/base/check.h"

namespace volley::io {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr socklen_t kUnixPathOffset = offsetof(sockaddr_un, sun_path);

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("bad address \"{}\": {}", text, why));
}

std::optional<uint16_t> ParsePort(std::string_view digits) {
  uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || stop != end) return std::nullopt;
  return port;
}

struct IpAndPort {
  std::string_view ip;
  std::string_view port;
  bool bracketed = false;
};

// "1.2.3.4:25" or "[::1]:25", cut apart but not yet judged.
std::optional<IpAndPort> Split(std::string_view text) {
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    return IpAndPort{text.substr(1, close - 1), text.substr(close + 2), true};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return IpAndPort{text.substr(0, colon), text.substr(colon + 1), false};
}

template <typename Sockaddr>
const Sockaddr& As(const sockaddr_storage& storage) {
  return reinterpret_cast<const Sockaddr&>(storage);
}

}  // namespace

absl::StatusOr<Endpoint> Endpoint::Parse(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return FromUnixPath(text.substr(kUnixPrefix.size()));
  const std::optional<IpAndPort> parts = Split(text);
  if (!parts) return Bad(text, "want IP:PORT, [IPv6]:PORT or unix:/PATH");
  if (!parts->bracketed && parts->ip.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 address goes in brackets, [::1]:25");
  }
  if (parts->bracketed && parts->ip.find(':') == std::string_view::npos) {
    return Bad(text, "only an IPv6 address goes in brackets");
  }
  const std::optional<uint16_t> port = ParsePort(parts->port);
  if (!port) return Bad(text, "the port is a number from 0 to 65535");
  return FromIp(parts->ip, *port);
}

absl::StatusOr<Endpoint> Endpoint::FromIp(std::string_view ip, uint16_t port) {
  // The C functions stop at a NUL, so one inside would hide what follows it.
  if (ip.size() >= INET6_ADDRSTRLEN || ip.find('\0') != std::string_view::npos) {
    return Bad(ip, "not a numeric IP address");
  }
  const std::string text(ip);
  Endpoint endpoint;
  auto& v4 = reinterpret_cast<sockaddr_in&>(endpoint.storage_);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(endpoint.storage_);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    endpoint.bytes_ = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    endpoint.bytes_ = sizeof(sockaddr_in6);
  } else {
    return Bad(ip, "not a numeric IP address");
  }
  endpoint.set_port(port);
  return endpoint;
}

absl::StatusOr<Endpoint> Endpoint::FromUnixPath(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    return Bad(path, "not a path for a Unix socket");
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Bad(path, fmt::format("a Unix socket's path has at most {} bytes",
                                 sizeof(sockaddr_un::sun_path) - 1));
  }
  Endpoint endpoint;
  auto& address = reinterpret_cast<sockaddr_un&>(endpoint.storage_);
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  endpoint.bytes_ = static_cast<socklen_t>(kUnixPathOffset + path.size() + 1);
  return endpoint;
}

Endpoint Endpoint::FromSockaddr(const sockaddr* address, socklen_t bytes) {
  Endpoint endpoint;
  endpoint.bytes_ = std::min<socklen_t>(bytes, sizeof(endpoint.storage_));
  if (endpoint.bytes_ != 0) std::memcpy(&endpoint.storage_, address, endpoint.bytes_);
  return endpoint;
}

uint16_t Endpoint::port() const {
  if (family() == AF_INET) return ntohs(As<sockaddr_in>(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(As<sockaddr_in6>(storage_).sin6_port);
  return 0;
}

void Endpoint::set_port(uint16_t port) {
  VOLLEY_CHECK(family() == AF_INET || family() == AF_INET6);
  if (family() == AF_INET) {
    reinterpret_cast<sockaddr_in&>(storage_).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(storage_).sin6_port = htons(port);
  }
}

std::string Endpoint::ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &As<sockaddr_in>(storage_).sin_addr, text, sizeof(text));
  } else if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &As<sockaddr_in6>(storage_).sin6_addr, text, sizeof(text));
  } else if (family() == AF_UNIX && bytes_ > kUnixPathOffset) {
    // The kernel's length need not count a final NUL; a client's unnamed socket has no path at all.
    const char* path = As<sockaddr_un>(storage_).sun_path;
    const size_t most = std::min<size_t>(bytes_ - kUnixPathOffset, sizeof(sockaddr_un::sun_path));
    return std::string(path, strnlen(path, most));
  }
  return text;
}

bool Endpoint::is_loopback() const {
  if (family() == AF_INET) return ntohl(As<sockaddr_in>(storage_).sin_addr.s_addr) >> 24 == 127;
  if (family() == AF_INET6) {
    const in6_addr& address = As<sockaddr_in6>(storage_).sin6_addr;
    // ::ffff:127.0.0.0/8 is the same host seen through a dual-stack socket.
    return IN6_IS_ADDR_LOOPBACK(&address) ||
           (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
  }
  return family() == AF_UNIX;
}

std::string Endpoint::ToString() const {
  if (empty()) return "";
  if (family() == AF_UNIX) return std::string(kUnixPrefix) + ip();
  if (family() == AF_INET6) return fmt::format("[{}]:{}", ip(), port());
  return fmt::format("{}:{}", ip(), port());
}

bool Endpoint::operator==(const Endpoint& other) const {
  if (empty() || other.empty()) return empty() == other.empty();
  if (family() != other.family() || port() != other.port()) return false;
  if (family() == AF_INET) {
    return As<sockaddr_in>(storage_).sin_addr.s_addr ==
           As<sockaddr_in>(other.storage_).sin_addr.s_addr;
  }
  if (family() == AF_INET6) {
    const auto& a = As<sockaddr_in6>(storage_);
    const auto& b = As<sockaddr_in6>(other.storage_);
    return a.sin6_scope_id == b.sin6_scope_id &&
           std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof(a.sin6_addr)) == 0;
  }
  return ip() == other.ip();
}

}  // namespace volley::io
