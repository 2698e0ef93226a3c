// The flags of `volley send`, which `volley plan` takes too: the same words, planned instead of
// sent.
//
// Threading: functions without state. Errors: InvalidArgument, FailedPrecondition; they name the
// flag.
#ifndef VOLLEY_TOOLS_VOLLEY_SEND_FLAGS_H_
#define VOLLEY_TOOLS_VOLLEY_SEND_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/resolver/resolver.h"
#include "pipeline/campaign/definition.h"
#include "pipeline/campaign/schedule.h"
#include "pipeline/route/relay.h"
#include "pipeline/shard/runner.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/preflight_command.h"

namespace volley::tools {

struct SendFlags {
  CampaignFlags campaign;
  uint32_t shards = 0;
  std::string io = "auto";
  bool json = false, no_progress = false, dry_run = false, restart = false, resume = false;
  bool now = false;  // in spite of a start in the schedule
  bool keep_bounced = false, fixed_limits = false;
  std::string breaker = "10%";
  bool compress_events = false;
  std::string rotate_events;
  std::vector<std::string> mx_overrides;
  uint16_t mx_port = 25;
  bool mx_loopback = false;
  std::string retry_for, retry_first, uncertain;
  uint64_t render_failures_max = 0;
  PreflightFlags preflight;
};

// LIFETIME: `flags` outlives the parse.
void AddSendFlags(CLI::App* command, SendFlags* flags);

// A start that is past is refused unless the campaign has begun, or --now.
absl::StatusOr<pipeline::Schedule> ReadSchedule(const pipeline::CampaignDefinition& definition,
                                                const SendFlags& flags);

// [[warm_up]], for mail that goes so: `direct` null: by relays, all of it together only. Names are
// those of `pack`'s providers and of our sources.
absl::StatusOr<std::vector<pipeline::KeyedWarmUp>> ReadWarmUps(
    const pipeline::CampaignDefinition& definition, const pipeline::Schedule& schedule,
    const pipeline::DirectOptions* direct, const engine::policy::ProviderPack& pack);

// Of --breaker: 0.1 of "10%", 0 of "off"; nullopt: neither.
std::optional<double> BreakerShare(std::string_view text);

// --uncertain, or what is right for the kind.
pipeline::UncertainPolicy UncertainOf(const SendFlags& flags, pipeline::CampaignKind kind);

// --mx-override, --source and the like. LIFETIME: as DirectOptions.
absl::StatusOr<pipeline::DirectOptions> ReadDirect(const pipeline::RelayDefinition& definition,
                                                   const SendFlags& flags, io::Resolver* resolver);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SEND_FLAGS_H_
