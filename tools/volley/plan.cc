#include "tools/volley/plan.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "io/base/time.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/plan/left.h"
#include "pipeline/plan/plan.h"
#include "pipeline/plan/round_trips.h"
#include "pipeline/plan/routes.h"
#include "pipeline/route/direct.h"
#include "pipeline/route/presets.h"
#include "pipeline/route/relay_url.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/store/store.h"
#include "pipeline/store/suppression.h"
#include "pipeline/throttle/quota.h"
#include "tools/volley/args.h"
#include "tools/volley/campaign_folder.h"
#include "tools/volley/own_policy.h"
#include "tools/volley/plan_output.h"
#include "tools/volley/progress.h"
#include "tools/volley/send_flags.h"

namespace volley::tools {
namespace {

namespace fs = std::filesystem;
using engine::smtp::TlsPolicy;
using pipeline::Campaign;
using pipeline::CampaignDefinition;

constexpr const char* kFooter =
    R"(Takes the flags of volley send: the same command with plan in place of send. The list is read, the
limits, quotas and hours that would apply are run through on a simulated clock, and nothing is sent or
kept. Of a campaign that was begun (by its file or its name) the rest is planned.

With --via mx DNS is asked which provider has a domain (the 2,000 biggest, for 20 s at most), unless
--preflight-dns off; then it is guessed by the domain's name. docs/plan.md says how it is reckoned.

Examples:
  volley plan newsletter.toml
  volley plan newsletter.toml --rate 500/min --connections 20
  volley plan newsletter              # the rest of a campaign that was begun
  volley plan newsletter.toml --via mx --reply-latency 120ms --json

Exit code: 0 when everybody can be sent to, 1 when not (not_after comes first, a limit allows nothing),
2 when the campaign cannot be made.)";

struct PlanFlags {
  SendFlags send;
  std::string reply_latency;
};

// A folder of our own, gone with it: quotas are counted on in a copy.
class ScratchFolder {
 public:
  ScratchFolder() = default;
  ~ScratchFolder() {
    std::error_code ec;
    if (!path_.empty()) fs::remove_all(path_, ec);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  // Copies what `folder` has of quotas; without any the path stays empty: they count from 0.
  absl::Status CopyQuotas(const std::string& folder) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec)) {
      std::error_code size_ec;
      if (!entry.is_regular_file(size_ec) ||
          entry.file_size(size_ec) != pipeline::Quota::kStateBytes) {
        continue;
      }
      if (absl::Status s = Make(); !s.ok()) return s;
      std::error_code copy_ec;
      fs::copy_file(entry.path(), fs::path(path_) / entry.path().filename(), copy_ec);
      if (copy_ec) {
        return absl::UnavailableError(fmt::format("cannot copy {} to {}: {}", entry.path().string(),
                                                  path_, copy_ec.message()));
      }
    }
    return absl::OkStatus();
  }
  const std::string& path() const { return path_; }

 private:
  absl::Status Make() {
    if (!path_.empty()) return absl::OkStatus();
    std::error_code ec;
    std::string path = (fs::temp_directory_path(ec) / "volley-plan-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return absl::UnavailableError(fmt::format("cannot make the folder {}", path));
    }
    path_ = path;
    return absl::OkStatus();
  }
  std::string path_;
};

// What is planned, however it was named.
struct Subject {
  CampaignDefinition definition;
  std::unique_ptr<Campaign> campaign;
  bool begun() const { return campaign->committed(); }
};

// "newsletter": a campaign that was begun, by its name instead of its file.
absl::StatusOr<std::optional<Subject>> ByName(const CLI::App& command, const SendFlags& flags) {
  const std::string& name = flags.campaign.file;
  std::error_code ec;
  if (name.empty() || fs::exists(name, ec)) return std::nullopt;
  const auto folder = CampaignFolder(flags.campaign.state_dir, name);
  // What looks like a file is one, so that a typing error is told as that.
  if (!folder.ok() && (name.find('/') != std::string::npos || name.ends_with(".toml"))) {
    return std::nullopt;
  }
  if (!folder.ok()) {
    return absl::NotFoundError(
        fmt::format("{}: no such file, and {}", name, std::string(folder.status().message())));
  }
  auto campaign = Campaign::Open(flags.campaign.state_dir, fs::path(*folder).filename().string());
  if (!campaign.ok()) return campaign.status();
  CampaignFlags over = flags.campaign;
  over.file.clear();
  auto given = ReadDefinition(command, over);
  if (!given.ok()) return given.status();
  given->name.clear();
  Subject subject;
  subject.definition = Overlay((*campaign)->definition(), *given);
  ApplyRelayFlags(flags.campaign.relay, &subject.definition.relays);
  subject.campaign = *std::move(campaign);
  return subject;
}

absl::StatusOr<Subject> ReadSubject(const CLI::App& command, const SendFlags& flags,
                                    Progress* progress) {
  auto named = ByName(command, flags);
  if (!named.ok()) return named.status();
  if (named->has_value()) return **std::move(named);
  auto definition = ReadDefinition(command, flags.campaign);
  if (!definition.ok()) return definition.status();
  if (absl::Status s = CheckDefinition(*definition, true); !s.ok()) return s;
  Subject subject{*std::move(definition), nullptr};
  const std::string id = pipeline::CampaignId(subject.definition.name);
  if (!flags.restart && Campaign::Exists(flags.campaign.state_dir, id)) {
    auto begun = Campaign::Open(flags.campaign.state_dir, id);
    if (!begun.ok()) return begun.status();
    subject.campaign = *std::move(begun);
    return subject;
  }
  pipeline::PrepareOptions prepare;
  prepare.state_dir = flags.campaign.state_dir;
  prepare.limit = flags.campaign.limit;
  prepare.scratch = prepare.admit = prepare.without_unsubscribe = true;
  prepare.on_progress = [progress](uint64_t rows, uint64_t bytes, uint64_t total) {
    progress->Importing(rows, bytes, total);
  };
  auto campaign = Campaign::Prepare(subject.definition, prepare);
  progress->Clear();
  if (!campaign.ok()) return campaign.status();
  subject.campaign = *std::move(campaign);
  return subject;
}

absl::StatusOr<pipeline::LeftToSend> ReadLeft(const Subject& subject, const SendFlags& flags,
                                              size_t sources, Progress* progress) {
  pipeline::CountLeftOptions options;
  options.sources = static_cast<uint32_t>(std::max<size_t>(1, sources));
  options.now = static_cast<pipeline::UnixSeconds>(absl::ToUnixSeconds(absl::Now()));
  options.uncertain = UncertainOf(flags, subject.campaign->kind());
  options.on_progress = [progress](uint64_t done, uint64_t total) {
    progress->Step("counting recipients", done, total);
  };
  std::unique_ptr<pipeline::Ledger> ledger;
  std::optional<pipeline::SuppressionReader> suppressed;
  if (subject.begun()) {
    auto opened = pipeline::Ledger::OpenToRead(subject.campaign->dir() + "/ledger.bin");
    if (!opened.ok()) return opened.status();
    ledger = *std::move(opened);
    options.ledger = ledger.get();
    if (pipeline::Store::Exists(flags.campaign.state_dir)) {
      auto snapshot =
          pipeline::SuppressionSnapshot::Load(flags.campaign.state_dir, subject.campaign->list());
      if (!snapshot.ok()) return snapshot.status();
      options.suppressed = &suppressed.emplace(*std::move(snapshot));
    }
  }
  auto left = CountLeft(subject.campaign->recipients(), options);
  progress->Clear();
  return left;
}

bool IsThisMachine(std::string_view host) {
  return host.empty() || host == "localhost" || host == "::1" || host.starts_with("127.");
}

// As send would connect, without a look at secrets or DNS. A server on this machine is taken to
// offer no TLS, any other to offer it.
absl::StatusOr<pipeline::PlanRelay> ReadRelay(const pipeline::RelayDefinition& definition) {
  pipeline::PlanRelay relay;
  relay.name = definition.via;
  relay.rate = definition.rate;
  relay.quota = definition.quota;
  std::string text = definition.via;
  if (text.find("://") == std::string::npos) {
    const auto preset = pipeline::FindPreset(text);
    // An address to look its domain's server up for: such servers want TLS and a log-in.
    if (!preset.ok() && text.find('@') == std::string::npos) return preset.status();
    text = preset.ok() ? preset->url : "";
  }
  TlsPolicy tls = TlsPolicy::kRequired;
  bool auth = true;
  std::optional<uint32_t> weight = definition.weight;
  if (!text.empty()) {
    const auto url = pipeline::ParseRelayUrl(text);
    if (!url.ok()) return url.status();
    auth = !definition.credentials.empty() || !url->user.empty();
    tls = url->tls.value_or(auth && !url->auth_insecure ? TlsPolicy::kRequired
                                                        : TlsPolicy::kOpportunistic);
    if (tls == TlsPolicy::kOpportunistic && IsThisMachine(url->host)) tls = TlsPolicy::kOff;
    if (!url->unix_path.empty()) tls = TlsPolicy::kOff;
    if (url->weight) weight = url->weight;
  }
  relay.weight = weight.value_or(1);
  relay.opening_trips = pipeline::OpeningTrips(tls, auth);
  return relay;
}

pipeline::PlanOptions MakeOptions(const Subject& subject, const pipeline::Schedule& schedule,
                                  const std::string& quotas, Progress* progress) {
  const CampaignDefinition& d = subject.definition;
  pipeline::PlanOptions options;
  options.campaign = subject.campaign->id();
  options.limits.rate = d.rate;
  options.limits.quota = d.quota;
  options.connections = d.connections.value_or(pipeline::kDefaultConnections);
  options.messages_per_connection =
      d.messages_per_connection.value_or(pipeline::kDefaultMessagesPerConnection);
  options.schedule = schedule;
  options.start = {io::MonotonicNow(), absl::Now()};
  options.quota_dir = quotas;
  options.on_progress = [progress](uint64_t sent, uint64_t total) {
    progress->Step("simulated", sent, total);
  };
  return options;
}

absl::Status ReadRoundTrips(const PlanFlags& flags, const Subject& subject,
                            pipeline::RoundTrips* trips) {
  if (flags.reply_latency.empty()) {
    return subject.begun() ? trips->Measure(subject.campaign->dir()) : absl::OkStatus();
  }
  const auto latency = ParseDuration(flags.reply_latency);
  if (!latency.ok() || *latency > absl::Minutes(10)) {
    return absl::InvalidArgumentError(fmt::format(
        "--reply-latency {}: write a time up to 10m, such as 30ms or 1.5s", flags.reply_latency));
  }
  *trips = pipeline::RoundTrips(*latency);
  return absl::OkStatus();
}

// What comes together in Plan().
class Planning {
 public:
  Planning(const PlanFlags& flags, Subject subject, Progress* progress)
      : flags_(flags), subject_(std::move(subject)), progress_(progress) {}

  absl::StatusOr<pipeline::Plan> Make() {
    const auto schedule = ReadSchedule(subject_.definition, flags_.send);
    if (!schedule.ok()) return schedule.status();
    const auto direct = pipeline::IsDirect(subject_.definition.relays);
    if (!direct.ok()) return direct.status();
    facts_.direct = *direct;
    facts_.campaign = subject_.campaign->id();
    facts_.now = absl::Now();
    facts_.not_after = schedule->not_after();
    if (!subject_.begun()) facts_.suppressed = subject_.campaign->import().suppressed;
    const std::string& state = flags_.send.campaign.state_dir;
    if (absl::Status s = scratch_.CopyQuotas(state + "/quotas"); !s.ok()) return s;
    auto options = MakeOptions(subject_, *schedule, scratch_.path(), progress_);
    if (absl::Status s = ReadRoundTrips(flags_, subject_, &options.round_trips); !s.ok()) return s;
    facts_.reply = options.round_trips.all();
    facts_.measured = options.round_trips.measured();
    auto plan = *direct ? Direct(options) : ByRelays(options);
    progress_->Clear();
    return plan;
  }
  const PlanFacts& facts() const { return facts_; }

 private:
  absl::StatusOr<pipeline::LeftToSend> Left(size_t sources) {
    auto left = ReadLeft(subject_, flags_.send, sources, progress_);
    if (!left.ok()) return left;
    facts_.settled = left->settled;
    facts_.suppressed += left->suppressed;
    facts_.domains = left->domains.size();
    return left;
  }

  absl::StatusOr<pipeline::Plan> ByRelays(const pipeline::PlanOptions& options) {
    std::vector<pipeline::PlanRelay> relays;
    bool weighted = false;
    for (const auto& definition : subject_.definition.relays) {
      auto relay = ReadRelay(definition);
      if (!relay.ok()) return relay.status();
      weighted = weighted || relay->weight > 0;
      relays.push_back(*std::move(relay));
    }
    if (!weighted) {
      return absl::InvalidArgumentError("no relay has a weight over 0: see volley send --help");
    }
    const auto left = Left(1);
    if (!left.ok()) return left.status();
    auto planned = options;
    auto warm_ups = ReadWarmUps(subject_.definition, options.schedule, nullptr,
                                *engine::policy::ProviderPack::BuiltIn());
    if (!warm_ups.ok()) return warm_ups.status();
    planned.warm_ups = *std::move(warm_ups);
    return PlanByRelays(planned, relays, *left);
  }

  // As send: --providers, or what the campaign was begun with.
  absl::StatusOr<std::shared_ptr<const engine::policy::ProviderPack>> Providers() const {
    auto policy = ReadOwnPolicy(subject_.definition.policy);
    if (!policy.ok()) return policy.status();
    if (!policy->providers_text) {
      policy->rules_text.reset();  // so that nothing is written
      absl::Status s = KeepOwnPolicy(subject_.campaign->dir(), subject_.begun(), &*policy);
      if (!s.ok()) return s;
    }
    return policy->providers;
  }

  absl::StatusOr<pipeline::Plan> Direct(const pipeline::PlanOptions& options) {
    auto resolver = MakeResolver(flags_.send.preflight);
    if (!resolver.ok()) return resolver.status();
    const auto how = ReadDirect(subject_.definition.relays[0], flags_.send, resolver->get());
    if (!how.ok()) return how.status();
    const auto left = Left(how->sources.size());
    if (!left.ok()) return left.status();
    const auto providers = Providers();
    if (!providers.ok()) return providers.status();
    const auto& pack = *providers;
    pipeline::PlanRoutesOptions routes_options;
    routes_options.pack = pack;
    routes_options.mx = how->mx;
    if (flags_.send.preflight.dns != "off") routes_options.resolver = resolver->get();
    routes_options.on_progress = [this](uint64_t done, uint64_t total) {
      progress_->Step("domains asked about", done, total);
    };
    const pipeline::PlanRoutes routes = FindPlanRoutes(*left, routes_options);
    facts_.no_mail = routes.no_mail;
    facts_.guessed_domains = routes.guessed_domains;
    pipeline::PlanDirect direct;
    direct.fallback = &pack->fallback();
    if (!how->sources.empty()) direct.sources.clear();
    for (const pipeline::Source& source : how->sources) direct.sources.push_back(source.name());
    const auto& overrides = how->mx.overrides;
    const bool here = !overrides.empty() &&
                      std::all_of(overrides.begin(), overrides.end(),
                                  [](const auto& over) { return IsThisMachine(over.host); });
    direct.tls = here || how->mx.allow_nobodys ? TlsPolicy::kOff : how->how.tls;
    auto planned = options;
    auto warm_ups = ReadWarmUps(subject_.definition, options.schedule, &*how, *pack);
    if (!warm_ups.ok()) return warm_ups.status();
    planned.warm_ups = *std::move(warm_ups);
    return PlanByRoutes(planned, direct, routes);
  }

  const PlanFlags& flags_;
  const Subject subject_;
  Progress* const progress_;
  ScratchFolder scratch_;
  PlanFacts facts_;
};

int MakePlan(const CLI::App& command, const PlanFlags& flags) {
  Progress progress(!flags.send.no_progress && !flags.send.json);
  auto subject = ReadSubject(command, flags.send, &progress);
  if (!subject.ok()) return ReportError(subject.status());
  Planning planning(flags, *std::move(subject), &progress);
  const auto plan = planning.Make();
  if (!plan.ok()) return ReportError(plan.status());
  if (flags.send.json) {
    PrintPlanJson(*plan, planning.facts());
  } else {
    PrintPlan(*plan, planning.facts());
  }
  return plan->all.left > 0 ? 1 : 0;
}

}  // namespace

void AddPlanCommand(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("plan", "Say when a campaign would be done, and what would hold it");
  command->footer(kFooter);
  auto flags = std::make_shared<PlanFlags>();
  command
      ->add_option("--reply-latency", flags->reply_latency,
                   "Time a server takes to answer (50ms, or as the campaign's own deliveries took)")
      ->group("Plan");
  AddSendFlags(command, &flags->send);
  command->callback([command, flags, exit_code] { *exit_code = MakePlan(*command, *flags); });
}

}  // namespace volley::tools
