#include "tools/volley/send.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "io/resolver/resolver.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/preflight/preflight.h"
#include "pipeline/route/direct.h"
#include "pipeline/route/relay.h"
#include "pipeline/shard/runner.h"
#include "pipeline/store/suppression.h"
#include "tools/volley/args.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/own_policy.h"
#include "tools/volley/preflight_command.h"
#include "tools/volley/progress.h"
#include "tools/volley/send_flags.h"
#include "tools/volley/send_summary.h"

namespace volley::tools {
namespace {

using pipeline::Campaign;
using pipeline::CampaignDefinition;

constexpr const char* kFooter = R"(Examples:
  volley send newsletter.toml
  volley send newsletter.toml --dry-run
  volley send newsletter.toml        # again: goes on where it was stopped or killed
  volley send --from 'Ann <ann@example.org>' --to people.csv --subject 'Hello {{first_name}}' \
              --text hello.txt --via smtp://127.0.0.1:2525 --kind transactional
  volley send --from-eml finished.eml --to people.csv --via gmail --user ann@gmail.com \
              --password-command 'pass show gmail/volley' --unsubscribe-url https://example.org/u/
  volley send newsletter.toml --via smtp://mail.example.org:587 --user ann --password-file smtp.pw
  volley send newsletter.toml --via 'smtps://a.example.org?weight=3' --via smtps://b.example.org
  cut -d, -f1,2 people.csv | volley send newsletter.toml --to - --limit 10

Exit code: 0 when every recipient was delivered or deliberately left out, 1 when sending failed for
some, 2 when the command, a file, the list or what preflight found must be mended first, 130 when stopped by Ctrl-C.)";

std::atomic<int> g_interrupts{0};

void OnInterrupt(int) { g_interrupts.fetch_add(1); }

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // At a limit of the file size (ulimit -f) a write fails, as on a full disk: an orderly stop.
  signal(SIGXFSZ, SIG_IGN);
}

// One shard delivers over 100,000 small messages a second; more help only where there are cores,
// and connections for each to keep busy.
uint32_t DefaultShards(uint32_t connections) {
  const uint32_t cores = std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
  return std::clamp(connections / 16, 1u, cores);
}

// Composes every copy without sending: the errors a real run would have, beforehand.
int DryRun(const Campaign& campaign, bool json) {
  pipeline::RecipientRecord record;
  pipeline::CopyMaker maker(&campaign.recipe());
  pipeline::Copy copy;
  uint64_t composed = 0, failed = 0, bytes = 0, offset = campaign.recipients().first_offset();
  std::string first_failure;
  for (uint64_t i = 0; i < campaign.recipients().count(); ++i) {
    const auto next = campaign.recipients().ReadAt(offset, &record);
    if (!next.ok()) return ReportError(next.status());
    offset = *next;
    const absl::Status status = maker.Make(&record, &copy);
    if (status.ok()) {
      ++composed;
      bytes += copy.message.bytes();
      continue;
    }
    if (failed++ == 0) {
      first_failure = fmt::format("line {}, {}: {}", record.source_line, record.address,
                                  std::string(status.message()));
    }
  }
  const auto& import = campaign.import();
  if (json) {
    const nlohmann::ordered_json out = {{"campaign", campaign.id()},
                                        {"recipients", campaign.recipients().count()},
                                        {"composed", composed},
                                        {"rejected", import.rejected + failed},
                                        {"duplicates", import.duplicates},
                                        {"suppressed", import.suppressed},
                                        {"bytes", bytes}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print(
        "dry run, nothing is sent: {} recipients ({}), {} duplicates, {} suppressed, "
        "{} rejected\n",
        Grouped(campaign.recipients().count()), import.format, Grouped(import.duplicates),
        Grouped(import.suppressed), Grouped(import.rejected));
    for (const std::string& line : import.rejected_samples) fmt::print("    {}\n", line);
    for (const std::string& note : import.notes) fmt::print("{}\n", note);
    fmt::print("{} messages composed, {} bytes on average\n", Grouped(composed),
               Grouped(composed == 0 ? 0 : bytes / composed));
    if (failed > 0) fmt::print("{} cannot be composed; first: {}\n", failed, first_failure);
  }
  return failed == 0 ? 0 : 1;
}

// x= of a signature counts from the campaign's start: what has expired convinces nobody.
absl::Status CheckSignaturesLast(const Campaign& campaign, const SendFlags& flags) {
  const absl::Duration last = campaign.recipe().dkim_expires_after;
  if (last == absl::ZeroDuration()) return absl::OkStatus();
  const absl::Time end = campaign.recipe().date + last;
  if (absl::Now() < end) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "campaign \"{}\": its DKIM signatures expired on {} (dkim_expires_days), so it cannot go on. "
      "Who is left ({}/undelivered.csv, volley status) needs a new campaign",
      campaign.definition().name, absl::FormatTime("%Y-%m-%d %H:%M UTC", end, absl::UTCTimeZone()),
      flags.campaign.state_dir + "/campaigns/" + campaign.id()));
}

// A campaign of this name that was begun before; NotFound: there is none.
absl::StatusOr<std::unique_ptr<Campaign>> OpenBegun(const CampaignDefinition& definition,
                                                    const SendFlags& flags) {
  const std::string id = pipeline::CampaignId(definition.name);
  auto campaign = Campaign::Open(flags.campaign.state_dir, id);
  if (!campaign.ok()) return campaign;
  if (absl::Status s = CheckSignaturesLast(**campaign, flags); !s.ok()) return s;
  if (flags.resume) return campaign;
  if (absl::Status s = (*campaign)->CheckSame(definition); !s.ok()) return s;
  return campaign;
}

absl::StatusOr<std::unique_ptr<Campaign>> PrepareCampaign(const CampaignDefinition& definition,
                                                          const SendFlags& flags,
                                                          Progress* progress) {
  if (!flags.restart && !flags.dry_run) {
    auto begun = OpenBegun(definition, flags);
    if (!absl::IsNotFound(begun.status()) || flags.resume) return begun;
  }
  pipeline::PrepareOptions prepare;
  prepare.state_dir = flags.campaign.state_dir;
  prepare.limit = flags.campaign.limit;
  prepare.restart = flags.restart;
  prepare.scratch = flags.dry_run;
  prepare.admit = true;
  prepare.without_unsubscribe = flags.dry_run || flags.preflight.without_unsubscribe;
  prepare.on_progress = [progress](uint64_t rows, uint64_t bytes, uint64_t total) {
    progress->Importing(rows, bytes, total);
  };
  auto campaign = Campaign::Prepare(definition, prepare);
  progress->Clear();
  return campaign;
}

absl::StatusOr<absl::Duration> RetryFlag(std::string_view flag, const std::string& text) {
  constexpr absl::Duration kMax = absl::Hours(24 * 30);
  auto span = ParseDuration(text);
  if (span.ok() && *span <= kMax) return span;
  return absl::InvalidArgumentError(
      fmt::format("{} {}: write a time up to 30d, such as 90s, 5m, 2h or 2d", flag, text));
}

absl::Status ReadSettleFlags(const SendFlags& flags, pipeline::CampaignKind kind,
                             pipeline::CampaignOptions* run) {
  if (!flags.retry_for.empty()) {
    const auto span = RetryFlag("--retry-for", flags.retry_for);
    if (!span.ok()) return span.status();
    run->retry.give_up_after = *span;
  }
  if (!flags.retry_first.empty()) {
    const auto span = RetryFlag("--retry-first", flags.retry_first);
    if (!span.ok()) return span.status();
    run->retry.first = std::max(*span, absl::Seconds(1));
    run->retry.longest = std::max(run->retry.longest, *span);
  }
  run->uncertain = UncertainOf(flags, kind);
  return absl::OkStatus();
}

pipeline::CampaignOptions MakeCampaignOptions(const CampaignDefinition& definition,
                                              const SendFlags& flags, Progress* progress) {
  pipeline::CampaignOptions options;
  options.limits.rate = definition.rate;
  options.limits.quota = definition.quota;
  if (!flags.keep_bounced) options.bounce_dir = flags.campaign.state_dir;
  options.render_failures_max = flags.render_failures_max;
  options.breaker_share = *BreakerShare(flags.breaker);
  options.on_progress = [progress](const pipeline::RunProgress& p) { progress->Sending(p); };
  options.on_notice = [progress](const std::string& text) { progress->Notice(text); };
  return options;
}

pipeline::RunOptions MakeRunOptions(const CampaignDefinition& definition, const SendFlags& flags) {
  pipeline::RunOptions run;
  run.connections = definition.connections.value_or(pipeline::kDefaultConnections);
  run.shards = flags.shards == 0 ? DefaultShards(run.connections) : flags.shards;
  run.messages_per_connection =
      definition.messages_per_connection.value_or(pipeline::kDefaultMessagesPerConnection);
  run.quota_dir = flags.campaign.state_dir + "/quotas";
  run.adapt = !flags.fixed_limits;
  run.interrupts = &g_interrupts;
  return run;
}

int ExitCode(const pipeline::RunResult& result, const Totals& totals) {
  if (result.interrupted && totals.left + totals.deferred > 0) return 130;
  return totals.delivered + totals.suppressed == totals.recipients ? 0 : 1;
}

int Send(const CLI::App& command, const SendFlags& flags) {
  auto definition = ReadDefinition(command, flags.campaign);
  if (!definition.ok()) return ReportError(definition.status());
  if (absl::Status s = CheckDefinition(*definition, !flags.dry_run); !s.ok()) {
    return ReportError(s);
  }
  auto policy = ReadOwnPolicy(definition->policy);
  if (!policy.ok()) return ReportError(policy.status());
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return ReportError(backend.status());
  auto resolver = MakeResolver(flags.preflight);
  if (!resolver.ok()) return ReportError(resolver.status());
  const auto direct = pipeline::IsDirect(definition->relays);
  if (!direct.ok()) return ReportError(direct.status());
  std::vector<pipeline::Relay> relays;
  if (!flags.dry_run && !*direct) {
    auto found = FindRelays(definition->relays, resolver->get());
    if (!found.ok()) return ReportError(found.status());
    relays = *std::move(found);
  }
  const auto schedule = ReadSchedule(*definition, flags);
  if (!flags.dry_run && !schedule.ok()) return ReportError(schedule.status());
  Progress progress(!flags.no_progress && !flags.json);
  auto campaign = PrepareCampaign(*definition, flags, &progress);
  if (!campaign.ok()) return ReportError(campaign.status());
  if (flags.dry_run) return DryRun(**campaign, flags.json);

  if (absl::Status s = KeepOwnPolicy((*campaign)->dir(), (*campaign)->committed(), &*policy);
      !s.ok()) {
    return ReportError(s);
  }
  const auto preflight = PreflightBeforeSend(**campaign, relays, flags.preflight, resolver->get());
  if (!preflight.ok()) return ReportError(preflight.status());
  absl::StatusOr<std::shared_ptr<const pipeline::SuppressionSnapshot>> suppressed =
      (*campaign)->suppressed();
  if (*suppressed == nullptr) {
    suppressed = pipeline::SuppressionSnapshot::Load(flags.campaign.state_dir, (*campaign)->list());
  }
  if (!suppressed.ok()) return ReportError(suppressed.status());
  RaiseFileLimit();
  pipeline::RunOptions run = MakeRunOptions(*definition, flags);
  run.relays = std::move(relays);
  if (*direct) {
    auto how = ReadDirect(definition->relays[0], flags, resolver->get());
    if (!how.ok()) return ReportError(how.status());
    run.direct = *std::move(how);
  }
  run.providers = policy->providers;
  run.reactor.backend = *backend;
  pipeline::CampaignOptions options = MakeCampaignOptions(*definition, flags, &progress);
  options.suppressed = *std::move(suppressed);
  options.classifier = policy->rules.get();
  options.schedule = *schedule;
  if (absl::Status s = ReadSettleFlags(flags, (*campaign)->kind(), &options); !s.ok()) {
    return ReportError(s);
  }
  CatchInterrupts();
  auto results = RunCampaigns({{campaign->get(), std::move(options)}}, run);
  progress.Clear();
  if (!results.ok()) return ReportError(results.status());
  const pipeline::RunResult* result = &results->front();

  const Totals totals = MakeTotals(**campaign, *result);
  if (flags.json) {
    PrintSummaryJson(**campaign, *result, totals, *preflight);
  } else {
    PrintSummary(**campaign, *result, totals);
  }
  std::fflush(stdout);
  if (result->abandoned) _exit(130);  // shards still run: no destructor may touch what they use
  return ExitCode(*result, totals);
}

}  // namespace

void AddSendCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("send", "Send a campaign to a list of recipients");
  command->footer(kFooter);
  auto flags = std::make_shared<SendFlags>();
  AddSendFlags(command, flags.get());
  command->callback([command, flags, exit_code] { *exit_code = Send(*command, *flags); });
}

}  // namespace volley::tools
