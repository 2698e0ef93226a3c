// Relay: a server that takes mail from us, and all that is needed to connect to it.
//
//   RelayDefinition   what a user gives: [relay] of a campaign file, flags
//   ConfigureRelay    URL, preset or discovery; TLS settings and credentials are read: Relay
//   ResolveRelay      its addresses, by DNS
//
// Threading: a Relay is a value; what it points to is shared and thread-safe. ConfigureRelay and
//   ResolveRelay block (files, commands, DNS): call them before shards run.
#ifndef VOLLEY_PIPELINE_ROUTE_RELAY_H_
#define VOLLEY_PIPELINE_ROUTE_RELAY_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/smtp/client.h"
#include "io/net/endpoint.h"
#include "io/resolver/resolver.h"
#include "io/tls/tls_context.h"
#include "pipeline/credentials/credentials.h"
#include "pipeline/route/addresses.h"
#include "pipeline/route/relay_url.h"
#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {

// Empty: not given.
struct RelayDefinition {
  std::string
      via;  // URL; preset ("gmail", "ses:eu-west-1"); address to discover from ("me@my.org")
  std::string helo;
  CredentialDefinition credentials;
  std::string auth;                   // a mechanism's name
  std::optional<bool> auth_insecure;  // clear-text mechanisms also without verified TLS
  std::string ca_file, client_certificate, client_key;
  std::string tls_name;         // that the certificate must be for, instead of the URL's host
  std::string tls_min_version;  // "1.2" or "1.3"
  std::string ciphers;          // TLS 1.2, OpenSSL's syntax
  std::string ciphersuites;     // TLS 1.3
  std::optional<uint32_t> weight;
  std::optional<RateSpec> rate, quota;  // that it allows us, all campaigns together

  bool operator==(const RelayDefinition&) const = default;
};

// A TLS configuration that is made when it is first asked for: reading the system's store takes
// some 50 ms of CPU, which a run over plain connections need not pay. Thread-safe.
class TlsConfigLoader {
 public:
  explicit TlsConfigLoader(io::TlsClientOptions options) : options_(std::move(options)) {}
  // Errors: as TlsClientConfig::Create; always the same answer.
  absl::StatusOr<std::shared_ptr<const io::TlsClientConfig>> Get();

 private:
  const io::TlsClientOptions options_;
  std::once_flag once_;
  absl::StatusOr<std::shared_ptr<const io::TlsClientConfig>> config_;
};

struct Relay {
  RelayUrl url;      // a preset's or a discovered one's too
  std::string name;  // for messages: as the user wrote it
  std::string helo;  // empty: DefaultHeloName()
  // Where the URL says nothing: required with credentials, else opportunistic.
  engine::smtp::TlsPolicy tls = engine::smtp::TlsPolicy::kOff;
  io::TlsConnectOptions tls_options;  // verify is kRequired for kRequired and kImplicit
  // Null for kOff. ConfigureRelay has had it loaded, but for kOpportunistic with the system's
  // store.
  std::shared_ptr<TlsConfigLoader> tls_config;
  std::shared_ptr<CredentialKeeper> credentials;  // null: no AUTH
  std::optional<engine::sasl::Mechanism> auth;
  bool auth_insecure = false;
  std::optional<RateSpec> rate, quota;   // that it allows us, all campaigns together
  uint32_t weight = 1;                   // share of the mail; 0: stands by until others are down
  std::vector<io::Endpoint> endpoints;   // in order of preference; from ResolveRelay, as of then
  std::shared_ptr<Addresses> addresses;  // the same, kept fresh; null for a Unix path
  std::vector<std::string> notes;        // for people: what discovery found, what a preset asks for
};

// Errors, all before anything is connected to: InvalidArgument, NotFound, PermissionDenied with the
// key or file and the reason; Unavailable: a token endpoint or, for discovery, the name service.
// `resolver` is asked for discovery only.
absl::StatusOr<Relay> ConfigureRelay(const RelayDefinition& definition, io::Resolver* resolver);

// Fills relay->endpoints and addresses. LIFETIME: the resolver outlives the addresses. NotFound:
// the name does not exist or has no address; Unavailable: the name service did not answer.
absl::Status ResolveRelay(Relay* relay, io::Resolver* resolver);

// All of ClientOptions that a relay decides. `endpoint` is where the default EHLO name looks from.
// The caller adds its ScramKeyCache. LIFETIME: the options' credentials pointer is left null:
// sessions take the keeper's snapshot with Client::UseCredentials.
engine::smtp::ClientOptions MakeClientOptions(const Relay& relay, const io::Endpoint& endpoint);

// The name to greet with: this host's name when it is fully qualified, else the address literal of
// the interface that leads to `peer` (RFC 5321 §4.1.4). Sends nothing.
std::string DefaultHeloName(const io::Endpoint& peer);

// A domain name or an address literal, and nothing a command line could be injected with.
absl::Status CheckHeloName(std::string_view name);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_ROUTE_RELAY_H_
