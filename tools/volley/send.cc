#include "tools/volley/send.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
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
#include "pipeline/route/relay.h"
#include "pipeline/shard/runner.h"
#include "tools/volley/args.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/progress.h"

namespace volley::tools {
namespace {

using pipeline::Campaign;
using pipeline::CampaignDefinition;
using pipeline::Outcome;
using pipeline::RunResult;

constexpr const char* kFooter = R"(Examples:
  volley send newsletter.toml
  volley send newsletter.toml --dry-run
  volley send --from 'Ann <ann@example.org>' --to people.csv --subject 'Hello {{first_name}}' \
              --text hello.txt --via smtp://127.0.0.1:2525
  volley send newsletter.toml --via smtp://mail.example.org:587 --user ann --password-file smtp.pw
  volley send newsletter.toml --via 'smtps://a.example.org?weight=3' --via smtps://b.example.org
  cut -d, -f1,2 people.csv | volley send newsletter.toml --to - --limit 10

Exit code: 0 when every recipient was delivered or deliberately left out, 1 when sending failed for
some, 2 when the command, a file or the list must be mended first, 130 when stopped by Ctrl-C.)";

struct SendFlags {
  CampaignFlags campaign;
  uint32_t shards = 0;
  std::string io = "auto";
  bool json = false, no_progress = false, dry_run = false, restart = false;
  bool without_unsubscribe = false;
};

std::atomic<int> g_interrupts{0};

void OnInterrupt(int) { g_interrupts.fetch_add(1); }

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

double CpuSeconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// One shard delivers over 100,000 small messages a second; more help only where there are cores,
// and connections for each to keep busy.
uint32_t DefaultShards(uint32_t connections) {
  const uint32_t cores = std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
  return std::clamp(connections / 16, 1u, cores);
}

// Consent and a way out come first: newsletters to the outside world need an unsubscribe header.
absl::Status CheckUnsubscribe(const CampaignDefinition& d, const SendFlags& flags,
                              std::span<const io::Endpoint> relay) {
  const bool test_relay =
      std::all_of(relay.begin(), relay.end(), [](const auto& e) { return e.is_loopback(); });
  const bool has_header = std::any_of(d.headers.begin(), d.headers.end(), [](const auto& h) {
    return CLI::detail::to_lower(h.first) == "list-unsubscribe";
  });
  if (test_relay || has_header || flags.without_unsubscribe || d.kind == "transactional") {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "this is bulk mail (kind = \"bulk\") without a way to unsubscribe: give each recipient one "
      "with [campaign] headers = { List-Unsubscribe = \"<https://...{{token}}>\" }, or say "
      "kind = \"transactional\" if every recipient asked for just this message, or send all the "
      "same with --without-unsubscribe");
}

void PrintReasons(const RunResult& r) {
  if (r.reasons.empty()) return;
  fmt::print("not delivered, by reason:\n");
  for (const auto& reason : r.reasons) {
    fmt::print("  {:>8}  {:<9}  {}\n", Grouped(reason.count), OutcomeName(reason.outcome),
               reason.sample);
  }
  fmt::print("  all of them: {}\n", r.undelivered_path);
}

struct Totals {
  uint64_t delivered, bounced, deferred, uncertain, rejected, left;
  double elapsed_s, messages_per_s, cpu_us_per_message;
};

Totals MakeTotals(const Campaign& campaign, const RunResult& r) {
  Totals t{};
  t.delivered = r.final.count(Outcome::kDelivered);
  t.bounced = r.final.count(Outcome::kBounced);
  t.deferred = r.final.count(Outcome::kDeferred);
  t.uncertain = r.final.count(Outcome::kUncertain);
  t.rejected = campaign.import().rejected + r.final.count(Outcome::kUnrenderable);
  t.left = r.final.recipients - r.final.settled();
  t.elapsed_s = absl::ToDoubleSeconds(r.final.elapsed);
  const double delivered = static_cast<double>(t.delivered);
  t.messages_per_s = t.elapsed_s > 0 ? delivered / t.elapsed_s : 0;
  t.cpu_us_per_message = t.delivered == 0 ? 0 : CpuSeconds() * 1e6 / delivered;
  return t;
}

nlohmann::ordered_json RelaysJson(const RunResult& r) {
  auto list = nlohmann::ordered_json::array();
  for (const pipeline::RelayResult& relay : r.relays) {
    const pipeline::LaneStats& s = relay.stats;
    nlohmann::ordered_json out = {{"name", relay.name},       {"weight", relay.weight},
                                  {"delivered", s.delivered}, {"sessions", s.sessions},
                                  {"tls", nullptr},           {"cipher", nullptr},
                                  {"verified", nullptr},      {"handshakes", s.handshakes},
                                  {"resumed", s.resumed},     {"auth", nullptr}};
    if (s.tls) {
      out["tls"] = s.tls->version;
      out["cipher"] = s.tls->cipher;
      out["verified"] = s.tls->verified;
    }
    if (s.auth) out["auth"] = engine::sasl::MechanismName(*s.auth);
    list.push_back(std::move(out));
  }
  return list;
}

// "by smtp.example.org: 900 delivered over TLSv1.3, verified, SCRAM-SHA-256": where there is more
// to say than "in clear to the only relay".
void PrintRelays(const RunResult& r) {
  for (const pipeline::RelayResult& relay : r.relays) {
    const pipeline::LaneStats& s = relay.stats;
    if (r.relays.size() == 1 && !s.tls && !s.auth) continue;
    std::string how = s.tls ? fmt::format("{} {}, certificate {}", s.tls->version, s.tls->cipher,
                                          s.tls->verified ? "verified" : "not verified")
                            : "no TLS";
    if (s.tls && s.handshakes > 1) {
      how += fmt::format(", {} of {} sessions resumed", Grouped(s.resumed), Grouped(s.handshakes));
    }
    if (s.auth) how += fmt::format(", log-in {}", engine::sasl::MechanismName(*s.auth));
    fmt::print("  by {}: {} delivered; {}\n", relay.name, Grouped(s.delivered), how);
  }
}

void PrintJson(const Campaign& campaign, const RunResult& r, const Totals& t) {
  const nlohmann::ordered_json out = {{"campaign", campaign.id()},
                                      {"recipients", r.final.recipients},
                                      {"delivered", t.delivered},
                                      {"bounced", t.bounced},
                                      {"deferred", t.deferred},
                                      {"suppressed", 0},  // no suppression list yet: none left out
                                      {"rejected", t.rejected},
                                      {"uncertain", t.uncertain},
                                      {"duplicates", campaign.import().duplicates},
                                      {"left", t.left},
                                      {"elapsed_s", t.elapsed_s},
                                      {"messages_per_s", t.messages_per_s},
                                      {"cpu_us_per_message", t.cpu_us_per_message},
                                      {"relays", RelaysJson(r)}};
  fmt::print("{}\n", out.dump());
}

void PrintSummary(const Campaign& campaign, const RunResult& r, const Totals& t) {
  const auto& import = campaign.import();
  fmt::print("campaign {}: {} recipients ({})\n", campaign.id(), Grouped(r.final.recipients),
             import.format);
  fmt::print("  delivered {}   bounced {}   deferred {}   uncertain {}\n", Grouped(t.delivered),
             Grouped(t.bounced), Grouped(t.deferred), Grouped(t.uncertain));
  if (import.rejected + import.duplicates > 0) {
    fmt::print("  left out of the list: {} rejected, {} duplicates: {}/rejected.csv\n",
               Grouped(import.rejected), Grouped(import.duplicates), campaign.dir());
    for (const std::string& line : import.rejected_samples) fmt::print("    {}\n", line);
  }
  for (const std::string& note : import.notes) fmt::print("  {}\n", note);
  fmt::print("  {:.2f} s, {} messages a second, {:.1f} us CPU a message ({})\n", t.elapsed_s,
             Grouped(static_cast<uint64_t>(t.messages_per_s)), t.cpu_us_per_message, r.backend);
  PrintRelays(r);
  PrintReasons(r);
  if (t.left > 0) {
    fmt::print("stopped: {} recipients are left and were not tried\n", Grouped(t.left));
  }
}

// Composes every copy without sending: the errors a real run would have, beforehand.
int DryRun(const Campaign& campaign, bool json) {
  pipeline::RecipientRecord record;
  engine::message::ComposedMessage message;
  uint64_t composed = 0, failed = 0, bytes = 0, offset = campaign.recipients().first_offset();
  std::string first_failure;
  for (uint64_t i = 0; i < campaign.recipients().count(); ++i) {
    const auto next = campaign.recipients().ReadAt(offset, &record);
    if (!next.ok()) return ReportError(next.status());
    offset = *next;
    const absl::Status status = campaign.Compose(record, &message);
    if (status.ok()) {
      ++composed;
      bytes += message.bytes();
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
                                        {"bytes", bytes}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("dry run, nothing is sent: {} recipients ({}), {} duplicates, {} rejected\n",
               Grouped(campaign.recipients().count()), import.format, Grouped(import.duplicates),
               Grouped(import.rejected));
    for (const std::string& line : import.rejected_samples) fmt::print("    {}\n", line);
    for (const std::string& note : import.notes) fmt::print("{}\n", note);
    fmt::print("{} messages composed, {} bytes on average\n", Grouped(composed),
               Grouped(composed == 0 ? 0 : bytes / composed));
    if (failed > 0) fmt::print("{} cannot be composed; first: {}\n", failed, first_failure);
  }
  return failed == 0 ? 0 : 1;
}

// Everything that can go wrong before a connection: names, files, secrets, addresses.
absl::StatusOr<std::vector<pipeline::Relay>> FindRelays(const CampaignDefinition& d,
                                                        const SendFlags& flags,
                                                        io::Resolver* resolver) {
  std::vector<pipeline::Relay> relays;
  std::vector<io::Endpoint> endpoints;
  for (const pipeline::RelayDefinition& definition : d.relays) {
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
    endpoints.insert(endpoints.end(), relay.endpoints.begin(), relay.endpoints.end());
  }
  if (absl::Status s = CheckUnsubscribe(d, flags, endpoints); !s.ok()) return s;
  return relays;
}

int Send(const CLI::App& command, const SendFlags& flags) {
  auto definition = ReadDefinition(command, flags.campaign);
  if (!definition.ok()) return ReportError(definition.status());
  if (absl::Status s = CheckDefinition(*definition, !flags.dry_run); !s.ok()) {
    return ReportError(s);
  }
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return ReportError(backend.status());

  auto resolver = io::Resolver::Create({});
  if (!resolver.ok()) return ReportError(resolver.status());
  std::vector<pipeline::Relay> relays;
  if (!flags.dry_run) {
    auto found = FindRelays(*definition, flags, resolver->get());
    if (!found.ok()) return ReportError(found.status());
    relays = *std::move(found);
  }
  Progress progress(!flags.no_progress && !flags.json);
  pipeline::PrepareOptions prepare;
  prepare.state_dir = flags.campaign.state_dir;
  prepare.limit = flags.campaign.limit;
  prepare.restart = flags.restart;
  prepare.scratch = flags.dry_run;
  prepare.on_progress = [&](uint64_t rows, uint64_t bytes, uint64_t total) {
    progress.Importing(rows, bytes, total);
  };
  auto campaign = Campaign::Prepare(*definition, prepare);
  progress.Clear();
  if (!campaign.ok()) return ReportError(campaign.status());
  if (flags.dry_run) return DryRun(**campaign, flags.json);

  RaiseFileLimit();
  pipeline::RunOptions run;
  run.relays = std::move(relays);
  run.connections = definition->connections.value_or(pipeline::kDefaultConnections);
  run.shards = flags.shards == 0 ? DefaultShards(run.connections) : flags.shards;
  run.messages_per_connection =
      definition->messages_per_connection.value_or(pipeline::kDefaultMessagesPerConnection);
  run.reactor.backend = *backend;
  run.interrupts = &g_interrupts;
  run.on_progress = [&](const pipeline::RunProgress& p) { progress.Sending(p); };
  run.on_notice = [&](const std::string& text) { progress.Notice(text); };
  CatchInterrupts();
  auto result = RunCampaign(campaign->get(), run);
  progress.Clear();
  if (!result.ok()) return ReportError(result.status());

  const Totals totals = MakeTotals(**campaign, *result);
  if (flags.json) {
    PrintJson(**campaign, *result, totals);
  } else {
    PrintSummary(**campaign, *result, totals);
  }
  std::fflush(stdout);
  if (result->abandoned) _exit(130);  // shards still run: no destructor may touch what they use
  if (result->interrupted && totals.left > 0) return 130;
  return totals.delivered == result->final.recipients ? 0 : 1;
}

}  // namespace

void AddSendCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("send", "Send a campaign to a list of recipients");
  command->footer(kFooter);
  auto flags = std::make_shared<SendFlags>();
  AddCampaignFlags(command, &flags->campaign);
  const auto how = "How to send";
  command
      ->add_option(
          "--via", flags->campaign.relay.via,
          "Relay: smtp://host:587, smtps://host, lmtp+unix:///path, a name such as gmail or "
          "ses:eu-west-1, or an address to look it up for; several share the mail")
      ->allow_extra_args(false)
      ->group(how);
  command->add_option("--connections", flags->campaign.connections, "Connections at one time (10)")
      ->check(CLI::Range(1u, pipeline::kMaxConnections))
      ->group(how);
  command
      ->add_option("--messages-per-connection", flags->campaign.messages_per_connection,
                   "Messages before a connection is renewed (100); 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->group(how);
  command->add_option("--shards", flags->shards, "Threads that send (half the cores)")
      ->check(CLI::Range(1u, 256u))
      ->group(how);
  command->add_option("--helo", flags->campaign.relay.over.helo, "Name to greet with (this host's)")
      ->group(how);
  command->add_option("--io", flags->io, "auto, uring or epoll")->group(how);
  command->add_flag("--dry-run", flags->dry_run, "Compose every message, send none")->group(how);
  command->add_flag("--restart", flags->restart, "Forget an earlier run of this campaign")
      ->group(how);
  command
      ->add_flag("--without-unsubscribe", flags->without_unsubscribe,
                 "Send bulk mail that nobody can unsubscribe from")
      ->group(how);
  AddRelayFlags(command, &flags->campaign.relay);
  const auto output = "Output";
  command->add_flag("--json", flags->json, "Summary as one JSON object")->group(output);
  command->add_flag("--no-progress", flags->no_progress, "No progress on standard error")
      ->group(output);
  command->callback([command, flags, exit_code] { *exit_code = Send(*command, *flags); });
}

}  // namespace volley::tools
