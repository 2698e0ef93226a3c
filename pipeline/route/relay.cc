#include "pipeline/route/relay.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "pipeline/route/discovery.h"
#include "pipeline/route/presets.h"
#include "pipeline/route/relay_addresses.h"

namespace volley::pipeline {
namespace {

using engine::smtp::TlsPolicy;

absl::Status Bad(const Relay& relay, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("relay \"{}\": {}", relay.name, what));
}

// What `via` says beside the URL.
struct Via {
  RelayUrl url;
  Preset preset;  // empty without one
  std::optional<DiscoveredRelay> discovered;
};

absl::StatusOr<Via> ReadVia(const std::string& text, io::Resolver* resolver) {
  Via via;
  std::string url_text = text;
  if (text.find("://") == std::string::npos) {
    if (text.find('@') != std::string::npos) {
      auto found = DiscoverRelay(text, resolver);
      if (!found.ok()) return found.status();
      url_text = found->url();
      via.discovered = *std::move(found);
    } else {
      auto preset = FindPreset(text);
      if (!preset.ok()) return preset.status();
      url_text = preset->url;
      via.preset = *std::move(preset);
    }
  }
  auto url = ParseRelayUrl(url_text);
  if (!url.ok()) return url.status();
  via.url = *std::move(url);
  return via;
}

// One thing can be said in the URL and beside it; saying two different things is a mistake.
template <typename T>
absl::Status Merge(const Relay& relay, std::string_view what, const std::optional<T>& beside,
                   std::optional<T>* target) {
  if (!beside.has_value()) return absl::OkStatus();
  if (target->has_value() && **target != *beside) {
    return Bad(relay, fmt::format("the URL and \"{}\" contradict each other: leave one out", what));
  }
  *target = beside;
  return absl::OkStatus();
}

absl::Status MergeAuth(const RelayDefinition& d, Relay* relay) {
  relay->auth = relay->url.auth;
  if (!d.auth.empty()) {
    const auto mechanism = engine::sasl::ParseMechanism(d.auth);
    if (!mechanism) {
      std::string known;
      for (const auto m : engine::sasl::kMechanisms) {
        known += (known.empty() ? "" : ", ") + std::string(engine::sasl::MechanismName(m));
      }
      return Bad(*relay, fmt::format("auth \"{}\" is none of {}", d.auth, known));
    }
    if (absl::Status s = Merge(*relay, "auth", mechanism, &relay->auth); !s.ok()) return s;
  }
  relay->auth_insecure = d.auth_insecure.value_or(relay->url.auth_insecure);
  std::optional<uint32_t> weight = relay->url.weight;
  if (absl::Status s = Merge(*relay, "weight", d.weight, &weight); !s.ok()) return s;
  relay->weight = weight.value_or(1);
  relay->rate = d.rate;
  relay->quota = d.quota;
  return absl::OkStatus();
}

// RFC 8314 §3 and RFC 7435: with a secret to lose, TLS with a proven server or none of it; without,
// what encryption can be had.
absl::Status ChooseTls(bool with_credentials, Relay* relay) {
  const std::optional<TlsPolicy>& said = relay->url.tls;
  if (!relay->url.unix_path.empty()) {
    relay->tls = TlsPolicy::kOff;
  } else if (said) {
    relay->tls = *said;
  } else {
    relay->tls = with_credentials && !relay->auth_insecure ? TlsPolicy::kRequired
                                                           : TlsPolicy::kOpportunistic;
  }
  if (relay->tls == TlsPolicy::kOpportunistic && with_credentials && !relay->auth_insecure) {
    return Bad(
        *relay,
        "tls=opportunistic with a password or token: whoever sits on the way could take away "
        "the encryption and read it; write tls=required (or, in a network you trust, "
        "auth_insecure = true)");
  }
  return absl::OkStatus();
}

absl::Status ReadTlsVersion(const Relay& relay, const std::string& text, io::TlsVersion* version) {
  if (text.empty() || text == "1.2") {
    *version = io::TlsVersion::kTls12;
  } else if (text == "1.3") {
    *version = io::TlsVersion::kTls13;
  } else {
    return Bad(relay, fmt::format("tls_min_version \"{}\" is neither \"1.2\" nor \"1.3\" (older "
                                  "ones are broken: RFC 8996)",
                                  text));
  }
  return absl::OkStatus();
}

absl::Status ConfigureTls(const RelayDefinition& d, const Via& via, Relay* relay) {
  if (absl::Status s = ChooseTls(!d.credentials.empty() || !relay->url.user.empty(), relay);
      !s.ok()) {
    return s;
  }
  io::TlsClientOptions options;
  options.ca_file = d.ca_file;
  options.certificate.certificate_file = d.client_certificate;
  options.certificate.key_file = d.client_key;
  options.cipher_list = d.ciphers;
  options.ciphersuites = d.ciphersuites;
  if (!d.client_key.empty() && d.client_certificate.empty()) {
    return Bad(*relay, "client_key without client_certificate: give both");
  }
  if (absl::Status s = ReadTlsVersion(*relay, d.tls_min_version, &options.min_version); !s.ok()) {
    return s;
  }
  if (relay->tls == TlsPolicy::kOff) {
    if (options.ca_file.empty() && options.certificate.certificate_file.empty() &&
        d.tls_name.empty()) {
      return absl::OkStatus();
    }
    return Bad(*relay,
               "TLS is off, so ca_file, client_certificate and tls_name have no meaning: "
               "leave them out, or write tls=required");
  }
  const bool plain_settings = options.ca_file.empty() &&
                              options.certificate.certificate_file.empty() &&
                              options.cipher_list.empty() && options.ciphersuites.empty();
  relay->tls_config = std::make_shared<TlsConfigLoader>(std::move(options));
  if (relay->tls != TlsPolicy::kOpportunistic || !plain_settings) {
    // What is wrong with the files is said before anything is connected to.
    if (auto config = relay->tls_config->Get(); !config.ok()) return config.status();
  }
  relay->tls_options.server_name = d.tls_name.empty() ? relay->url.host : d.tls_name;
  if (via.discovered) relay->tls_options.also_accept = {via.discovered->domain};
  relay->tls_options.session_key = fmt::format("{}:{}", relay->url.host, relay->url.port);
  relay->tls_options.verify =
      relay->tls == TlsPolicy::kOpportunistic ? io::TlsVerify::kNone : io::TlsVerify::kRequired;
  return absl::OkStatus();
}

absl::Status MergeUser(const Via& via, const Relay& relay, CredentialDefinition* credentials) {
  const std::string& in_url = relay.url.user;
  if (!in_url.empty() && !credentials->user.empty() && in_url != credentials->user) {
    return Bad(relay, "the URL and \"user\" name different users: leave one out");
  }
  if (!in_url.empty()) credentials->user = in_url;
  if (credentials->empty()) return absl::OkStatus();
  if (credentials->user.empty()) credentials->user = via.preset.user;
  Oauth2Definition& oauth2 = credentials->oauth2;
  if (!oauth2.empty() && oauth2.token_url.empty()) oauth2.token_url = via.preset.token_url;
  if (!oauth2.empty() && oauth2.scope.empty()) oauth2.scope = via.preset.scope;
  return absl::OkStatus();
}

absl::Status OpenCredentials(const RelayDefinition& d, const Via& via, Relay* relay) {
  CredentialDefinition credentials = d.credentials;
  if (absl::Status s = MergeUser(via, *relay, &credentials); !s.ok()) return s;
  if (credentials.empty()) return absl::OkStatus();
  if (via.discovered && !via.discovered->inside_domain) {
    return absl::FailedPreconditionError(fmt::format(
        "relay \"{}\": DNS names {} as the submission server of {}, which is another domain's, and "
        "DNS answers can be forged: if you know it as your provider's, say so with --via {}",
        relay->name, via.discovered->host, via.discovered->domain, via.discovered->url()));
  }
  if (absl::Status s = CheckCredentials(credentials); !s.ok()) {
    const std::string hint = via.preset.note.empty() ? "" : fmt::format(" ({})", via.preset.note);
    return Bad(*relay, std::string(s.message()) + hint);
  }
  auto keeper = CredentialKeeper::Open(std::move(credentials));
  if (!keeper.ok()) return keeper.status();
  relay->credentials = *std::move(keeper);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const io::TlsClientConfig>> TlsConfigLoader::Get() {
  std::call_once(once_, [this] { config_ = io::TlsClientConfig::Create(options_); });
  return config_;
}

absl::StatusOr<Relay> ConfigureRelay(const RelayDefinition& definition, io::Resolver* resolver) {
  auto via = ReadVia(definition.via, resolver);
  if (!via.ok()) return via.status();
  Relay relay;
  relay.url = via->url;
  relay.name = definition.via;
  relay.helo = definition.helo;
  if (!relay.helo.empty()) {
    if (absl::Status s = CheckHeloName(relay.helo); !s.ok()) return s;
  }
  if (!via->preset.note.empty()) relay.notes.push_back(via->preset.note);
  if (via->discovered) {
    relay.notes.push_back(
        fmt::format("DNS names {} for {}", via->discovered->url(), via->discovered->domain));
  }
  if (absl::Status s = MergeAuth(definition, &relay); !s.ok()) return s;
  if (absl::Status s = ConfigureTls(definition, *via, &relay); !s.ok()) return s;
  if (absl::Status s = OpenCredentials(definition, *via, &relay); !s.ok()) return s;
  return relay;
}

absl::Status ResolveRelay(Relay* relay, io::Resolver* resolver) {
  const RelayUrl& url = relay->url;
  relay->endpoints.clear();
  if (!url.unix_path.empty()) {
    auto endpoint = io::Endpoint::FromUnixPath(url.unix_path);
    if (!endpoint.ok()) return Bad(*relay, std::string(endpoint.status().message()));
    relay->endpoints = {*endpoint};
    return absl::OkStatus();
  }
  io::HostAnswer answer = resolver->LookupHostNow(url.host, url.port);
  switch (answer.status) {
    case io::DnsStatus::kOk:
      relay->addresses =
          RelayAddresses::Create(resolver, url.host, url.port, answer, io::MonotonicNow());
      relay->endpoints = std::move(answer.endpoints);
      return absl::OkStatus();
    case io::DnsStatus::kNoSuchName:
      return absl::NotFoundError(
          fmt::format("relay \"{}\": there is no host named \"{}\": check the spelling",
                      relay->name, url.host));
    case io::DnsStatus::kNoData:
      return absl::NotFoundError(fmt::format(
          "relay \"{}\": the name \"{}\" exists but has no address: is it the mail domain rather "
          "than the server's name (smtp.{}, mail.{})?",
          relay->name, url.host, url.host, url.host));
    default:
      return absl::UnavailableError(
          fmt::format("relay \"{}\": the name \"{}\" cannot be looked up: {}; is this host online, "
                      "and does its name service answer?",
                      relay->name, url.host, answer.error));
  }
}

engine::smtp::ClientOptions MakeClientOptions(const Relay& relay, const io::Endpoint& endpoint) {
  engine::smtp::ClientOptions options;
  options.protocol = relay.url.protocol;
  options.helo_name = relay.helo.empty() ? DefaultHeloName(endpoint) : relay.helo;
  options.tls = relay.tls;
  options.auth_mechanism = relay.auth;
  options.auth_insecure = relay.auth_insecure;
  options.server_name = relay.url.host;
  options.server_port = relay.url.port;
  return options;
}

std::string DefaultHeloName(const io::Endpoint& peer) {
  char host[HOST_NAME_MAX + 1] = {};
  if (gethostname(host, sizeof host - 1) == 0 && std::strchr(host, '.') != nullptr &&
      CheckHeloName(host).ok()) {
    return host;
  }
  if (peer.family() == AF_UNIX) return "localhost.localdomain";
  // Connecting a datagram socket sends nothing; it only asks the kernel for the route.
  const int fd = socket(peer.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_storage local{};
  socklen_t bytes = sizeof local;
  std::string name = "[127.0.0.1]";
  if (fd >= 0 && connect(fd, peer.address(), peer.address_bytes()) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&local), &bytes) == 0) {
    const auto us = io::Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&local), bytes);
    name =
        us.family() == AF_INET6 ? fmt::format("[IPv6:{}]", us.ip()) : fmt::format("[{}]", us.ip());
  }
  if (fd >= 0) close(fd);
  return name;
}

absl::Status CheckHeloName(std::string_view name) {
  bool good = !name.empty() && name.size() <= 255;
  for (const char c : name) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                    std::string_view(".-_:[]").find(c) != std::string_view::npos);
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("EHLO name \"{}\" is neither a host name nor an address in brackets", name));
}

}  // namespace volley::pipeline
