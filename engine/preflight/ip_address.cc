#include "engine/preflight/ip_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace volley::engine::preflight {
namespace {

struct Block {
  std::string_view network;
  int bits;
};
constexpr Block kNotPublic[] = {
    {"0.0.0.0", 8},      {"10.0.0.0", 8},    {"100.64.0.0", 10},  {"127.0.0.0", 8},
    {"169.254.0.0", 16}, {"172.16.0.0", 12}, {"192.168.0.0", 16}, {"::", 128},
    {"::1", 128},        {"fc00::", 7},      {"fe80::", 10},
};

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string ip(text);
  char bytes[16];
  if (inet_pton(AF_INET, ip.c_str(), bytes) == 1) return FromBytes({bytes, 4});
  if (inet_pton(AF_INET6, ip.c_str(), bytes) == 1) return FromBytes({bytes, 16});
  return std::nullopt;
}

std::optional<IpAddress> IpAddress::FromBytes(std::string_view bytes) {
  static constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.size() == 16 && bytes.starts_with(kMapped)) bytes.remove_prefix(kMapped.size());
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  IpAddress out;
  out.is_v6_ = bytes.size() == 16;
  std::memcpy(out.bytes_.data(), bytes.data(), bytes.size());
  return out;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(is_v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  return text;
}

std::string IpAddress::ToDotted() const {
  if (!is_v6_) return ToString();
  std::string out;
  for (const unsigned byte : bytes_) {
    out += fmt::format("{}{:x}.{:x}", out.empty() ? "" : ".", byte >> 4, byte & 15);
  }
  return out;
}

bool IpAddress::IsInPrefix(const IpAddress& network, int bits) const {
  if (is_v6_ != network.is_v6_) return false;
  bits = std::clamp(bits, 0, is_v6_ ? 128 : 32);
  const auto whole = static_cast<size_t>(bits / 8);
  if (std::memcmp(bytes_.data(), network.bytes_.data(), whole) != 0) return false;
  const int rest = bits % 8;
  return rest == 0 || (bytes_[whole] ^ network.bytes_[whole]) >> (8 - rest) == 0;
}

bool IpAddress::IsPublic() const {
  return std::none_of(std::begin(kNotPublic), std::end(kNotPublic), [this](const Block& block) {
    return IsInPrefix(*Parse(block.network), block.bits);
  });
}

}  // namespace volley::engine::preflight
