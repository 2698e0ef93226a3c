// RunPreflight: what the big providers would mind about a campaign, before its first message.
// Gathers the facts (the DNS through io/resolver) for the rules, which are engine/preflight's.
//
// Threading: blocks for as long as the DNS takes, at most kPreflightDnsTimeout in all: never in a
// shard. Errors: none; what could not be found out is in `skipped`, and never said to be wrong.
#ifndef VOLLEY_PIPELINE_PREFLIGHT_PREFLIGHT_H_
#define VOLLEY_PIPELINE_PREFLIGHT_PREFLIGHT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/preflight/preflight.h"
#include "io/net/endpoint.h"
#include "io/resolver/resolver.h"

namespace volley::pipeline {

inline constexpr absl::Duration kPreflightDnsTimeout = absl::Seconds(15);

using engine::preflight::DkimIdentity;
using engine::preflight::Finding;

struct PreflightInput {
  bool bulk = true;  // newsletters and the like; false: transactional
  uint64_t recipients = 0;
  std::string from;                // canonical address of the From field
  std::string reverse_path;        // of a sample; empty: the null reverse-path
  std::vector<DkimIdentity> dkim;  // the keys that sign
  // Composed bytes, with their signatures, for up to 3 recipients, and who these are.
  std::vector<std::string> samples;
  std::vector<std::string> sample_recipients;
  std::string sample_failure;  // a row of which no copy could be made, and why; empty: none such
  // The relays' addresses and host names (a URL's host is found); both empty when mail goes to its
  // receivers directly.
  std::vector<io::Endpoint> relay_endpoints;
  std::vector<std::string> relay_names;
  bool relay_tls_off = false;
  std::vector<std::string> own_ips;  // addresses to send from directly; empty: through a relay
  std::string helo;
  bool ask_dns = true;
  size_t links = 0;  // in the message
  bool has_text = false, has_html = false;
  bool without_unsubscribe = false;  // by the user's word
};

struct PreflightResult {
  std::vector<Finding> findings;     // worst first
  std::vector<std::string> passed;   // ids of the checks that passed
  std::vector<std::string> skipped;  // "id: why it was not made"

  size_t errors() const;
  size_t warnings() const;
};

// `resolver`: may be null when ask_dns is false.
PreflightResult RunPreflight(const PreflightInput& input, io::Resolver* resolver);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PREFLIGHT_PREFLIGHT_H_
