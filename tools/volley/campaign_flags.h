// The flags that describe a campaign, for `send` and `preview`: a campaign file, and each of its
// keys as a flag that wins over it.
#ifndef VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FLAGS_H_
#define VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pipeline/campaign/definition.h"
#include "tools/volley/relay_flags.h"

namespace volley::tools {

struct CampaignFlags {
  std::string file;
  std::vector<std::string> more_files;  // `send` only
  std::string state_dir = "./volley-state";
  pipeline::CampaignDefinition over;  // what flags gave
  RelayFlags relay;                   // `send` only
  std::string rate, quota, start, not_after;
  uint32_t connections = 0;
  uint32_t messages_per_connection = 0;
  std::vector<std::string> headers;  // "Name: value"
  std::vector<std::string> dkim;     // "SELECTOR:DOMAIN:KEYFILE"
  uint64_t limit = 0;
};

// LIFETIME: `flags` outlives the parse.
void AddCampaignFlags(CLI::App* command, CampaignFlags* flags);

// File and flags put together. A campaign of flags alone gets a name from the time, so that each is
// a campaign of its own.
absl::StatusOr<pipeline::CampaignDefinition> ReadDefinition(const CLI::App& command,
                                                            const CampaignFlags& flags);

// "error: MESSAGE" on standard error; returns the exit code: 2 for what the user can mend in the
// command, the files or the list, 1 for sending that failed.
int ReportError(const absl::Status& status);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FLAGS_H_
