#include "tools/volley/send_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/time/clock.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/route/direct.h"

namespace volley::tools {

using pipeline::Campaign;
using pipeline::CampaignDefinition;

namespace {

constexpr char kBreakerForm[] = "a share such as 10%, or off";

}  // namespace

void AddSendFlags(CLI::App* command, SendFlags* flags) {
  AddCampaignFlags(command, &flags->campaign);
  const auto how = "How to send";
  command
      ->add_option(
          "--via", flags->campaign.relay.via,
          "Relay: smtp://host:587, smtps://host, lmtp+unix:///path, a name such as gmail or "
          "ses:eu-west-1, or an address to look it up for; several share the mail. mx: no relay, "
          "straight to the servers of each recipient's domain")
      ->allow_extra_args(false)
      ->group(how);
  command
      ->add_option("--mx-override", flags->mx_overrides,
                   "With --via mx: DOMAIN=HOST[:PORT], the server of a domain instead of what DNS "
                   "says; *=... of every domain")
      ->allow_extra_args(false)
      ->group(how);
  command
      ->add_option("--mx-port", flags->mx_port,
                   "With --via mx: port of the servers that DNS names (25), for tests")
      ->check(CLI::Range(1u, 65535u))
      ->group(how);
  command
      ->add_flag("--mx-loopback", flags->mx_loopback,
                 "With --via mx: servers may be on loopback addresses, for tests")
      ->group(how);
  command->add_option("--connections", flags->campaign.connections, "Connections at one time (10)")
      ->check(CLI::Range(1u, pipeline::kMaxConnections))
      ->group(how);
  command
      ->add_option("--messages-per-connection", flags->campaign.messages_per_connection,
                   "Messages before a connection is renewed (100); 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->group(how);
  command
      ->add_option("--rate", flags->campaign.rate,
                   "At most so many messages in any such time: 500/min, 10/s")
      ->group(how);
  command
      ->add_option("--quota", flags->campaign.quota,
                   "At most so many messages in any such time, also over restarts: 10000/24h")
      ->group(how);
  command
      ->add_option("--providers", flags->campaign.over.policy.providers_path,
                   "Your own limits of providers (TOML), laid over the built-in ones; volley "
                   "providers check FILE says what they change")
      ->group(how);
  command
      ->add_option("--rules", flags->campaign.over.policy.rules_path,
                   "Your own rules of what refusals mean (TOML); they go before the built-in ones")
      ->group(how);
  command->add_option("--shards", flags->shards, "Threads that send (half the cores)")
      ->check(CLI::Range(1u, 256u))
      ->group(how);
  command->add_option("--helo", flags->campaign.relay.over.helo, "Name to greet with (this host's)")
      ->group(how);
  command->add_option("--io", flags->io, "auto, uring or epoll")->group(how);
  command
      ->add_option(
          "--start", flags->campaign.start,
          "Wait until then: '2026-12-01 09:00', or with an offset 2026-12-01T09:00:00+01:00")
      ->group(how);
  command->add_option("--not-after", flags->campaign.not_after, "What is left then is not sent")
      ->group(how);
  command->add_flag("--now", flags->now, "Start at once, whatever the campaign file says")
      ->group(how);
  command->add_flag("--dry-run", flags->dry_run, "Compose every message, send none")->group(how);
  CLI::Option* resume =
      command
          ->add_flag("--resume", flags->resume,
                     "Go on with a campaign that was begun, as it was begun, also where the files "
                     "have changed since")
          ->group(how);
  command
      ->add_flag("--restart", flags->restart,
                 "Forget an earlier run of this campaign and mail everybody again")
      ->excludes(resume)
      ->group(how);
  command
      ->add_option("--retry-for", flags->retry_for,
                   "How long a recipient that is deferred is tried: 2h, 2d; 0: once (2d)")
      ->group(how);
  command
      ->add_option("--retry-first", flags->retry_first,
                   "Wait before the second try; it doubles with each further one (5m)")
      ->group(how);
  command
      ->add_option("--uncertain", flags->uncertain,
                   "Messages whose final reply was lost: skip (default for bulk) or resend "
                   "(default for transactional)")
      ->check(CLI::IsMember({"skip", "resend"}))
      ->group(how);
  command
      ->add_flag("--keep-bounced", flags->keep_bounced,
                 "Bounces put nobody on the suppression list (for tests of a server)")
      ->group(how);
  command
      ->add_option("--max-render-failures", flags->render_failures_max,
                   "Stop when more than N copies could not be made; 0: never (0)")
      ->check(CLI::NonNegativeNumber)
      ->group(how);
  command->add_flag("--compress-events", flags->compress_events,
                    "Files of events that are full become events.N.jsonl.zst (zstd)");
  command->add_option("--rotate-events", flags->rotate_events,
                      "When a file of events is full: 100M, at least 64K (default 1G)");
  command
      ->add_flag("--fixed-limits", flags->fixed_limits,
                 "Limits stay as configured whatever servers say (for tests of a server)")
      ->group(how);
  command
      ->add_option("--breaker", flags->breaker,
                   "Stop when this share of the last 1,000 is refused for content or reputation: "
                   "20%, or off")
      ->check([](const std::string& text) { return BreakerShare(text) ? "" : kBreakerForm; })
      ->capture_default_str()
      ->group(how);
  AddPreflightFlags(command, &flags->preflight);
  AddRelayFlags(command, &flags->campaign.relay);
  const auto output = "Output";
  command->add_flag("--json", flags->json, "Summary as one JSON object")->group(output);
  command->add_flag("--no-progress", flags->no_progress, "No progress on standard error")
      ->group(output);
}

absl::StatusOr<std::vector<pipeline::KeyedWarmUp>> ReadWarmUps(
    const pipeline::CampaignDefinition& definition, const pipeline::Schedule& schedule,
    const pipeline::DirectOptions* direct, const engine::policy::ProviderPack& pack) {
  const auto bad = [](const std::string& what) {
    return absl::InvalidArgumentError("[[warm_up]] " + what);
  };
  for (const pipeline::WarmUpDefinition& d : definition.warm_ups) {
    if (direct == nullptr && !(d.source.empty() && d.provider.empty())) {
      return bad(
          "of a source or provider is for mail without a relay (--via mx): through a relay "
          "these are the relay's; leave both out");
    }
    const auto* provider = d.provider.empty() ? nullptr : pack.ByName(d.provider);
    if (!d.provider.empty() && (provider == nullptr || provider == &pack.fallback())) {
      return bad(fmt::format("provider \"{}\" is not known by that name: volley providers list",
                             d.provider));
    }
    if (d.source.empty()) continue;
    const auto& sources = direct->sources;
    if (std::none_of(sources.begin(), sources.end(),
                     [&d](const pipeline::Source& s) { return s.name() == d.source; })) {
      return bad(
          fmt::format("source \"{0}\" is not one that mail leaves from: --source {0}", d.source));
    }
  }
  return pipeline::MakeWarmUps(definition.warm_ups, schedule.zone());
}

std::optional<double> BreakerShare(std::string_view text) {
  double percent = 0;
  if (text == "off") return 0;
  if (!text.ends_with('%')) return std::nullopt;
  text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(percent > 0 && percent <= 100)) return std::nullopt;
  return percent / 100;
}

// A start that is past may be a mistake in the year, or yesterday's command: nobody is mailed on a
// guess.
absl::StatusOr<pipeline::Schedule> ReadSchedule(const CampaignDefinition& definition,
                                                const SendFlags& flags) {
  pipeline::ScheduleDefinition asked = definition.schedule;
  if (flags.now) asked.start.clear();
  auto schedule = pipeline::Schedule::Parse(asked);
  if (!schedule.ok()) return schedule;
  const absl::Time now = absl::Now();
  const std::string id = pipeline::CampaignId(definition.name);
  const bool begun = Campaign::Exists(flags.campaign.state_dir, id) && !flags.restart;
  if (schedule->not_after() <= now) {
    return absl::FailedPreconditionError(
        fmt::format("not_after {} is past: nothing may be sent any more", asked.not_after));
  }
  if (!begun && schedule->start() != absl::InfinitePast() && schedule->start() <= now) {
    return absl::FailedPreconditionError(
        fmt::format("start {} is past; --now sends at once, or give another start", asked.start));
  }
  return schedule;
}

pipeline::UncertainPolicy UncertainOf(const SendFlags& flags, pipeline::CampaignKind kind) {
  const bool resend = flags.uncertain.empty() ? kind == pipeline::CampaignKind::kTransactional
                                              : flags.uncertain == "resend";
  return resend ? pipeline::UncertainPolicy::kResend : pipeline::UncertainPolicy::kSkip;
}

absl::StatusOr<pipeline::DirectOptions> ReadDirect(const pipeline::RelayDefinition& definition,
                                                   const SendFlags& flags, io::Resolver* resolver) {
  auto how = pipeline::ConfigureDirect(definition);
  if (!how.ok()) return how.status();
  pipeline::DirectOptions direct;
  direct.how = *std::move(how);
  direct.resolver = resolver;
  for (const std::string& text : flags.mx_overrides) {
    auto over = pipeline::ParseMxOverride(text);
    if (!over.ok()) return over.status();
    direct.mx.overrides.push_back(*std::move(over));
  }
  for (const std::string& text : flags.preflight.sources) {
    auto source = pipeline::ParseSource(text);
    if (!source.ok()) return source.status();
    direct.sources.push_back(*std::move(source));
  }
  direct.mx.port = flags.mx_port;
  direct.mx.allow_nobodys = flags.mx_loopback;
  direct.own_retry = !flags.retry_for.empty() || !flags.retry_first.empty();
  return direct;
}

}  // namespace volley::tools
