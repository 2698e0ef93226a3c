// Relay: the server that takes all mail of a campaign, from a URL.
//
//   smtp://host[:port]        SMTP, port 25 unless given
//   lmtp://host:port          LMTP over TCP (RFC 2033: never port 25)
//   lmtp+unix:///path         LMTP over a Unix socket
//
// Threading: values. ResolveRelay blocks on the name service: call it before shards run.
#ifndef VOLLEY_PIPELINE_ROUTE_RELAY_H_
#define VOLLEY_PIPELINE_ROUTE_RELAY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/smtp/types.h"
#include "io/net/endpoint.h"

namespace volley::pipeline {

struct RelayUrl {
  engine::smtp::Protocol protocol = engine::smtp::Protocol::kSmtp;
  std::string host;  // name or address, without brackets; empty for a Unix path
  uint16_t port = 0;
  std::string unix_path;
  std::string text;  // as given, for messages
};

// InvalidArgument names the URL, what is wrong with it and a correct example.
absl::StatusOr<RelayUrl> ParseRelayUrl(std::string_view text);

// Every address of the relay in the resolver's order. NotFound: the name does not exist;
// Unavailable: the name service did not answer.
absl::StatusOr<std::vector<io::Endpoint>> ResolveRelay(const RelayUrl& url);

// The name to greet with: this host's name when it is fully qualified, else the address literal of
// the interface that leads to `peer` (RFC 5321 §4.1.4). Sends nothing.
std::string DefaultHeloName(const io::Endpoint& peer);

// A domain name or an address literal, and nothing a command line could be injected with.
absl::Status CheckHeloName(std::string_view name);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_RELAY_H_
