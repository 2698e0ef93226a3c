// Endpoint: a socket address (IPv4, IPv6 or a Unix path), as a value.
#ifndef VOLLEY_IO_NET_ENDPOINT_H_
#define VOLLEY_IO_NET_ENDPOINT_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace volley::io {

class Endpoint {
 public:
  Endpoint() = default;

  // "127.0.0.1:2525", "[::1]:2525", "unix:/run/lmtp.sock". Numeric only: names are the resolver's.
  // Port 0 is taken (listeners: the kernel picks one).
  static absl::StatusOr<Endpoint> Parse(std::string_view text);
  static absl::StatusOr<Endpoint> FromIp(std::string_view ip, uint16_t port);
  static absl::StatusOr<Endpoint> FromUnixPath(std::string_view path);
  static Endpoint FromSockaddr(const sockaddr* address, socklen_t bytes);

  bool empty() const { return bytes_ == 0; }
  int family() const { return storage_.ss_family; }
  uint16_t port() const;         // 0 for a Unix path
  void set_port(uint16_t port);  // REQUIRES: not a Unix path
  std::string ip() const;        // without the port; the path for a Unix socket
  bool is_loopback() const;      // 127.0.0.0/8, ::1 or a Unix path
  std::string ToString() const;  // the form Parse takes

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t address_bytes() const { return bytes_; }
  bool operator==(const Endpoint& other) const;

 private:
  sockaddr_storage storage_{};
  socklen_t bytes_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_NET_ENDPOINT_H_
