// Discovery: the submission server of a mail domain by DNS SRV (RFC 6186, RFC 8314 §5.1).
//
// Threading: blocks on DNS. Security: SRV records are not signed here, so the answer is only as
// good as the network: DiscoveredRelay::inside_domain says whether the certificate check alone
// protects the user (RFC 6186 §6), and the caller asks before a secret goes anywhere else.
#ifndef VOLLEY_PIPELINE_ROUTE_DISCOVERY_H_
#define VOLLEY_PIPELINE_ROUTE_DISCOVERY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "io/resolver/resolver.h"

namespace volley::pipeline {

struct DiscoveredRelay {
  std::string domain;  // of the address, in A-labels
  std::string host;    // lower case
  uint16_t port = 0;
  bool implicit_tls = false;   // _submissions: TLS from the first byte; else STARTTLS
  bool inside_domain = false;  // host is the domain or below it
  std::string url() const;     // "smtps://host:465", "smtp://host:587?tls=required"
};

// InvalidArgument: `address` is none. NotFound: the domain announces no submission service (or
// decidedly has none, target "."). Unavailable: the name service did not answer.
absl::StatusOr<DiscoveredRelay> DiscoverRelay(std::string_view address, io::Resolver* resolver);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_DISCOVERY_H_
