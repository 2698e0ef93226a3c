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
#include <vector>

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
  volley send news.toml receipts.toml  # together, over the same connections; transactional first
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
  if (!flags.rotate_events.empty()) {
    const auto bytes = ParseBytes(flags.rotate_events);
    if (!bytes.ok() || *bytes < pipeline::EventLogOptions::kLeastBytes) {
      return absl::InvalidArgumentError(fmt::format(
          "--rotate-events {}: write a size of at least 64K, such as 100M", flags.rotate_events));
    }
    run->events.bytes_max = *bytes;
  }
  run->uncertain = UncertainOf(flags, kind);
  return absl::OkStatus();
}

pipeline::CampaignOptions MakeCampaignOptions(const CampaignDefinition& definition,
                                              const SendFlags& flags) {
  pipeline::CampaignOptions options;
  options.limits.rate = definition.rate;
  options.limits.quota = definition.quota;
  if (!flags.keep_bounced) options.bounce_dir = flags.campaign.state_dir;
  options.render_failures_max = flags.render_failures_max;
  options.breaker_share = *BreakerShare(flags.breaker);
  options.events.compress = flags.compress_events;
  options.weight = definition.weight.value_or(1);
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

// One of the campaigns of a command, until it is sent.
struct Prepared {
  SendFlags flags;  // with its file
  CampaignDefinition definition;
  OwnPolicy policy;
  pipeline::Schedule schedule;
  std::unique_ptr<Campaign> campaign;
  pipeline::PreflightResult preflight;
  pipeline::CampaignOptions options;
};

// What describes one campaign cannot be said of several.
absl::Status CheckSeveral(const CLI::App& command) {
  for (const char* flag : {"--name", "--to", "--from", "--subject", "--text", "--html", "--amp",
                           "--from-eml", "--limit", "--kind", "--start"}) {
    if (command.get_option(flag)->count() == 0) continue;
    return absl::InvalidArgumentError(fmt::format(
        "{} describes one campaign, and several are to be sent: write it into its file", flag));
  }
  return absl::OkStatus();
}

// Campaigns that are sent together share lanes.
absl::Status CheckSameWay(const Prepared& first, const Prepared& other) {
  const CampaignDefinition &a = first.definition, &b = other.definition;
  std::string_view what;
  if (a.relays != b.relays) what = "relays (via)";
  if (a.policy.providers_path != b.policy.providers_path) what = "providers ([policy])";
  if (a.policy.rules_path != b.policy.rules_path) what = "rules ([policy])";
  if (a.warm_ups != b.warm_ups) what = "plans ([[warm_up]])";
  if (a.connections != b.connections) what = "connections ([limits])";
  if (a.messages_per_connection != b.messages_per_connection) {
    what = "messages_per_connection ([limits])";
  }
  if (what.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("campaigns \"{}\" and \"{}\" have different {}: what is sent together shares "
                  "its connections. Give the flag once for all, or send them by two commands",
                  a.name, b.name, what));
}

absl::StatusOr<Prepared> ReadOne(const CLI::App& command, const SendFlags& flags,
                                 const std::string& file) {
  Prepared one;
  one.flags = flags;
  one.flags.campaign.file = file;
  auto definition = ReadDefinition(command, one.flags.campaign);
  if (!definition.ok()) return definition.status();
  one.definition = *std::move(definition);
  if (absl::Status s = CheckDefinition(one.definition, !flags.dry_run); !s.ok()) return s;
  auto policy = ReadOwnPolicy(one.definition.policy);
  if (!policy.ok()) return policy.status();
  one.policy = *std::move(policy);
  return one;
}

absl::StatusOr<std::vector<Prepared>> ReadAll(const CLI::App& command, const SendFlags& flags) {
  std::vector<std::string> files = {flags.campaign.file};
  files.insert(files.end(), flags.campaign.more_files.begin(), flags.campaign.more_files.end());
  if (files.size() > pipeline::kFlowsMax) {
    return absl::InvalidArgumentError(fmt::format("{} campaigns: one command sends at most {}",
                                                  files.size(), pipeline::kFlowsMax));
  }
  if (files.size() > 1) {
    if (absl::Status s = CheckSeveral(command); !s.ok()) return s;
  }
  std::vector<Prepared> all;
  for (const std::string& file : files) {
    auto one = ReadOne(command, flags, file);
    if (!one.ok()) return one.status();
    for (const Prepared& other : all) {
      if (absl::Status s = CheckSameWay(other, *one); !s.ok()) return s;
      if (pipeline::CampaignId(other.definition.name) !=
          pipeline::CampaignId(one->definition.name)) {
        continue;
      }
      return absl::InvalidArgumentError(
          fmt::format("two campaigns are called \"{}\"", one->definition.name));
    }
    all.push_back(*std::move(one));
  }
  return all;
}

absl::Status Prepare(const std::vector<pipeline::Relay>& relays, io::Resolver* resolver,
                     Progress* progress, Prepared* one) {
  const SendFlags& flags = one->flags;
  auto campaign = PrepareCampaign(one->definition, flags, progress);
  if (!campaign.ok()) return campaign.status();
  one->campaign = *std::move(campaign);
  if (flags.dry_run) return absl::OkStatus();
  Campaign& of = *one->campaign;
  if (absl::Status s = KeepOwnPolicy(of.dir(), of.committed(), &one->policy); !s.ok()) return s;
  auto preflight = PreflightBeforeSend(of, relays, flags.preflight, resolver);
  if (!preflight.ok()) return preflight.status();
  one->preflight = *std::move(preflight);
  absl::StatusOr<std::shared_ptr<const pipeline::SuppressionSnapshot>> suppressed = of.suppressed();
  if (*suppressed == nullptr) {
    suppressed = pipeline::SuppressionSnapshot::Load(flags.campaign.state_dir, of.list());
  }
  if (!suppressed.ok()) return suppressed.status();
  one->options = MakeCampaignOptions(one->definition, flags);
  one->options.suppressed = *std::move(suppressed);
  one->options.classifier = one->policy.rules.get();
  one->options.schedule = one->schedule;
  return ReadSettleFlags(flags, of.kind(), &one->options);
}

// All campaigns of a command on one line.
class ProgressOfAll {
 public:
  ProgressOfAll(Progress* progress, size_t campaigns) : progress_(progress), of_(campaigns) {}
  void Sending(size_t campaign, const pipeline::RunProgress& p) {
    of_[campaign] = p;
    if (campaign + 1 < of_.size()) return;
    pipeline::RunProgress all = p;
    for (size_t i = 0; i < campaign; ++i) {
      all.recipients += of_[i].recipients;
      for (size_t o = 0; o < pipeline::kOutcomes; ++o) all.counts[o] += of_[i].counts[o];
      all.next_try = std::min(all.next_try, of_[i].next_try);
      all.paused = all.paused && of_[i].paused;
    }
    progress_->Sending(all);
  }

 private:
  Progress* const progress_;
  std::vector<pipeline::RunProgress> of_;
};

// The worst of all campaigns'.
int PrintResults(const std::vector<Prepared>& all, const std::vector<pipeline::RunResult>& results,
                 bool json) {
  uint64_t sent = 0;
  for (const auto& result : results) sent += Sent(result);
  int code = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Campaign& campaign = *all[i].campaign;
    const Totals totals = MakeTotals(campaign, results[i], sent);
    if (json) {
      PrintSummaryJson(campaign, results[i], totals, all[i].preflight);
    } else {
      PrintSummary(campaign, results[i], totals);
    }
    code = std::max(code, ExitCode(results[i], totals));
  }
  std::fflush(stdout);
  return code;
}

int Send(const CLI::App& command, const SendFlags& flags) {
  auto all = ReadAll(command, flags);
  if (!all.ok()) return ReportError(all.status());
  const CampaignDefinition& definition = all->front().definition;
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return ReportError(backend.status());
  auto resolver = MakeResolver(flags.preflight);
  if (!resolver.ok()) return ReportError(resolver.status());
  const auto direct = pipeline::IsDirect(definition.relays);
  if (!direct.ok()) return ReportError(direct.status());
  pipeline::RunOptions run = MakeRunOptions(definition, flags);
  if (!flags.dry_run && !*direct) {
    auto found = FindRelays(definition.relays, resolver->get());
    if (!found.ok()) return ReportError(found.status());
    run.relays = *std::move(found);
  }
  for (Prepared& one : *all) {
    auto schedule = ReadSchedule(one.definition, one.flags);
    if (!flags.dry_run && !schedule.ok()) return ReportError(schedule.status());
    if (schedule.ok()) one.schedule = *std::move(schedule);
  }
  Progress progress(!flags.no_progress && !flags.json);
  int worst = 0;
  for (Prepared& one : *all) {
    if (absl::Status s = Prepare(run.relays, resolver->get(), &progress, &one); !s.ok()) {
      return ReportError(s);
    }
    if (flags.dry_run) worst = std::max(worst, DryRun(*one.campaign, flags.json));
  }
  if (flags.dry_run) return worst;

  RaiseFileLimit();
  if (*direct) {
    auto how = ReadDirect(definition.relays[0], flags, resolver->get());
    if (!how.ok()) return ReportError(how.status());
    run.direct = *std::move(how);
  }
  run.providers = all->front().policy.providers;
  auto warm_ups = ReadWarmUps(definition, all->front().schedule, *direct ? &*run.direct : nullptr,
                              *run.providers);
  if (!warm_ups.ok()) return ReportError(warm_ups.status());
  run.warm_ups = *std::move(warm_ups);
  run.reactor.backend = *backend;
  run.on_notice = [&progress](const std::string& text) { progress.Notice(text); };
  ProgressOfAll shown(&progress, all->size());
  std::vector<pipeline::CampaignToRun> to_run;
  for (size_t i = 0; i < all->size(); ++i) {
    Prepared& one = (*all)[i];
    one.options.on_progress = [&shown, i](const pipeline::RunProgress& p) { shown.Sending(i, p); };
    const std::string who = all->size() == 1 ? "" : one.campaign->id() + ": ";
    one.options.on_notice = [&progress, who](const std::string& text) {
      progress.Notice(who + text);
    };
    to_run.push_back({one.campaign.get(), std::move(one.options)});
  }
  CatchInterrupts();
  const auto results = RunCampaigns(std::move(to_run), run);
  progress.Clear();
  if (!results.ok()) return ReportError(results.status());
  const int code = PrintResults(*all, *results, flags.json);
  // Shards still run: no destructor may touch what they use.
  if (results->front().abandoned) _exit(130);
  return code;
}

}  // namespace

void AddSendCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("send", "Send a campaign to a list of recipients");
  command->footer(kFooter);
  auto flags = std::make_shared<SendFlags>();
  AddSendFlags(command, flags.get());
  command
      ->add_option("MORE", flags->campaign.more_files,
                   "Further campaign files, sent at the same time over the same connections: "
                   "transactional ones first, others by their weight ([limits])")
      ->excludes(command->get_option("--resume"));
  command->callback([command, flags, exit_code] { *exit_code = Send(*command, *flags); });
}

}  // namespace volley::tools
