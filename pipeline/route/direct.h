// Direct: mail without a relay, straight to the servers of each recipient's domain (`via = "mx"`).
//
// Threading: functions without state. ConfigureDirect blocks (files).
#ifndef VOLLEY_PIPELINE_ROUTE_DIRECT_H_
#define VOLLEY_PIPELINE_ROUTE_DIRECT_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "io/net/endpoint.h"
#include "pipeline/route/addresses.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

inline constexpr std::string_view kDirect = "mx";

// An address of this host to send from, and the name to greet with there; a lane's. An empty
// address: the kernel chooses.
struct Source {
  io::Endpoint address;
  std::string helo;  // empty: that of all
  std::string name() const { return address.empty() ? "" : address.ip(); }
};

// "192.0.2.1" or "192.0.2.1=mail1.example.org" (PTR and EHLO name should be the same).
// InvalidArgument.
absl::StatusOr<Source> ParseSource(std::string_view text);

// Only those of `source`'s family; all where there is none (the connection then fails, and says
// so). `source` empty: all.
std::shared_ptr<Addresses> ReachableFrom(const io::Endpoint& source,
                                         std::shared_ptr<Addresses> addresses);

// Whether mail is to go without a relay. InvalidArgument: with one and without one at a time.
absl::StatusOr<bool> IsDirect(std::span<const RelayDefinition> relays);

// What is the same for all servers: EHLO name, TLS. Encryption is taken where it is offered and
// certificates are not checked (RFC 7435): nothing says yet whose they should be.
// InvalidArgument: what only a relay can have, such as a log-in; as ConfigureRelay.
absl::StatusOr<Relay> ConfigureDirect(const RelayDefinition& definition);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_DIRECT_H_
