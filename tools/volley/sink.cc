#include "tools/volley/sink.h"

#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "pipeline/sink/sink.h"
#include "tools/volley/args.h"

namespace volley::tools {
namespace {

constexpr const char* kFooter = R"(Examples:
  volley sink                                        take mail on 127.0.0.1:2525, count it
  volley sink --listen 127.0.0.1:0 --jsonl got.jsonl
  volley sink --maildir ./inbox --messages 100       stop after 100 messages
  volley sink --reply-latency 20ms --no-pipelining   pretend to be a far and old server
  volley sink --tls-certificate cert.pem --tls-key key.pem    smtps://127.0.0.1:2525
  volley sink --lmtp --listen unix:/tmp/lmtp.sock

Ctrl-C stops it: open transactions may finish, then the counts are printed. Exit code: 0 when it ran,
1 when it could not listen or could not store what it took, 2 for wrong usage.)";

constexpr uint32_t kReceiveBuffers = 1024;
constexpr uint32_t kReceiveBufferBytes = 16 << 10;

struct SinkFlags {
  std::vector<std::string> listen = {"127.0.0.1:2525"};
  bool discard = false, lmtp = false, json = false, allow_remote = false;
  bool no_pipelining = false, no_chunking = false;
  std::string maildir, jsonl, tls_certificate, tls_key;
  std::string reply_latency = "0", run_for, size_max = "100M", io = "auto";
  uint64_t messages = 0;
};

std::atomic<pipeline::Sink*> g_sink{nullptr};
static_assert(std::atomic<pipeline::Sink*>::is_always_lock_free);  // for the signal handler

void OnSignal(int) {
  if (pipeline::Sink* sink = g_sink.load(); sink != nullptr) sink->Stop();
}

// SIGINT and SIGTERM stop the sink while this lives; a second one stops it at once.
class CatchSignals {
 public:
  explicit CatchSignals(pipeline::Sink* sink) {
    g_sink.store(sink);
    struct sigaction action {};
    action.sa_handler = OnSignal;
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~CatchSignals() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
    g_sink.store(nullptr);
  }
  CatchSignals(const CatchSignals&) = delete;
  CatchSignals& operator=(const CatchSignals&) = delete;

 private:
  struct sigaction old_int_ {
  }, old_term_{};
};

int Fail(int code, std::string_view message) {
  fmt::print(stderr, "error: {}\n", message);
  return code;
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

absl::StatusOr<std::vector<io::Endpoint>> ParseListen(const SinkFlags& flags) {
  std::vector<io::Endpoint> endpoints;
  for (const std::string& text : flags.listen) {
    auto endpoint = io::Endpoint::Parse(text);
    if (!endpoint.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("--listen {}: {}", text, Words(endpoint.status())));
    }
    if (!endpoint->is_loopback() && !flags.allow_remote) {
      return absl::InvalidArgumentError(fmt::format(
          "--listen {}: not a loopback address. A sink takes mail from anyone and delivers none of "
          "it: reachable from outside it swallows real mail and fills disks. Listen on 127.0.0.1, "
          "or "
          "add --allow-remote if the network is a closed one",
          text));
    }
    endpoints.push_back(*endpoint);
  }
  return endpoints;
}

absl::Status ReadFlag(std::string_view flag, const std::string& text, absl::Duration* out) {
  auto duration = ParseDuration(text);
  if (!duration.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{} {}: {}", flag, text, Words(duration.status())));
  }
  *out = *duration;
  return absl::OkStatus();
}

absl::StatusOr<pipeline::SinkOptions> MakeOptions(const SinkFlags& flags) {
  if (flags.discard && !(flags.maildir.empty() && flags.jsonl.empty())) {
    return absl::InvalidArgumentError(
        "--discard keeps nothing: leave it out, or leave out --maildir and --jsonl");
  }
  pipeline::SinkOptions options;
  auto endpoints = ParseListen(flags);
  if (!endpoints.ok()) return endpoints.status();
  options.endpoints = *std::move(endpoints);
  if (absl::Status s = ReadFlag("--reply-latency", flags.reply_latency, &options.reply_latency);
      !s.ok()) {
    return s;
  }
  if (!flags.run_for.empty()) {
    if (absl::Status s = ReadFlag("--for", flags.run_for, &options.run_for); !s.ok()) return s;
  }
  auto size_max = ParseBytes(flags.size_max);
  if (!size_max.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("--size-max {}: {}", flags.size_max, Words(size_max.status())));
  }
  options.server.size_max = *size_max;
  options.server.protocol =
      flags.lmtp ? engine::smtp::Protocol::kLmtp : engine::smtp::Protocol::kSmtp;
  options.server.banner_text = flags.lmtp ? "LMTP volley sink" : "ESMTP volley sink";
  options.server.pipelining = !flags.no_pipelining;
  options.server.chunking = !flags.no_chunking;
  options.maildir = flags.maildir;
  options.jsonl = flags.jsonl;
  options.messages_max = flags.messages;
  if (!flags.tls_key.empty() && flags.tls_certificate.empty()) {
    return absl::InvalidArgumentError("--tls-key without --tls-certificate: give both");
  }
  if (!flags.tls_certificate.empty()) {
    io::TlsServerOptions tls;
    tls.certificate = {flags.tls_certificate, flags.tls_key};
    auto config = io::TlsServerConfig::Create(tls);
    if (!config.ok()) return config.status();
    options.tls = *std::move(config);
  }
  return options;
}

std::string WhatToDo(const absl::Status& status) {
  if (absl::IsAlreadyExists(status)) {
    return Words(status) +
           "; stop what listens there (`ss -ltnp` names it) or choose another port with --listen";
  }
  if (absl::IsPermissionDenied(status)) {
    return Words(status) + ": ports under 1024 need root; choose a higher one with --listen";
  }
  return Words(status);
}

// For CLI11: empty when right, else what is wrong.
std::string IsCount(const std::string& text) {
  const bool count = !text.empty() && text.size() < 19 &&
                     text.find_first_not_of("0123456789") == std::string::npos &&
                     text.find_first_not_of('0') != std::string::npos;
  return count ? "" : fmt::format("'{}' is not a count: write a whole number from 1", text);
}

void PrintCounters(const pipeline::SinkCounters& counters, bool json) {
  if (json) {
    nlohmann::ordered_json object;
    object["messages"] = counters.messages;
    object["recipients"] = counters.recipients;
    object["bytes"] = counters.bytes;
    object["connections"] = counters.connections;
    object["peak_connections"] = counters.peak_connections;
    object["protocol_errors"] = counters.protocol_errors;
    fmt::print("{}\n", object.dump());
    return;
  }
  fmt::print(
      "{} messages to {} recipients, {} bytes, on {} connections ({} at a time at most), "
      "{} protocol errors\n",
      counters.messages, counters.recipients, counters.bytes, counters.connections,
      counters.peak_connections, counters.protocol_errors);
}

int RunSink(const SinkFlags& flags) {
  const auto backend = ParseBackendChoice(flags.io);
  if (!backend.ok()) return Fail(2, Words(backend.status()));
  auto options = MakeOptions(flags);
  if (!options.ok()) return Fail(2, Words(options.status()));
  RaiseFileLimit();

  io::ReactorOptions reactor_options;
  reactor_options.backend = *backend;
  // A server reads content, not replies: larger buffers than the default, at twice the memory (16
  // MiB).
  reactor_options.receive_buffers = kReceiveBuffers;
  reactor_options.receive_buffer_bytes = kReceiveBufferBytes;
  auto created = io::CreateReactor(reactor_options);
  if (!created.ok()) return Fail(1, Words(created.status()));
  if (!created->fallback_reason.empty()) fmt::print(stderr, "{}\n", created->fallback_reason);
  io::Reactor& reactor = *created->reactor;

  options->on_notice = [](const std::string& text) { fmt::print(stderr, "sink: {}\n", text); };
  options->on_stopped = [&] { reactor.Stop(); };
  auto sink = pipeline::Sink::Create(&reactor, *std::move(options));
  if (!sink.ok()) return Fail(1, WhatToDo(sink.status()));
  reactor.SetWakeHandler([&] { (*sink)->OnWake(); });
  {
    const CatchSignals signals(sink->get());
    for (const io::Endpoint& endpoint : (*sink)->endpoints()) {
      fmt::print(stderr, "listening on {} ({}), Ctrl-C to stop\n", endpoint.ToString(),
                 reactor.name());
    }
    reactor.Run();
  }
  PrintCounters((*sink)->counters(), flags.json);
  if (absl::Status status = (*sink)->status(); !status.ok()) return Fail(1, Words(status));
  return 0;
}

}  // namespace

void AddSinkCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<SinkFlags>();
  CLI::App* command = app.add_subcommand(
      "sink", "A test server: take mail, count it, throw it away or keep it. Never delivers any.");
  command->footer(kFooter);
  command
      ->add_option("--listen", flags->listen, "Where to listen: IP:PORT or unix:/PATH; repeatable")
      ->type_name("ADDRESS")
      ->capture_default_str()
      ->expected(1)
      ->take_all();
  command->add_flag("--discard", flags->discard, "Keep nothing (the default)");
  command->add_option("--maildir", flags->maildir, "Keep the messages in this Maildir")
      ->type_name("FOLDER");
  command->add_option("--jsonl", flags->jsonl, "Append a JSON line for each message to this file")
      ->type_name("FILE");
  command
      ->add_option("--reply-latency", flags->reply_latency,
                   "Hold every reply back this long, as a round trip would (20ms)")
      ->type_name("DURATION");
  command->add_flag("--no-pipelining", flags->no_pipelining, "Do not offer PIPELINING");
  command->add_flag("--no-chunking", flags->no_chunking, "Do not offer CHUNKING (BDAT)");
  command->add_flag("--lmtp", flags->lmtp, "Speak LMTP (RFC 2033): a reply for each recipient");
  command
      ->add_option("--tls-certificate", flags->tls_certificate,
                   "Speak TLS from the first byte (smtps://) with this certificate (PEM)")
      ->type_name("FILE");
  command->add_option("--tls-key", flags->tls_key, "Its key, when not in the same file (PEM)")
      ->type_name("FILE");
  command->add_option("--size-max", flags->size_max, "Largest message: bytes, 64K, 10M; 0: any")
      ->type_name("BYTES")
      ->capture_default_str();
  command->add_option("--messages", flags->messages, "Stop after this many messages")
      ->type_name("COUNT")
      ->check(IsCount);
  command->add_option("--for", flags->run_for, "Stop after this long (30s, 5m)")
      ->type_name("DURATION");
  command->add_option("--io", flags->io, "How to do I/O: auto, uring or epoll")
      ->type_name("BACKEND")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print the counts as one JSON object");
  command->add_flag("--allow-remote", flags->allow_remote,
                    "Allow --listen on addresses that other machines reach");
  command->callback([flags, exit_code] { *exit_code = RunSink(*flags); });
}

}  // namespace volley::tools
