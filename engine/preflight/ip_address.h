// IpAddress: an IPv4 or IPv6 address as SPF compares it. A value; parsing is pure.
#ifndef VOLLEY_ENGINE_PREFLIGHT_IP_ADDRESS_H_
#define VOLLEY_ENGINE_PREFLIGHT_IP_ADDRESS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace volley::engine::preflight {

class IpAddress {
 public:
  // "192.0.2.1", "2001:db8::1". An IPv4 address mapped into IPv6 is the IPv4 address (RFC 7208 §5).
  static std::optional<IpAddress> Parse(std::string_view text);
  // As DNS has them: 4 or 16 bytes.
  static std::optional<IpAddress> FromBytes(std::string_view bytes);

  bool is_v6() const { return is_v6_; }
  std::string ToString() const;
  // The dotted form of SPF's %{i}: an IPv6 address is its 32 nibbles (RFC 7208 §7.3).
  std::string ToDotted() const;
  // Same family, and the first `bits` are the same.
  bool IsInPrefix(const IpAddress& network, int bits) const;
  // What a receiver on the Internet can see a connection come from: not loopback, private, shared
  // (RFC 6598), link-local, unique local or unspecified.
  bool IsPublic() const;
  bool operator==(const IpAddress&) const = default;

 private:
  bool is_v6_ = false;
  std::array<uint8_t, 16> bytes_{};  // the first 4 for IPv4
};

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_IP_ADDRESS_H_
