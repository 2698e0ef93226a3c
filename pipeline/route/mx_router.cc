#include "pipeline/route/mx_router.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/string_view.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {
namespace {

using engine::smtp::EnhancedCode;
using engine::smtp::ReplyCode;
using State = RouteAnswer::State;

constexpr absl::Duration kTtlMin = absl::Seconds(60), kTtlMax = absl::Hours(24);
constexpr absl::Duration kFailedFor = absl::Seconds(60), kNoMailFor = absl::Minutes(15);

absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

RouteAnswer NoMail(uint16_t code, EnhancedCode enhanced, std::string text) {
  return {State::kNoMail, nullptr, ReplyCode(code), enhanced, std::move(text)};
}

// RFC 5321 §5.1: the message stays queued.
RouteAnswer FailedForNow(std::string text) {
  return {State::kFailedForNow, nullptr, ReplyCode(451), {4, 4, 3}, std::move(text)};
}

// "[192.0.2.1]", "[IPv6:2001:db8::1]": RFC 5321 §4.1.3.
std::string LiteralHost(std::string_view domain) {
  constexpr std::string_view kV6 = "[IPv6:";
  if (!domain.starts_with('[') || !domain.ends_with(']')) return "";
  const bool v6 = domain.size() > kV6.size() &&
                  std::equal(kV6.begin(), kV6.end(), domain.begin(),
                             [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  domain.remove_suffix(1);
  domain.remove_prefix(v6 ? kV6.size() : 1);
  return std::string(domain);
}

std::string RouteKey(const std::vector<MxHost>& hosts) {
  std::string key;
  for (const MxHost& host : hosts) {
    fmt::format_to(std::back_inserter(key), "{} {},", host.preference, host.name);
  }
  return key;
}

}  // namespace

absl::StatusOr<MxOverride> ParseMxOverride(std::string_view text) {
  const auto bad = [text] {
    return absl::InvalidArgumentError(fmt::format(
        "\"{}\": write DOMAIN=HOST or DOMAIN=HOST:PORT, such as example.com=10.0.0.1:2525", text));
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return bad();
  MxOverride over;
  over.domain = text.substr(0, equals);
  std::transform(over.domain.begin(), over.domain.end(), over.domain.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  std::string_view host = text.substr(equals + 1);
  const size_t bracket = host.rfind(']'), colon = host.rfind(':');
  const bool has_port = colon != std::string_view::npos &&
                        (bracket == std::string_view::npos || colon > bracket) &&
                        (bracket != std::string_view::npos || host.find(':') == colon);
  if (has_port) {
    const std::string_view port = host.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), over.port);
    if (error != std::errc() || end != port.data() + port.size() || over.port == 0) return bad();
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  over.host = host;
  if (host.empty() || !CheckHeloName(host).ok()) return bad();
  return over;
}

// What callbacks leave for the router's thread.
struct MxRouter::Mail {
  std::string domain;
  bool is_addresses = false;
  io::DnsAnswer mx;
  // Of addresses:
  std::shared_ptr<const Route> route;
  std::string key;  // of routes_; empty: not shared
  absl::Duration ttl;
  MxAddresses::Ready ready{};
  bool implicit = false;  // the domain itself is the host
  std::string why;
};

struct MxRouter::Inbox {
  std::mutex mutex;
  std::vector<Mail> mails;
  std::function<void()> on_answer;  // null: the router is gone
  void Put(Mail mail) {
    const std::lock_guard lock(mutex);
    if (!on_answer) return;
    mails.push_back(std::move(mail));
    on_answer();
  }
};

MxRouter::MxRouter(io::Resolver* resolver, std::shared_ptr<const engine::policy::ProviderPack> pack,
                   MxOptions options, std::function<void()> on_answer)
    : resolver_(resolver),
      pack_(std::move(pack)),
      options_(std::move(options)),
      inbox_(std::make_shared<Inbox>()) {
  inbox_->on_answer = std::move(on_answer);
}

MxRouter::~MxRouter() {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->on_answer = nullptr;
}

RouteAnswer MxRouter::Find(std::string_view name, io::MonoTime now) {
  const auto found = domains_.find(Key(name));
  if (found == domains_.end()) {
    Ask(name);
    return {.state = State::kAsking};
  }
  const Domain& domain = found->second;
  if (!domain.asking && now >= domain.ask_again) {
    Ask(name);
    if (domain.route == nullptr) return {.state = State::kAsking};
  }
  if (domain.route != nullptr) return {.state = State::kKnown, .route = domain.route};
  return domain.refusal == nullptr || domain.asking ? RouteAnswer{.state = State::kAsking}
                                                    : *domain.refusal;
}

void MxRouter::TakeAnswers(const std::function<void(std::string_view domain)>& answered) {
  std::vector<Mail> mails;
  {
    const std::lock_guard lock(inbox_->mutex);
    mails.swap(inbox_->mails);
  }
  for (const Mail& mail : mails) {
    if (mail.is_addresses) {
      TakeAddresses(mail);
    } else {
      TakeMx(mail.domain, mail.mx);
    }
  }
  AskNext();
  while (!answered_.empty()) {
    const std::string domain = std::move(answered_.front());
    answered_.pop_front();
    answered(domain);
  }
}

// --- Questions ---

void MxRouter::Ask(std::string_view name) {
  domains_[Key(name)].asking = true;
  to_ask_.emplace_back(name);
  AskNext();
}

void MxRouter::AskNext() {
  while (asks_ < kAsksMax && !to_ask_.empty()) {
    const std::string domain = std::move(to_ask_.front());
    to_ask_.pop_front();
    ++asks_;
    AskMx(domain);
  }
}

const MxOverride* MxRouter::OverrideFor(std::string_view domain) const {
  const MxOverride* any = nullptr;
  for (const MxOverride& over : options_.overrides) {
    if (over.domain == domain) return &over;
    if (over.domain == "*") any = &over;
  }
  return any;
}

void MxRouter::AskMx(const std::string& domain) {
  if (const MxOverride* over = OverrideFor(domain)) {
    return UseHosts(domain, {{over->host, 0}}, kTtlMax, over);
  }
  if (std::string host = LiteralHost(domain); !host.empty()) {
    return UseHosts(domain, {{std::move(host), 0}}, kTtlMax, nullptr);
  }
  resolver_->Lookup(domain, io::DnsType::kMx,
                    [inbox = inbox_, domain](const io::DnsAnswer& answer) {
                      inbox->Put({.domain = domain,
                                  .is_addresses = false,
                                  .mx = answer,
                                  .route = nullptr,
                                  .key = "",
                                  .ttl = answer.ttl,
                                  .ready = {},
                                  .implicit = false,
                                  .why = ""});
                    });
}

void MxRouter::TakeMx(const std::string& domain, const io::DnsAnswer& answer) {
  std::vector<MxHost> hosts;
  switch (answer.status) {
    case io::DnsStatus::kOk:
      for (const io::MxRecord& mx : io::ParseMx(answer)) {
        if (mx.exchange.empty() || hosts.size() == kHostsMax) continue;
        hosts.push_back({mx.exchange, mx.preference});
      }
      if (hosts.empty()) {
        return Refuse(domain, NoMail(556, {5, 1, 10}, "the domain takes no mail (null MX)"),
                      answer.ttl);
      }
      break;
    case io::DnsStatus::kNoSuchName:
      return Refuse(domain, NoMail(550, {5, 1, 2}, "there is no such domain"), kNoMailFor);
    case io::DnsStatus::kNoData:
      hosts.push_back({domain, 0});  // the implicit MX
      break;
    default:
      return Refuse(domain, FailedForNow("cannot resolve its MX: " + answer.error), kFailedFor);
  }
  // Equal sets are to be the same route, in whatever order the server gave them.
  std::sort(hosts.begin(), hosts.end(), [](const MxHost& a, const MxHost& b) {
    return std::tie(a.preference, a.name) < std::tie(b.preference, b.name);
  });
  UseHosts(domain, std::move(hosts), answer.ttl, nullptr);
}

const engine::policy::Provider* MxRouter::ProviderOf(const std::string& domain,
                                                     std::string_view host) const {
  const engine::policy::Provider* provider = pack_->ByMx(host);
  return provider != &pack_->fallback() ? provider : pack_->ByDomain(domain);
}

void MxRouter::UseHosts(const std::string& domain, std::vector<MxHost> hosts, absl::Duration ttl,
                        const MxOverride* over) {
  const bool literal = domain.starts_with('[');
  const bool implicit = hosts.size() == 1 && hosts[0].name == domain;
  const std::string key = over != nullptr || literal ? "" : RouteKey(hosts);
  if (const auto known = routes_.find(key); !key.empty() && known != routes_.end()) {
    return Settle(domain, known->second, ttl);
  }
  auto route = std::make_shared<Route>();
  route->name = over != nullptr || literal ? domain : hosts[0].name;
  route->provider = over != nullptr ? pack_->ByDomain(domain) : ProviderOf(domain, hosts[0].name);
  MxAddresses::Options options;
  options.resolver = resolver_;
  options.hosts = hosts;
  options.port = over != nullptr ? over->port : options_.port;
  options.allow_nobodys = over != nullptr || options_.allow_nobodys;
  options.seed = options_.seed + next_id_;
  options.clock = options_.clock;
  if (!literal) route->hosts = std::move(hosts);
  route->id = next_id_++;
  // It may be answered before Start returns: the addresses are handed over by TakeAddresses.
  Route* const raw = route.get();
  Mail mail{.domain = domain,
            .is_addresses = true,
            .mx = {},
            .route = std::move(route),
            .key = key,
            .ttl = ttl,
            .ready = {},
            .implicit = implicit,
            .why = ""};
  raw->addresses = MxAddresses::Start(
      std::move(options),
      [inbox = inbox_, mail = std::move(mail)](MxAddresses::Ready ready, std::string why) {
        Mail answer = mail;
        answer.ready = ready;
        answer.why = std::move(why);
        inbox->Put(std::move(answer));
      });
}

void MxRouter::TakeAddresses(const Mail& mail) {
  switch (mail.ready) {
    case MxAddresses::Ready::kOk:
      if (!mail.key.empty()) {
        // Two domains with the same hosts may have been asked about at one time: the first's route.
        return Settle(mail.domain, routes_.try_emplace(mail.key, mail.route).first->second,
                      mail.ttl);
      }
      return Settle(mail.domain, mail.route, mail.ttl);
    case MxAddresses::Ready::kFailed:
      return Refuse(mail.domain, FailedForNow("cannot resolve its mail servers: " + mail.why),
                    kFailedFor);
    case MxAddresses::Ready::kNone:
      break;
  }
  if (!mail.why.empty()) return Refuse(mail.domain, NoMail(550, {5, 4, 4}, mail.why), kNoMailFor);
  if (mail.implicit) {
    return Refuse(mail.domain,
                  NoMail(550, {5, 1, 2}, "the domain has neither mail servers nor an address"),
                  kNoMailFor);
  }
  Refuse(mail.domain, NoMail(550, {5, 4, 4}, "none of its mail servers has an address"),
         kNoMailFor);
}

// --- Answers ---

void MxRouter::Settle(const std::string& name, std::shared_ptr<const Route> route,
                      absl::Duration ttl) {
  Domain& domain = domains_[name];
  domain.route = std::move(route);
  domain.refusal.reset();
  domain.ask_again = options_.clock() + std::clamp(ttl, kTtlMin, kTtlMax);
  domain.asking = false;
  --asks_;
  answered_.push_back(name);
}

void MxRouter::Refuse(const std::string& name, RouteAnswer refusal, absl::Duration ttl) {
  Domain& domain = domains_[name];
  // A name service that is away for now does not make an old answer worse.
  if (refusal.state == State::kNoMail) domain.route.reset();
  domain.refusal = std::make_unique<const RouteAnswer>(std::move(refusal));
  domain.ask_again = options_.clock() + std::clamp(ttl, kTtlMin, kTtlMax);
  domain.asking = false;
  --asks_;
  answered_.push_back(name);
}

}  // namespace volley::pipeline
