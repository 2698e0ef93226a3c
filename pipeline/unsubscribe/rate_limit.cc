#include "pipeline/unsubscribe/rate_limit.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace volley::pipeline {

std::string ClientKey(const io::Endpoint& peer) {
  if (peer.family() == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, peer.address(), sizeof address);
    return std::string(reinterpret_cast<const char*>(&address.sin_addr), 4);
  }
  if (peer.family() != AF_INET6) return "";
  sockaddr_in6 address{};
  std::memcpy(&address, peer.address(), sizeof address);
  const auto* bytes = reinterpret_cast<const char*>(&address.sin6_addr);
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) return std::string(bytes + 12, 4);
  return std::string(bytes, 8);
}

RateLimit::RateLimit(double per_second, size_t clients_max)
    : ns_per_request_(per_second > 0 ? 1e9 / per_second : 0),
      burst_ns_(static_cast<int64_t>(kBurstSeconds * 1e9)),
      clients_max_(clients_max) {}

bool RateLimit::Allows(const std::string& client, io::MonoTime now) const {
  const auto found = busy_until_ns_.find(client);
  return found == busy_until_ns_.end() || found->second - now.nanos() < burst_ns_;
}

void RateLimit::Charge(const std::string& client, double cost, io::MonoTime now) {
  if (ns_per_request_ == 0) return;
  if (busy_until_ns_.size() >= clients_max_) DropIdle(now.nanos());
  if (busy_until_ns_.size() >= clients_max_ && !busy_until_ns_.contains(client)) return;
  int64_t& busy_until = busy_until_ns_[client];
  busy_until = std::max(busy_until, now.nanos()) + static_cast<int64_t>(cost * ns_per_request_);
}

// It looks at every client, so no more than once a second.
void RateLimit::DropIdle(int64_t now_ns) {
  if (now_ns < next_drop_ns_) return;
  next_drop_ns_ = now_ns + 1'000'000'000;
  absl::erase_if(busy_until_ns_, [now_ns](const auto& entry) { return entry.second <= now_ns; });
}

}  // namespace volley::pipeline
