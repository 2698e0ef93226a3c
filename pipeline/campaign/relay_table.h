// [relay], or several [[relay]], of a campaign file.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_RELAY_TABLE_H_
#define VOLLEY_PIPELINE_CAMPAIGN_RELAY_TABLE_H_

#include <toml++/toml.h>

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/campaign/toml_reader.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

// Appends to `relays`. A relay without "via" is left to the flags.
absl::Status ReadRelays(const Place& place, const toml::node& node,
                        std::vector<RelayDefinition>* relays);
// What ReadRelays reads. Places of secrets, never a secret.
toml::array FormatRelays(std::span<const RelayDefinition> relays);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_RELAY_TABLE_H_
