// The flags that say where mail goes and how to log in there: for `send` and `check`.
#ifndef VOLLEY_TOOLS_VOLLEY_RELAY_FLAGS_H_
#define VOLLEY_TOOLS_VOLLEY_RELAY_FLAGS_H_

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/resolver/resolver.h"
#include "pipeline/route/relay.h"

namespace volley::tools {

struct RelayFlags {
  std::vector<std::string> via;
  pipeline::RelayDefinition over;  // laid over each relay
  bool auth_insecure = false;
};

// All of them but --via, whose meaning is each command's. LIFETIME: `flags` outlives the parse.
void AddRelayFlags(CLI::App* command, RelayFlags* flags);

// `relays` is a campaign file's. --via takes their place, with nothing of theirs: a password for
// one server must not go to another. The other flags are laid over each.
void ApplyRelayFlags(const RelayFlags& flags, std::vector<pipeline::RelayDefinition>* relays);

// Relays ready to connect to: everything that can go wrong before a connection is said here: names,
// files, secrets, addresses.
absl::StatusOr<std::vector<pipeline::Relay>> FindRelays(
    std::span<const pipeline::RelayDefinition> definitions, io::Resolver* resolver);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_RELAY_FLAGS_H_
