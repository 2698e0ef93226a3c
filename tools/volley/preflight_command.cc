#include "tools/volley/preflight_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "pipeline/preflight/campaign_facts.h"
#include "pipeline/route/direct.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/preflight.h"
#include "tools/volley/progress.h"
#include "tools/volley/relay_flags.h"

namespace volley::tools {
namespace {

using pipeline::Campaign;
using pipeline::PreflightResult;
using Severity = engine::preflight::Severity;

constexpr const char* kFooter =
    R"(Asks the name servers what Gmail, Yahoo, Microsoft and others will ask (SPF, DKIM, DMARC, PTR), looks
at the message as they will get it, and says what each of them would mind, why, and how to mend it.
Nothing is sent. docs/preflight.md has a chapter for each check.

Examples:
  volley preflight newsletter.toml
  volley preflight newsletter.toml --strict --json
  volley preflight newsletter.toml --ignore dmarc-missing

Exit code: 0 when nothing stands against sending, 1 when something does (with --strict also a
warning), 2 when the campaign cannot be made.)";

bool AllOnLoopback(std::span<const pipeline::Relay> relays) {
  return std::all_of(relays.begin(), relays.end(), [](const pipeline::Relay& relay) {
    return std::all_of(relay.endpoints.begin(), relay.endpoints.end(),
                       [](const io::Endpoint& e) { return e.is_loopback(); });
  });
}

// What mail without a relay comes from; malformed ones are refused where they are used.
void AddSources(const Campaign& campaign, const PreflightFlags& flags,
                pipeline::PreflightInput* input) {
  const auto& relays = campaign.definition().relays;
  std::vector<std::string> names;
  for (const std::string& text : flags.sources) {
    const auto source = pipeline::ParseSource(text);
    if (!source.ok()) continue;
    input->own_ips.push_back(source->name());
    names.push_back(source->helo.empty() && !relays.empty() ? relays[0].helo : source->helo);
  }
  if (names.size() == 1) input->helo = names[0];
}

PreflightResult Look(const Campaign& campaign, std::span<const pipeline::Relay> relays,
                     const PreflightFlags& flags, bool ask_dns, io::Resolver* resolver) {
  pipeline::PreflightInput input = pipeline::FactsOf(campaign, relays);
  input.ask_dns = ask_dns;
  input.without_unsubscribe = flags.without_unsubscribe;
  AddSources(campaign, flags, &input);
  PreflightResult result = RunPreflight(input, resolver);
  // What the user knows about is no news.
  for (auto& finding : result.findings) {
    const bool ignored =
        std::find(flags.ignored.begin(), flags.ignored.end(), finding.id) != flags.ignored.end();
    if (ignored) finding.severity = Severity::kNote;
  }
  std::stable_sort(result.findings.begin(), result.findings.end(),
                   [](const auto& a, const auto& b) { return a.severity > b.severity; });
  return result;
}

bool StandsAgainst(const PreflightResult& result, bool strict) {
  return result.errors() > 0 || (strict && result.warnings() > 0);
}

// Empty: it is one. A typing error would let nothing through, and say nothing.
std::string WrongId(const std::string& id) {
  const std::vector<std::string> known = engine::preflight::CheckIds();
  if (std::find(known.begin(), known.end(), id) != known.end()) return "";
  return fmt::format("there is no check {}{}; docs/preflight.md has a chapter for each",
                     engine::message::Quoted(id), engine::DidYouMean(id, known));
}

struct CommandFlags {
  CampaignFlags campaign;
  PreflightFlags preflight;
  bool json = false, verbose = false;
};

int Preflight(const CLI::App& command, const CommandFlags& flags) {
  auto definition = ReadDefinition(command, flags.campaign);
  if (!definition.ok()) return ReportError(definition.status());
  if (absl::Status s = CheckDefinition(*definition, false); !s.ok()) return ReportError(s);
  auto resolver = MakeResolver(flags.preflight);
  if (!resolver.ok()) return ReportError(resolver.status());
  pipeline::PrepareOptions prepare;
  prepare.state_dir = flags.campaign.state_dir;
  prepare.limit = flags.campaign.limit;
  prepare.scratch = prepare.without_unsubscribe = true;
  auto campaign = Campaign::Prepare(*definition, prepare);
  if (!campaign.ok()) return ReportError(campaign.status());
  std::vector<pipeline::Relay> relays;
  const auto direct = pipeline::IsDirect(definition->relays);
  if (!direct.ok()) return ReportError(direct.status());
  if (!definition->relays.empty() && !*direct) {
    auto found = FindRelays(definition->relays, resolver->get());
    if (!found.ok()) return ReportError(found.status());
    relays = *std::move(found);
  }
  const bool ask = flags.preflight.dns != "off";
  const PreflightResult result = Look(**campaign, relays, flags.preflight, ask, resolver->get());
  if (flags.json) {
    fmt::print("{}\n", PreflightJson(result).dump());
  } else {
    PrintPreflight(result, stdout, flags.verbose);
  }
  return StandsAgainst(result, flags.preflight.strict) ? 1 : 0;
}

}  // namespace

void AddPreflightFlags(CLI::App* command, PreflightFlags* flags) {
  const auto group = "What providers want";
  command
      ->add_flag("--without-unsubscribe", flags->without_unsubscribe,
                 "Bulk mail that nobody can unsubscribe from with one click")
      ->group(group);
  command->add_flag("--strict", flags->strict, "Warnings of the preflight stop it too")
      ->group(group);
  command
      ->add_option("--ignore", flags->ignored,
                   "A check of the preflight that may fail, by its id; may be repeated")
      ->allow_extra_args(false)
      ->check(WrongId)
      ->group(group);
  command
      ->add_option("--preflight-dns", flags->dns,
                   "Ask DNS: on, off, or auto: unless every relay is on this machine (auto)")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->group(group);
  command
      ->add_option("--source", flags->sources,
                   "With --via mx: an address of this host to send from, also with the name to "
                   "greet with: 192.0.2.1=mail1.example.org; several share the recipients")
      ->allow_extra_args(false)
      ->group(group);
  command
      ->add_option("--dns-server", flags->dns_server,
                   "Name server instead of the system's: 127.0.0.1@5353")
      ->group(group);
}

absl::StatusOr<std::unique_ptr<io::Resolver>> MakeResolver(const PreflightFlags& flags) {
  io::ResolverOptions options;
  if (!flags.dns_server.empty()) options.servers = {flags.dns_server};
  auto resolver = io::Resolver::Create(options);
  if (resolver.ok() || flags.dns_server.empty()) return resolver;
  return absl::InvalidArgumentError(fmt::format(
      "--dns-server {}: write an address, with @PORT behind it if it is not 53 ({})",
      engine::message::Quoted(flags.dns_server), std::string(resolver.status().message())));
}

absl::StatusOr<PreflightResult> PreflightBeforeSend(const Campaign& campaign,
                                                    std::span<const pipeline::Relay> relays,
                                                    const PreflightFlags& flags,
                                                    io::Resolver* resolver) {
  const bool ask =
      flags.dns == "on" || (flags.dns == "auto" && (relays.empty() || !AllOnLoopback(relays)));
  PreflightResult result = Look(campaign, relays, flags, ask, resolver);
  const bool stop = StandsAgainst(result, flags.strict);
  if (stop) {
    PrintPreflight(result, stderr, false);
    return absl::FailedPreconditionError(
        "nothing was sent: mend what the preflight found, or let a check pass with --ignore ID");
  }
  for (const auto& finding : result.findings) {
    if (finding.severity != Severity::kWarning) continue;
    fmt::print(stderr, "preflight: {}: {}\n", finding.id, finding.found);
  }
  if (result.warnings() > 0) {
    fmt::print(stderr, "preflight: volley preflight says why this matters and how to mend it\n");
  }
  return result;
}

void AddPreflightCommand(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("preflight", "Check a campaign against what the big providers demand");
  command->footer(kFooter);
  auto flags = std::make_shared<CommandFlags>();
  AddCampaignFlags(command, &flags->campaign);
  command->add_option("--via", flags->campaign.relay.via, "Relay, as for volley send")
      ->allow_extra_args(false);
  AddRelayFlags(command, &flags->campaign.relay);
  AddPreflightFlags(command, &flags->preflight);
  command->add_flag("--json", flags->json, "Everything found as one JSON object");
  command->add_flag("--verbose", flags->verbose, "Also what passed and what was not looked at");
  command->callback([command, flags, exit_code] { *exit_code = Preflight(*command, *flags); });
}

}  // namespace volley::tools
