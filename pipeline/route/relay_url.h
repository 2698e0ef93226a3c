// RelayUrl: how to reach a server, in one line:
//
//   smtp://host[:port]        SMTP, port 25 unless given; STARTTLS where it is offered
//   smtps://host[:port]       SMTP in TLS from the first byte (RFC 8314), port 465
//   lmtp://host:port          LMTP over TCP (RFC 2033: never port 25)
//   lmtp+unix:///path         LMTP over a Unix socket
//
//   user@host                 user name to log in with ("%40" for an "@" in it); a password has no
//                             place in a URL and is refused
//   ?tls=required|opportunistic|off  ?auth=MECHANISM  ?auth_insecure=true  ?weight=N   with &
//   between
//
// Threading: a value.
#ifndef VOLLEY_PIPELINE_ROUTE_RELAY_URL_H_
#define VOLLEY_PIPELINE_ROUTE_RELAY_URL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/sasl/mechanism.h"
#include "engine/smtp/client.h"
#include "engine/smtp/types.h"

namespace volley::pipeline {

inline constexpr uint32_t kMaxWeight = 1000;

struct RelayUrl {
  engine::smtp::Protocol protocol = engine::smtp::Protocol::kSmtp;
  std::string host;  // name in A-labels, or address without brackets; empty for a Unix path
  uint16_t port = 0;
  std::string unix_path;
  std::string user;  // decoded
  // kImplicit for smtps://; else as ?tls= says; nullopt: not said.
  std::optional<engine::smtp::TlsPolicy> tls;
  std::optional<engine::sasl::Mechanism> auth;
  bool auth_insecure = false;
  std::optional<uint32_t> weight;
  std::string text;  // as given, for messages
};

// InvalidArgument names the URL, what is wrong with it and a correct example.
absl::StatusOr<RelayUrl> ParseRelayUrl(std::string_view text);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_RELAY_URL_H_
