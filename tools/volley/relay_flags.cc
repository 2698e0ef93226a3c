#include "tools/volley/relay_flags.h"

#include <algorithm>
#include <utility>

namespace volley::tools {
namespace {

using pipeline::RelayDefinition;
using pipeline::SecretSource;

void Lay(const std::string& over, std::string* target) {
  if (!over.empty()) *target = over;
}

// A flag says where the secret is now: the file's other places no longer count.
void Lay(const SecretSource& over, SecretSource* target) {
  if (!over.empty()) *target = over;
}

void Lay(const RelayDefinition& over, RelayDefinition* relay) {
  Lay(over.helo, &relay->helo);
  Lay(over.credentials.user, &relay->credentials.user);
  Lay(over.credentials.password, &relay->credentials.password);
  Lay(over.credentials.token, &relay->credentials.token);
  Lay(over.auth, &relay->auth);
  Lay(over.ca_file, &relay->ca_file);
  Lay(over.client_certificate, &relay->client_certificate);
  Lay(over.client_key, &relay->client_key);
  Lay(over.tls_name, &relay->tls_name);
  if (over.auth_insecure) relay->auth_insecure = over.auth_insecure;
}

}  // namespace

void AddRelayFlags(CLI::App* command, RelayFlags* flags) {
  RelayDefinition& r = flags->over;
  const auto login = "Logging in (a secret itself is never a flag: others would see it)";
  command->add_option("--user", r.credentials.user, "User name at the relay")->group(login);
  command->add_option("--password-file", r.credentials.password.file, "File with the password")
      ->group(login);
  command
      ->add_option("--password-env", r.credentials.password.env,
                   "Environment variable with the password")
      ->group(login);
  command
      ->add_option("--password-command", r.credentials.password.command,
                   "Shell command that prints the password: 'pass show smtp'")
      ->group(login);
  command->add_option("--token-file", r.credentials.token.file, "File with an OAuth2 access token")
      ->group(login);
  command
      ->add_option("--token-env", r.credentials.token.env,
                   "Environment variable with an access token")
      ->group(login);
  command
      ->add_option("--token-command", r.credentials.token.command,
                   "Shell command that prints an access token; run again when it has ended")
      ->group(login);
  command->add_option("--auth", r.auth, "Mechanism, instead of the strongest: SCRAM-SHA-256, PLAIN")
      ->group(login);
  command
      ->add_flag("--auth-insecure", flags->auth_insecure,
                 "Send the password also without verified TLS")
      ->group(login);
  const auto tls = "TLS";
  command->add_option("--ca-file", r.ca_file, "Authorities to trust instead of the system's (PEM)")
      ->group(tls);
  command->add_option("--client-certificate", r.client_certificate, "Certificate to show (PEM)")
      ->group(tls);
  command->add_option("--client-key", r.client_key, "Its key, when not in the same file (PEM)")
      ->group(tls);
  command
      ->add_option("--tls-name", r.tls_name,
                   "Name the certificate must be for, instead of the relay's host")
      ->group(tls);
}

void ApplyRelayFlags(const RelayFlags& flags, std::vector<RelayDefinition>* relays) {
  if (!flags.via.empty()) {
    relays->clear();
    for (const std::string& via : flags.via) relays->emplace_back().via = via;
  }
  RelayDefinition over = flags.over;
  if (flags.auth_insecure) over.auth_insecure = true;
  for (RelayDefinition& relay : *relays) Lay(over, &relay);
}

absl::StatusOr<std::vector<pipeline::Relay>> FindRelays(
    std::span<const RelayDefinition> definitions, io::Resolver* resolver) {
  std::vector<pipeline::Relay> relays;
  for (const RelayDefinition& definition : definitions) {
    auto relay = pipeline::ConfigureRelay(definition, resolver);
    if (!relay.ok()) return relay.status();
    relays.push_back(*std::move(relay));
  }
  const bool weighted =
      std::any_of(relays.begin(), relays.end(), [](const auto& r) { return r.weight > 0; });
  if (!weighted) {
    return absl::InvalidArgumentError(
        "every relay has weight 0, which means to stand by: give one of them a weight");
  }
  for (pipeline::Relay& relay : relays) {
    // A name that does not exist may be a name service's fault: not the user's to mend in a file.
    if (absl::Status s = pipeline::ResolveRelay(&relay, resolver); !s.ok()) {
      return absl::UnavailableError(s.message());
    }
  }
  return relays;
}

}  // namespace volley::tools
