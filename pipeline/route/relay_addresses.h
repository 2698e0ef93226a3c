// RelayAddresses: where a relay's name leads, kept fresh while a campaign runs: when the answer's
// time to live is over, the next one who asks gets the old addresses and has the name looked up
// again.
//
// Threading: any thread; never waits (a mutex guards a pointer; taken once a connection).
// Lifetime: the resolver outlives it.
#ifndef VOLLEY_PIPELINE_ROUTE_RELAY_ADDRESSES_H_
#define VOLLEY_PIPELINE_ROUTE_RELAY_ADDRESSES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "io/base/time.h"
#include "io/net/endpoint.h"
#include "io/resolver/resolver.h"
#include "pipeline/route/addresses.h"

namespace volley::pipeline {

class RelayAddresses final : public Addresses, public std::enable_shared_from_this<RelayAddresses> {
 public:
  // `first`: with at least one address, as of `now`. A numeric address lives for ever.
  static std::shared_ptr<RelayAddresses> Create(io::Resolver* resolver, std::string host,
                                                uint16_t port, const io::HostAnswer& first,
                                                io::MonoTime now);

  List Get(io::MonoTime now) override;

 private:
  RelayAddresses(io::Resolver* resolver, std::string host, uint16_t port,
                 const io::HostAnswer& first, io::MonoTime now);
  void Take(const io::HostAnswer& answer, io::MonoTime asked_at);

  io::Resolver* const resolver_;
  const std::string host_;
  const uint16_t port_;

  std::mutex mutex_;
  List list_;
  io::MonoTime ask_again_;  // infinite while a question is open
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_RELAY_ADDRESSES_H_
