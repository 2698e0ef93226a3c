#include "tools/volley/check.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/message/address.h"
#include "io/reactor/reactor.h"
#include "io/resolver/resolver.h"
#include "pipeline/campaign/definition.h"
#include "pipeline/check/check.h"
#include "pipeline/check/explain.h"
#include "tools/volley/args.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/relay_flags.h"

namespace volley::tools {
namespace {

using pipeline::CheckReport;
using pipeline::Diagnosis;
using pipeline::Step;

constexpr const char* kFooter =
    R"(WHERE is a URL (smtp://, smtps://, lmtp://, lmtp+unix://), a provider's name (gmail, ses:eu-west-1),
an address whose provider is looked up by DNS, or a campaign file, whose relays are all checked.
Nothing is sent without --send-test. Every diagnosis is explained in docs/check.md.

Examples:
  volley check smtp://mx.example.org                       can it be reached, what does it offer
  volley check gmail --user me@gmail.com --password-file ~/.gmail-app-password
  volley check smtps://mail.example.org --user ann --password-command 'pass show mail' \
      --from ann@example.org --to bob@example.com          would it take this mail (not sent)
  volley check newsletter.toml --json                      the campaign's relays, for scripts
  volley check smtp://mail.example.org:587 --user ann --password-env SMTP_PASSWORD \
      --from ann@example.org --to ann@example.org --send-test

Exit code: 0 when mail can be sent, 1 with a diagnosis, 2 when the command or a file must be mended
first, 130 when stopped by Ctrl-C.)";

constexpr absl::Duration kResolverTimeout = absl::Seconds(10);

struct CheckFlags {
  std::string where;
  RelayFlags relay;
  std::string from, to;
  bool send_test = false, json = false;
  std::string connect_timeout = "10s", reply_timeout = "20s", timeout = "60s";
  std::vector<uint16_t> ports = {587, 465, 25, 2525};
  std::string io = "auto";
};

// Nothing here needs to be finished: at once.
void OnInterrupt(int) { _exit(130); }

void CatchInterrupt() {
  struct sigaction action {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

int WrongUsage(const absl::Status& status) {
  fmt::print(stderr, "error: {}\n", Words(status));
  return 2;
}

// --- Flags ---

absl::Status ReadAddress(std::string_view flag, const std::string& text, bool null_allowed,
                         std::optional<std::string>* out) {
  if (text.empty()) return absl::OkStatus();
  if (null_allowed && text == "<>") {
    *out = "";
    return absl::OkStatus();
  }
  auto mailbox = engine::message::ParseHeaderMailbox(text);
  if (!mailbox.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{} \"{}\": {}", flag, text, Words(mailbox.status())));
  }
  *out = std::move(mailbox->address);
  return absl::OkStatus();
}

absl::Status ReadTime(std::string_view flag, const std::string& text, absl::Duration* out) {
  auto duration = ParseDuration(text);
  if (duration.ok() && *duration == absl::ZeroDuration()) {
    return absl::InvalidArgumentError(fmt::format("{} {}: give more than no time", flag, text));
  }
  if (!duration.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{} {}: {}", flag, text, Words(duration.status())));
  }
  *out = *duration;
  return absl::OkStatus();
}

absl::StatusOr<pipeline::CheckOptions> ReadOptions(const CheckFlags& flags) {
  pipeline::CheckOptions options;
  for (const absl::Status& status :
       {ReadAddress("--from", flags.from, /*null_allowed=*/true, &options.from),
        ReadAddress("--to", flags.to, /*null_allowed=*/false, &options.to),
        ReadTime("--connect-timeout", flags.connect_timeout, &options.connect_timeout),
        ReadTime("--reply-timeout", flags.reply_timeout, &options.reply_timeout),
        ReadTime("--timeout", flags.timeout, &options.timeout)}) {
    if (!status.ok()) return status;
  }
  if (options.to && !options.from) {
    return absl::InvalidArgumentError("--to: give the sender too, with --from ('<>' for none)");
  }
  if (flags.send_test && !options.to) {
    return absl::InvalidArgumentError(
        "--send-test really sends a message: say from whom and to whom, with --from and --to");
  }
  options.send_test = flags.send_test;
  options.ports = flags.ports;
  return options;
}

// One relay of the command line, or those of a campaign file.
absl::StatusOr<std::vector<pipeline::RelayDefinition>> ReadRelays(const CheckFlags& flags) {
  RelayFlags relay_flags = flags.relay;
  std::vector<pipeline::RelayDefinition> relays;
  const bool is_file = flags.where.ends_with(".toml");
  if (is_file) {
    auto campaign = pipeline::LoadCampaignFile(flags.where);
    if (!campaign.ok()) return campaign.status();
    relays = std::move(campaign->relays);
  } else {
    relay_flags.via = {flags.where};
  }
  ApplyRelayFlags(relay_flags, &relays);
  if (relays.empty() || relays.front().via.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: it has no [relay] with \"via\": there is nothing to check", flags.where));
  }
  return relays;
}

// --- Output ---

void PrintLine(std::string_view word, std::string_view name, std::string_view time,
               std::string_view line) {
  fmt::print("{:<7} {:<12} {:>9}  {}\n", word, name, time, line);
}

void PrintStep(const Step& step) {
  const std::string time = step.took == absl::ZeroDuration() ? "" : pipeline::ShortTime(step.took);
  std::string_view rest = step.detail;
  size_t end = rest.find('\n');
  PrintLine(step.ok ? "ok" : "FAILED", step.name, time, rest.substr(0, end));
  while (end != std::string_view::npos) {
    rest.remove_prefix(end + 1);
    end = rest.find('\n');
    PrintLine("", "", "", rest.substr(0, end));
  }
  std::fflush(stdout);
}

void PrintEnd(const CheckReport& report, const pipeline::CheckOptions& options) {
  if (!report.diagnosis) {
    std::string_view open;
    if (!options.from) open = "; MAIL and RCPT were not tried: give --from and --to";
    fmt::print("\nall is well: mail can be sent{}\n", open);
    return;
  }
  const Diagnosis& d = *report.diagnosis;
  fmt::print("\n{}\n  {}\n\nWhat to try:\n  {}\n", pipeline::FaultId(d.fault), d.what, d.advice);
}

void PrintJson(const CheckReport& report) {
  nlohmann::ordered_json object;
  object["ok"] = !report.diagnosis.has_value();
  object["diagnosis"] = nullptr;
  object["advice"] = nullptr;
  if (report.diagnosis) {
    object["diagnosis"] = pipeline::FaultId(report.diagnosis->fault);
    object["advice"] = report.diagnosis->advice;
  }
  object["steps"] = nlohmann::ordered_json::array();
  for (const Step& step : report.steps) {
    const double ms = absl::ToDoubleMilliseconds(step.took);
    object["steps"].push_back({{"step", step.name},
                               {"ok", step.ok},
                               {"ms", static_cast<double>(static_cast<int64_t>(ms * 10)) / 10},
                               {"detail", step.detail}});
  }
  fmt::print("{}\n", object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// --- The check ---

// A relay that was configured, or what keeps it from being.
struct Candidate {
  std::optional<pipeline::Relay> relay;
  std::optional<Diagnosis> diagnosis;
};

// All, before the first of them is connected to. A status is wrong usage.
absl::StatusOr<std::vector<Candidate>> ConfigureAll(
    const std::vector<pipeline::RelayDefinition>& definitions, io::Resolver* resolver) {
  std::vector<Candidate> candidates;
  for (const pipeline::RelayDefinition& definition : definitions) {
    Candidate& candidate = candidates.emplace_back();
    auto relay = pipeline::ConfigureRelay(definition, resolver);
    if (relay.ok()) {
      candidate.relay = *std::move(relay);
      continue;
    }
    candidate.diagnosis = pipeline::DiagnoseConfiguration(definition, relay.status());
    if (!candidate.diagnosis) return relay.status();
  }
  return candidates;
}

absl::StatusOr<CheckReport> CheckOne(const Candidate& candidate, io::Resolver* resolver,
                                     const pipeline::CheckOptions& options,
                                     io::BackendChoice backend) {
  if (!candidate.relay) {
    CheckReport report;
    report.diagnosis = candidate.diagnosis;
    report.steps.push_back({"relay", false, {}, candidate.diagnosis->what});
    if (options.on_step) options.on_step(report.steps.back());
    return report;
  }
  io::ReactorOptions reactor_options;
  reactor_options.backend = backend;
  auto reactor = io::CreateReactor(reactor_options);
  if (!reactor.ok()) return reactor.status();
  auto check =
      pipeline::Check::Create(std::move(reactor->reactor), resolver, &*candidate.relay, options);
  if (!check.ok()) return check.status();
  return (*check)->Run();
}

// The steps of all; the diagnosis is the first one's that has any.
absl::StatusOr<CheckReport> CheckAll(const std::vector<pipeline::RelayDefinition>& relays,
                                     const pipeline::CheckOptions& options,
                                     io::BackendChoice backend) {
  io::ResolverOptions resolver_options;
  resolver_options.timeout = std::min(kResolverTimeout, options.timeout);
  auto resolver = io::Resolver::Create(resolver_options);
  if (!resolver.ok()) return resolver.status();
  const auto candidates = ConfigureAll(relays, resolver->get());
  if (!candidates.ok()) return candidates.status();
  CheckReport all;
  for (const Candidate& candidate : *candidates) {
    auto one = CheckOne(candidate, resolver->get(), options, backend);
    if (!one.ok()) return one.status();
    std::move(one->steps.begin(), one->steps.end(), std::back_inserter(all.steps));
    if (!all.diagnosis) all.diagnosis = std::move(one->diagnosis);
  }
  return all;
}

int RunCheck(const CheckFlags& flags) {
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return WrongUsage(backend.status());
  auto options = ReadOptions(flags);
  if (!options.ok()) return WrongUsage(options.status());
  const auto relays = ReadRelays(flags);
  if (!relays.ok()) return WrongUsage(relays.status());
  CatchInterrupt();
  if (!flags.json) options->on_step = PrintStep;
  const auto report = CheckAll(*relays, *options, *backend);
  if (!report.ok()) return WrongUsage(report.status());
  if (flags.json) {
    PrintJson(*report);
  } else {
    PrintEnd(*report, *options);
  }
  return report->diagnosis ? 1 : 0;
}

}  // namespace

void AddCheckCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command = app.add_subcommand(
      "check", "Connect to a relay as send would, and say what is wrong and what to try.");
  command->footer(kFooter);
  command->add_option("WHERE", flags->where, "URL, provider, mail address or campaign file")
      ->required();
  const auto mail = "Mail";
  command->add_option("--from", flags->from, "Try this sender ('<>': the null sender)")
      ->group(mail);
  command->add_option("--to", flags->to, "Try this recipient, without sending anything")
      ->group(mail);
  command->add_flag("--send-test", flags->send_test, "Really send a small test message to --to")
      ->group(mail);
  AddRelayFlags(command, &flags->relay);
  command->add_option("--helo", flags->relay.over.helo, "Name to greet with (this host's)");
  command->add_option("--connect-timeout", flags->connect_timeout, "For connecting to an address")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_option("--reply-timeout", flags->reply_timeout, "For each reply")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_option("--timeout", flags->timeout, "For a whole relay")
      ->type_name("DURATION")
      ->capture_default_str();
  command
      ->add_option("--ports", flags->ports, "Ports to look at when the wanted one does not answer")
      ->delimiter(',')
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  command->add_option("--io", flags->io, "How to do I/O: auto, uring or epoll")
      ->type_name("BACKEND")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print one JSON object: ok, diagnosis, advice, steps");
  command->callback([flags, exit_code] { *exit_code = RunCheck(*flags); });
}

}  // namespace volley::tools
