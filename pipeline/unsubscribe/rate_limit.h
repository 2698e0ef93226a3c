// RateLimit: a token bucket a client (GCRA: one time stamp each), in a table of bounded size.
//
// A client is an IPv4 address or an IPv6 /64, which is what one customer of an access provider has.
// One-click requests come from the mailbox providers' own servers, many from few addresses, so a
// request with a good token costs little, and one that guesses costs a lot.
//
// Threading: one thread. Errors: none; when the table is full of busy clients, a new one is let
// through: an unsubscribe that is refused becomes a complaint.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_RATE_LIMIT_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_RATE_LIMIT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "io/base/time.h"
#include "io/net/endpoint.h"

namespace volley::pipeline {

// The client of an address, as a map's key: 4 or 8 bytes; "" for a Unix socket.
std::string ClientKey(const io::Endpoint& peer);

class RateLimit {
 public:
  static constexpr size_t kClientsMax = 65536;
  static constexpr double kBurstSeconds = 10;  // of a client's rate, at once
  static constexpr double kGoodCost = 1;
  static constexpr double kBadCost = 10;

  // Requests with a good token a second and client; 0: no limit.
  explicit RateLimit(double per_second, size_t clients_max = kClientsMax);

  bool Allows(const std::string& client, io::MonoTime now) const;
  void Charge(const std::string& client, double cost, io::MonoTime now);
  size_t clients() const { return busy_until_ns_.size(); }

 private:
  void DropIdle(int64_t now_ns);

  const double ns_per_request_;
  const int64_t burst_ns_;
  const size_t clients_max_;
  int64_t next_drop_ns_ = 0;
  // When the bucket is full again; one that is, is not kept.
  absl::flat_hash_map<std::string, int64_t> busy_until_ns_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_RATE_LIMIT_H_
