#include "tools/volley/unsubscribe.h"

#include <fmt/format.h>
#include <signal.h>
#include <sysexits.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/compliance/mail_reply.h"
#include "engine/compliance/token.h"
#include "engine/compliance/unsubscribe_url.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "pipeline/store/suppression.h"
#include "pipeline/store/unsubscribe_key.h"
#include "pipeline/unsubscribe/unsubscribe_server.h"
#include "pipeline/unsubscribe/unsubscriber.h"
#include "tools/volley/args.h"

namespace volley::tools {
namespace {

using Claim = pipeline::Unsubscriber::Claim;

constexpr const char* kFooter = R"(Examples:
  volley unsubscribe serve                                behind a proxy, on 127.0.0.1:8025
  volley unsubscribe serve --listen 0.0.0.0:443 --tls-certificate cert.pem --tls-key key.pem
  volley unsubscribe mail < reply.eml                     from a mail server's pipe
  volley unsubscribe token --address ann@example.org --campaign november \
      --url https://u.example.org/u/{{token}}             a link to try out)";

constexpr const char* kServeFooter = R"(Examples:
  volley unsubscribe serve --state /var/lib/volley --trust-proxy
  volley unsubscribe serve --listen 127.0.0.1:0 --json
  volley unsubscribe serve --listen 0.0.0.0:443 --listen [::]:443 \
      --tls-certificate /etc/ssl/u.example.org.pem --tls-key /etc/ssl/private/u.example.org.key

Any path will do: the token is found in it, or in the query. Each change is a line on standard
output. SIGINT and SIGTERM end it, with its counts. Exit code: 0 when it ran, 1 when it could not
listen or open its files, 2 for wrong usage.)";

constexpr const char* kMailFooter = R"(Examples:
  volley unsubscribe mail --state /var/lib/volley < reply.eml
  Postfix, in master.cf (and unsubscribe@ sent there by transport_maps):
    volley-unsubscribe unix - n n - - pipe user=volley
      argv=/usr/bin/volley unsubscribe mail --state /var/lib/volley

Exit codes, for mail servers: 0 suppressed, also if it was before; 65 no good token in it (the
server returns the message; --discard-unknown: 0); 75 anything else, such as a locked store, a full
disk or a key file that cannot be read (the server keeps the message and tries again); 2 wrong
usage.)";

constexpr const char* kTokenFooter = R"(Examples:
  volley unsubscribe token --address ann@example.org --campaign test
  volley unsubscribe token --address ann@example.org --campaign test --list news.example.org \
      --url https://u.example.org/u/{{token}})";

struct CommonFlags {
  std::string state_dir = "volley-state";
  std::string key_path;
  bool json = false;
};

struct ServeFlags {
  CommonFlags common;
  std::vector<std::string> listen = {"127.0.0.1:8025"};
  std::vector<std::string> list_names;  // ID=NAME
  std::string tls_certificate, tls_key, io = "auto";
  double rate = 20;
  bool trust_proxy = false;
};

struct MailFlags {
  CommonFlags common;
  bool discard_unknown = false;
};

struct TokenFlags {
  CommonFlags common;
  std::string address, list, campaign, url;
};

int Fail(int code, std::string_view message) {
  fmt::print(stderr, "error: {}\n", message);
  return code;
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// Lines on standard output are read by other programs while this one runs.
void PrintLine(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

std::string Dump(const nlohmann::ordered_json& object) {
  // Never throws: what is not UTF-8 is replaced.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void PrintChange(const Claim& claim, std::string_view source, bool json) {
  if (json) {
    nlohmann::ordered_json object;
    object["event"] = "unsubscribed";
    object["address"] = claim.recipient;
    object["list"] = claim.list;
    object["campaign"] = claim.campaign;
    object["source"] = std::string(source);
    return PrintLine(Dump(object));
  }
  PrintLine(fmt::format("{} unsubscribed from {} ({}, campaign {})", claim.recipient,
                        claim.list.empty() ? "all lists" : claim.list, source, claim.campaign));
}

// --- serve ---

std::atomic<pipeline::UnsubscribeServer*> g_server{nullptr};
static_assert(std::atomic<pipeline::UnsubscribeServer*>::is_always_lock_free);  // signal handler

void OnSignal(int) {
  if (pipeline::UnsubscribeServer* server = g_server.load(); server != nullptr) server->Stop();
}

// SIGINT and SIGTERM stop the server while this lives.
class CatchSignals {
 public:
  explicit CatchSignals(pipeline::UnsubscribeServer* server) {
    g_server.store(server);
    struct sigaction action {};
    action.sa_handler = OnSignal;
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~CatchSignals() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
    g_server.store(nullptr);
  }
  CatchSignals(const CatchSignals&) = delete;
  CatchSignals& operator=(const CatchSignals&) = delete;

 private:
  struct sigaction old_int_ {
  }, old_term_{};
};

absl::StatusOr<std::vector<io::Endpoint>> ParseListen(const ServeFlags& flags) {
  std::vector<io::Endpoint> endpoints;
  for (const std::string& text : flags.listen) {
    auto endpoint = io::Endpoint::Parse(text);
    if (!endpoint.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("--listen {}: {}", text, Words(endpoint.status())));
    }
    // Tokens in clear on a network are anybody's to use.
    if (!endpoint->is_loopback() && flags.tls_certificate.empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "--listen {}: not a loopback address, and without TLS: add --tls-certificate and "
          "--tls-key, or listen on 127.0.0.1 behind a proxy that has them (RFC 8058: https)",
          text));
    }
    endpoints.push_back(*endpoint);
  }
  return endpoints;
}

absl::Status ParseListNames(const ServeFlags& flags, pipeline::EndpointOptions* options) {
  for (const std::string& text : flags.list_names) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      return absl::InvalidArgumentError(
          fmt::format("--list-name {}: write ID=NAME: news.example.org=\"Weekly news\"", text));
    }
    options->list_names[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::StatusOr<pipeline::UnsubscribeServerOptions> MakeOptions(const ServeFlags& flags) {
  pipeline::UnsubscribeServerOptions options;
  auto endpoints = ParseListen(flags);
  if (!endpoints.ok()) return endpoints.status();
  options.listen = *std::move(endpoints);
  options.state_dir = flags.common.state_dir;
  options.key_path = flags.common.key_path;
  options.endpoint.rate = flags.rate;
  options.endpoint.trust_proxy = flags.trust_proxy;
  if (absl::Status s = ParseListNames(flags, &options.endpoint); !s.ok()) return s;
  if (!flags.tls_key.empty() && flags.tls_certificate.empty()) {
    return absl::InvalidArgumentError("--tls-key without --tls-certificate: give both");
  }
  if (!flags.tls_certificate.empty()) {
    io::TlsServerOptions tls;
    tls.certificate.certificate_file = flags.tls_certificate;
    tls.certificate.key_file = flags.tls_key;
    auto config = io::TlsServerConfig::Create(tls);
    if (!config.ok()) return config.status();
    options.tls = *std::move(config);
  }
  const bool json = flags.common.json;
  options.endpoint.on_change = [json](const Claim& claim, std::string_view source) {
    PrintChange(claim, source, json);
  };
  options.on_notice = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  options.endpoint.on_error = [](const absl::Status& status) {
    fmt::print(stderr, "not suppressed, the client was told to try again: {}\n", Words(status));
  };
  return options;
}

void PrintCounters(const pipeline::EndpointCounters& counters, bool json) {
  if (json) {
    nlohmann::ordered_json object;
    object["event"] = "stopped";
    object["requests"] = counters.requests;
    object["unsubscribed"] = counters.unsubscribed;
    object["repeated"] = counters.repeated;
    object["pages"] = counters.pages;
    object["refused"] = counters.refused;
    object["rate_limited"] = counters.rate_limited;
    object["failed"] = counters.failed;
    return PrintLine(Dump(object));
  }
  PrintLine(fmt::format(
      "{} requests: {} unsubscribed, {} again, {} confirmation pages, {} refused, {} rate-limited, "
      "{} failed",
      counters.requests, counters.unsubscribed, counters.repeated, counters.pages, counters.refused,
      counters.rate_limited, counters.failed));
}

int RunServe(const ServeFlags& flags) {
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return Fail(2, Words(backend.status()));
  auto options = MakeOptions(flags);
  if (!options.ok()) return Fail(2, Words(options.status()));
  io::ReactorOptions reactor_options;
  reactor_options.backend = *backend;
  auto created = io::CreateReactor(reactor_options);
  if (!created.ok()) return Fail(1, Words(created.status()));
  if (!created->fallback_reason.empty()) fmt::print(stderr, "{}\n", created->fallback_reason);
  io::Reactor& reactor = *created->reactor;
  options->on_stopped = [&reactor] { reactor.Stop(); };
  const std::string_view scheme = options->tls ? "https" : "http";
  auto server = pipeline::UnsubscribeServer::Create(&reactor, *std::move(options));
  if (!server.ok()) return Fail(1, Words(server.status()));
  reactor.SetWakeHandler([&server] { (*server)->OnWake(); });
  {
    const CatchSignals signals(server->get());
    for (const io::Endpoint& endpoint : (*server)->endpoints()) {
      fmt::print(stderr, "listening on {}://{}, Ctrl-C to stop\n", scheme, endpoint.ToString());
    }
    reactor.Run();
  }
  PrintCounters((*server)->counters(), flags.common.json);
  return 0;
}

// --- mail ---

// The header's worth is kept; the rest is read too, or the mail server would see a broken pipe.
absl::StatusOr<std::string> ReadMessage() {
  std::string message;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "standard input");
    if (n == 0) return message;
    if (message.size() < engine::compliance::kReplyHeaderBytesMax) {
      message.append(buffer, static_cast<size_t>(n));
    }
  }
}

// Whatever it is, it can be mended: the mail server keeps the message and tries again, instead of
// telling somebody who opted out that it did not work.
int TryLater(const absl::Status& status) { return Fail(EX_TEMPFAIL, Words(status)); }

int RunMail(const MailFlags& flags) {
  const auto message = ReadMessage();
  if (!message.ok()) return TryLater(message.status());
  const std::vector<std::string> tokens = engine::compliance::FindReplyTokens(*message);
  auto list = pipeline::SuppressionList::Open(flags.common.state_dir);
  if (!list.ok()) return TryLater(list.status());
  auto keys = pipeline::LoadOrCreateUnsubscribeKey(flags.common.state_dir, flags.common.key_path);
  if (!keys.ok()) return TryLater(keys.status());
  pipeline::Unsubscriber unsubscriber(*std::move(list), *std::move(keys));
  const auto claim = unsubscriber.Open(tokens);
  if (!claim) {
    if (flags.discard_unknown) return 0;
    return Fail(EX_DATAERR,
                "this message has no unsubscribe token of ours, neither in its subject "
                "nor in the address it was sent to");
  }
  const auto added = unsubscriber.Suppress(*claim, pipeline::kSourceMail);
  if (!added.ok()) return TryLater(added.status());
  if (*added) PrintChange(*claim, pipeline::kSourceMail, flags.common.json);
  return 0;
}

// --- token ---

int RunToken(const TokenFlags& flags) {
  const auto address = pipeline::CanonicalForSuppression(flags.address);
  if (!address.ok()) {
    return Fail(2, fmt::format("--address {}: {}", flags.address, Words(address.status())));
  }
  std::string url;
  const auto pattern = engine::compliance::UnsubscribeUrl::Parse(
      flags.url.empty() ? "https://localhost/" : flags.url);
  if (!pattern.ok()) return Fail(2, fmt::format("--url: {}", Words(pattern.status())));
  auto keys = pipeline::LoadOrCreateUnsubscribeKey(flags.common.state_dir, flags.common.key_path);
  if (!keys.ok()) return Fail(1, Words(keys.status()));
  const auto token = engine::compliance::MakeUnsubscribeToken(
      **keys, {.list = flags.list, .campaign = flags.campaign, .recipient = *address});
  if (!token.ok()) return Fail(2, Words(token.status()));
  if (!flags.url.empty()) pattern->Append(*token, &url);
  if (flags.common.json) {
    nlohmann::ordered_json object;
    object["token"] = *token;
    if (!url.empty()) object["url"] = url;
    PrintLine(Dump(object));
  } else {
    PrintLine(url.empty() ? *token : url);
  }
  return 0;
}

// --- Flags ---

void AddCommonFlags(CLI::App* command, CommonFlags* flags, const char* json) {
  command->add_option("--state", flags->state_dir, "State directory (default ./volley-state)")
      ->type_name("FOLDER");
  command
      ->add_option("--key", flags->key_path,
                   "Key file of the tokens (default: unsubscribe.key in the state directory, made "
                   "on first use)")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, json);
}

void AddServe(CLI::App* unsubscribe, int* exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = unsubscribe->add_subcommand(
      "serve", "Host the unsubscribe URL: one-click POSTs suppress, links show a page");
  command->footer(kServeFooter);
  command
      ->add_option("--listen", flags->listen, "Where to listen: IP:PORT or unix:/PATH; repeatable")
      ->type_name("ADDRESS")
      ->capture_default_str()
      ->expected(1)
      ->take_all();
  AddCommonFlags(command, &flags->common, "A JSON line for each change, and one at the end");
  command
      ->add_option("--tls-certificate", flags->tls_certificate,
                   "Speak https with this certificate chain (PEM)")
      ->type_name("FILE");
  command->add_option("--tls-key", flags->tls_key, "Its key, when not in the same file (PEM)")
      ->type_name("FILE");
  command->add_flag("--trust-proxy", flags->trust_proxy,
                    "Requests from loopback are a proxy's: the client is the last address of "
                    "X-Forwarded-For");
  command
      ->add_option("--rate", flags->rate,
                   "Requests a second from one client (IPv4 address or IPv6 /64); one without a "
                   "good token counts as ten; 0: no limit")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command
      ->add_option("--list-name", flags->list_names,
                   "What the pages call a list: ID=NAME; repeatable")
      ->type_name("ID=NAME")
      ->expected(1)
      ->take_all();
  command->add_option("--io", flags->io, "How to do I/O: auto, uring or epoll")
      ->type_name("BACKEND")
      ->capture_default_str();
  command->callback([flags, exit_code] { *exit_code = RunServe(*flags); });
}

void AddMail(CLI::App* unsubscribe, int* exit_code) {
  auto flags = std::make_shared<MailFlags>();
  CLI::App* command = unsubscribe->add_subcommand(
      "mail", "Take one message on standard input, as a mail server's pipe gives it");
  command->footer(kMailFooter);
  AddCommonFlags(command, &flags->common, "The change as a JSON line");
  command->add_flag("--discard-unknown", flags->discard_unknown,
                    "Exit code 0 also without a good token: nothing is returned to spam's forged "
                    "senders");
  command->callback([flags, exit_code] { *exit_code = RunMail(*flags); });
}

void AddToken(CLI::App* unsubscribe, int* exit_code) {
  auto flags = std::make_shared<TokenFlags>();
  CLI::App* command =
      unsubscribe->add_subcommand("token", "Print a token, or a whole URL, to try things out");
  command->footer(kTokenFooter);
  command->add_option("--address", flags->address, "Whom it unsubscribes")->required();
  command->add_option("--list", flags->list, "From which list (default: all)");
  command->add_option("--campaign", flags->campaign, "Campaign it came with")->required();
  command->add_option("--url", flags->url, "Print a URL: a prefix, or a pattern with {{token}}");
  AddCommonFlags(command, &flags->common, "Print one JSON object");
  command->callback([flags, exit_code] { *exit_code = RunToken(*flags); });
}

}  // namespace

void AddUnsubscribeCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand(
      "unsubscribe", "What unsubscribe links lead to: the web endpoint, the mailbox, tokens.");
  command->footer(kFooter);
  command->require_subcommand(1);
  AddServe(command, exit_code);
  AddMail(command, exit_code);
  AddToken(command, exit_code);
}

}  // namespace volley::tools
