// `volley preflight`, and the same look at a campaign before `volley send` sends it.
#ifndef VOLLEY_TOOLS_VOLLEY_PREFLIGHT_COMMAND_H_
#define VOLLEY_TOOLS_VOLLEY_PREFLIGHT_COMMAND_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/resolver/resolver.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/preflight/preflight.h"
#include "pipeline/route/relay.h"

namespace volley::tools {

struct PreflightFlags {
  bool strict = false;
  bool without_unsubscribe = false;
  std::vector<std::string> ignored;  // ids of checks
  std::string dns = "auto";
  std::string dns_server;            // "address@port", instead of the system's
  std::vector<std::string> sources;  // of mail without a relay: "192.0.2.1=mail1.example.org"
};

void AddPreflightFlags(CLI::App* command, PreflightFlags* flags);
absl::StatusOr<std::unique_ptr<io::Resolver>> MakeResolver(const PreflightFlags& flags);

// Runs the checks and says on standard error what they found. FailedPrecondition: an error among
// it, or with --strict a warning, that is not ignored.
absl::StatusOr<pipeline::PreflightResult> PreflightBeforeSend(
    const pipeline::Campaign& campaign, std::span<const pipeline::Relay> relays,
    const PreflightFlags& flags, io::Resolver* resolver);

void AddPreflightCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PREFLIGHT_COMMAND_H_
