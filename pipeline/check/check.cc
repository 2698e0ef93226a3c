#include "pipeline/check/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "engine/smtp/client_command.h"
#include "pipeline/check/explain.h"
#include "pipeline/check/test_message.h"

namespace volley::pipeline {
namespace {

using engine::sasl::AuthFailure;
using engine::smtp::CommandKind;
using engine::smtp::TlsPolicy;
using engine::smtp::VerdictKind;

constexpr size_t kAddressesMax = 8;  // of a host; the first ones say enough

// Servers that make clients wait before they greet do so for up to some seconds (Postfix'
// postscreen for 6). A probe only wants to know the language.
constexpr absl::Duration kProbePatience = absl::Seconds(4);
constexpr absl::Duration kProbeConnectTimeout = absl::Seconds(3);
// For an ending conversation, after all other time is over.
constexpr absl::Duration kGrace = absl::Seconds(2);

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

CheckTarget TargetOf(const Relay& relay) {
  CheckTarget target;
  target.host = relay.url.host;
  target.port = relay.url.port;
  target.unix_path = relay.url.unix_path;
  target.protocol = relay.url.protocol;
  target.tls = relay.tls;
  target.with_credentials = relay.credentials != nullptr;
  if (!relay.notes.empty()) target.note = relay.notes.front();
  return target;
}

std::string_view PolicyWords(TlsPolicy policy) {
  switch (policy) {
    case TlsPolicy::kOff:
      return "without TLS";
    case TlsPolicy::kOpportunistic:
      return "STARTTLS where it is offered";
    case TlsPolicy::kRequired:
      return "STARTTLS required";
    case TlsPolicy::kImplicit:
      return "TLS from the first byte";
  }
  return "";
}

}  // namespace

Check::Check(std::unique_ptr<io::Reactor> reactor, io::Resolver* resolver, const Relay* relay,
             CheckOptions options)
    : resolver_(resolver),
      relay_(relay),
      options_(std::move(options)),
      target_(TargetOf(*relay)),
      tls_policy_(relay->tls),
      reactor_(std::move(reactor)) {}

absl::StatusOr<std::unique_ptr<Check>> Check::Create(std::unique_ptr<io::Reactor> reactor,
                                                     io::Resolver* resolver, const Relay* relay,
                                                     CheckOptions options) {
  std::unique_ptr<Check> check(new Check(std::move(reactor), resolver, relay, std::move(options)));
  if (relay->tls_config != nullptr) {
    auto config = relay->tls_config->Get();
    if (!config.ok()) return config.status();
    check->tls_ = std::make_unique<io::TlsClientContext>(*std::move(config));
  }
  return check;
}

Check::~Check() = default;

CheckReport Check::Run() {
  deadline_ = reactor_->Now() + options_.timeout;
  if (relay_->credentials != nullptr) shown_.Hide(relay_->credentials->current()->credentials);
  report_.diagnosis = RunSteps();
  return std::move(report_);
}

Check::Finding Check::RunSteps() {
  DescribeRelay();
  if (Finding found = Resolve()) return found;
  if (Finding found = Connect()) return found;
  if (Finding found = Open()) return found;
  if (Finding found = options_.send_test ? SendTestMessage() : TryEnvelope()) {
    Quit();
    return found;
  }
  Quit();
  TryResumption();
  return std::nullopt;
}

// --- Steps ---

void Check::Emit(Step step) {
  if (options_.on_step) options_.on_step(step);
  report_.steps.push_back(std::move(step));
}

void Check::EmitStepsOf(Conversation* conversation) {
  for (Step& step : conversation->TakeSteps()) {
    if (!only_auth_steps_ || step.name == "auth") Emit(std::move(step));
  }
}

void Check::DescribeRelay() {
  std::string detail = fmt::format("{}, {}", target_.Name(), PolicyWords(relay_->tls));
  if (relay_->credentials != nullptr) {
    const auto snapshot = relay_->credentials->current();
    detail += fmt::format(", log in as {}", snapshot->credentials.user.empty()
                                                ? "whom the token names"
                                                : shown_(snapshot->credentials.user));
  }
  for (const std::string& note : relay_->notes) detail += "\n" + note;
  Emit({"relay", true, {}, std::move(detail)});
}

Check::Finding Check::Resolve() {
  if (!target_.unix_path.empty()) {
    auto endpoint = io::Endpoint::FromUnixPath(target_.unix_path);
    if (endpoint.ok()) {
      endpoints_ = {*endpoint};
      return std::nullopt;
    }
    return DiagnoseConnect(target_, {ENOENT, false, {}, std::string(endpoint.status().message())},
                           {});
  }
  const io::MonoTime began = reactor_->Now();
  io::HostAnswer answer = resolver_->LookupHostNow(target_.host, target_.port);
  const absl::Duration took = reactor_->Now() - began;
  if (answer.status == io::DnsStatus::kOk) {
    endpoints_ = std::move(answer.endpoints);
    if (endpoints_.size() > kAddressesMax) endpoints_.resize(kAddressesMax);
    std::string addresses;
    for (const io::Endpoint& e : endpoints_) addresses += (addresses.empty() ? "" : ", ") + e.ip();
    Emit({"resolve", true, took, fmt::format("{}: {}", target_.host, addresses)});
    return std::nullopt;
  }
  Diagnosis found = DiagnoseName(target_, answer.status, answer.error, HintsForName(answer.status));
  Emit({"resolve", false, took, found.what});
  return found;
}

// --- Connecting ---

Conversation* Check::StartConversation(const io::Endpoint& peer, bool only_tls) {
  Conversation::Options options;
  options.tls = tls_policy_;
  options.only_tls = only_tls;
  options.connect_timeout = options_.connect_timeout;
  options.reply_timeout = options_.reply_timeout;
  conversations_.push_back(
      std::make_unique<Conversation>(reactor_.get(), tls_.get(), relay_, &shown_, peer, options));
  conversations_.back()->Start();
  return conversations_.back().get();
}

PortProbe* Check::StartProbe(const io::Endpoint& peer, PortProbe::Question question) {
  if (probing_tls_ == nullptr && question != PortProbe::Question::kConnect) {
    // Not the relay's settings: it should talk to anybody, and show nobody our certificate.
    if (auto config = io::TlsClientConfig::Create({}); config.ok()) {
      probing_tls_ = std::make_unique<io::TlsClientContext>(*std::move(config));
    }
  }
  PortProbe::Options options;
  const bool connect_only = question == PortProbe::Question::kConnect;
  options.connect_timeout = connect_only ? options_.connect_timeout
                                         : std::min(kProbeConnectTimeout, options_.connect_timeout);
  options.patience = std::min(kProbePatience, options_.reply_timeout);
  probes_.push_back(
      std::make_unique<PortProbe>(reactor_.get(), probing_tls_.get(), peer, question, options));
  probes_.back()->Start();
  return probes_.back().get();
}

// All addresses at one time: the first with a conversation, which is what a session of `send` would
// have; of the others only whether they can be reached.
Check::Finding Check::Connect() {
  conversation_ = StartConversation(endpoints_.front(), /*only_tls=*/false);
  std::vector<PortProbe*> others;
  for (size_t i = 1; i < endpoints_.size(); ++i) {
    others.push_back(StartProbe(endpoints_[i], PortProbe::Question::kConnect));
  }
  const auto known = [&] {
    return (conversation_->connected() || conversation_->ended()) &&
           std::all_of(others.begin(), others.end(), [](PortProbe* p) { return p->answered(); });
  };
  if (!RunUntil(known) && !conversation_->connected()) {
    conversation_->Expire();
    RunUntil(reactor_->Now() + kGrace, [&] { return conversation_->ended(); });
  }
  EmitConnects(others);
  if (conversation_->connected()) return std::nullopt;
  if (Conversation* second = SecondChoice(others); second != nullptr) {
    conversation_ = second;
    return std::nullopt;
  }
  return DiagnoseConnecting();
}

void Check::EmitConnects(const std::vector<PortProbe*>& others) {
  const auto emit = [&](const io::Endpoint& peer, bool ok, absl::Duration took,
                        const std::string& error) {
    Emit({"connect", ok, took, ok ? peer.ToString() : error});
  };
  emit(conversation_->peer(), conversation_->connected(), conversation_->connect_time(),
       conversation_->connect_failure().words);
  for (const PortProbe* probe : others) {
    emit(probe->peer(), probe->finding().answer == PortAnswer::kOpen, probe->connect_time(),
         probe->connect_error());
  }
}

// `send` goes to the next address too.
Conversation* Check::SecondChoice(const std::vector<PortProbe*>& others) {
  for (PortProbe* probe : others) {
    if (probe->finding().answer != PortAnswer::kOpen) continue;
    Conversation* next = StartConversation(probe->peer(), /*only_tls=*/false);
    RunUntil([&] { return next->connected() || next->ended(); });
    if (next->connected()) return next;
  }
  return nullptr;
}

// --- The opening ---

// Until the relay would take mail, or has said why not; with what `send` does to get there: in
// clear where TLS is a bonus and fails, with a new token where the old one is refused.
Check::Finding Check::Open() {
  while (true) {
    Conversation* const present = conversation_;
    WaitForGreeting();
    const auto opened = [&] {
      EmitStepsOf(present);
      return present->ready() || present->ended();
    };
    if (!RunUntil(opened)) {
      present->Expire();
      RunUntil(reactor_->Now() + kGrace, opened);
    }
    if (present->ready()) return std::nullopt;
    if (GoOnInClear() || RenewToken()) continue;
    return DiagnoseConversation();
  }
}

// A server that waits for a ClientHello says nothing, for as long as we do: after half of the time
// a greeting may take, a second connection asks whether that is it.
void Check::WaitForGreeting() {
  const absl::Duration patience = std::min(kProbePatience, options_.reply_timeout / 2);
  const auto heard = [&] { return !conversation_->WaitsForGreeting(); };
  const bool greeted =
      RunUntil(deadline_, [&] { return heard() || conversation_->SinceStep() >= patience; }) &&
      heard();
  if (greeted || !conversation_->WaitsForGreeting() || tls_policy_ == TlsPolicy::kImplicit) return;
  silence_probe_ = StartProbe(conversation_->peer(), PortProbe::Question::kTls);
  RunUntil([&] { return heard() || silence_probe_->answered(); });
  if (silence_probe_->finding().answer == PortAnswer::kTls) {
    conversation_->Abort();
    RunUntil([&] { return conversation_->ended(); });
  }
}

// RFC 7435: where encryption is a bonus, mail goes without it rather than not at all.
bool Check::GoOnInClear() {
  const io::TlsError* error = conversation_->tls_error();
  if (error == nullptr || conversation_->tls_info() || tls_policy_ != TlsPolicy::kOpportunistic) {
    return false;
  }
  Emit({"tls", false, conversation_->last_step_took(), error->message + "; mail goes in clear"});
  tls_policy_ = TlsPolicy::kOff;
  conversation_ = StartConversation(conversation_->peer(), /*only_tls=*/false);
  RunUntil([&] { return conversation_->connected() || conversation_->ended(); });
  return true;
}

bool Check::RenewToken() {
  if (renewed_ || relay_->credentials == nullptr ||
      conversation_->End().auth != AuthFailure::kTokenExpired ||
      !conversation_->token_renewal_may_help()) {
    return false;
  }
  renewed_ = true;
  const io::MonoTime began = reactor_->Now();
  const uint64_t version = conversation_->credentials_version();
  CredentialKeeper& keeper = *relay_->credentials;
  keeper.Refused(version);
  RunUntil([&] { return keeper.renewal(version) != CredentialKeeper::Renewal::kPending; });
  switch (keeper.renewal(version)) {
    case CredentialKeeper::Renewal::kRenewed:
      break;
    case CredentialKeeper::Renewal::kPending:
      renewal_ = "getting a new one took too long";
      return false;
    case CredentialKeeper::Renewal::kUnchanged:
      renewal_ = "read again, it is the same one";
      return false;
    case CredentialKeeper::Renewal::kFailed:
      renewal_ = "it could not be renewed: " + shown_(keeper.renewal_error());
      return false;
  }
  Emit({"auth", false, conversation_->last_step_took(), conversation_->End().words});
  shown_.Hide(keeper.current()->credentials);
  Emit({"token", true, reactor_->Now() - began, "the refused token was renewed"});
  only_auth_steps_ = true;
  conversation_ = StartConversation(conversation_->peer(), /*only_tls=*/false);
  RunUntil([&] { return conversation_->connected() || conversation_->ended(); });
  return true;
}

// --- Mail ---

Check::Finding Check::Ended(std::string_view step) {
  Diagnosis found = DiagnoseEnd(target_, conversation_->End(), {}, {});
  Emit({std::string(step), false, conversation_->last_step_took(), found.what});
  return found;
}

Check::Finding Check::Refused(CommandKind command, const engine::smtp::ReplyView& reply) {
  Refusal refusal;
  refusal.command = command;
  refusal.reply = reply;
  refusal.authenticated = conversation_->authenticated();
  if (options_.from) refusal.from = *options_.from;
  if (options_.to) refusal.to = *options_.to;
  return DiagnoseRefusal(target_, refusal);
}

Check::Finding Check::SayAndWait(CommandKind command, std::string line, bool* refused) {
  const std::string_view step = command == CommandKind::kMail ? "mail" : "rcpt";
  Conversation* c = conversation_;
  if (!c->ready()) return Ended(step);
  c->Say(std::move(line));
  const auto answered = [&] { return c->reply() != nullptr || c->ended(); };
  if (!RunUntil(answered)) {
    c->Expire();
    RunUntil(reactor_->Now() + kGrace, [&] { return c->ended(); });
  }
  const HeardReply* reply = c->reply();
  if (reply == nullptr) return Ended(step);
  const bool good = reply->code.positive();
  Emit({std::string(step), good, reply->took, reply->Words()});
  *refused = !good;
  return good ? std::nullopt : Refused(command, reply->view());
}

// MAIL and RCPT as `send` would say them, then RSET: no message is begun.
Check::Finding Check::TryEnvelope() {
  if (!options_.from) return std::nullopt;
  const bool utf8 = !IsAscii(*options_.from) || (options_.to && !IsAscii(*options_.to));
  const engine::smtp::Capabilities& offered = conversation_->capabilities();
  if (utf8 && !offered.smtputf8) {
    Emit({"mail", false, {}, "not tried: the server does not offer SMTPUTF8"});
    return Refused(
        CommandKind::kMail,
        {.code = {}, .enhanced = {5, 6, 7}, .text = "the server does not offer SMTPUTF8"});
  }
  std::string line;
  engine::smtp::AppendMail({.reverse_path = *options_.from, .smtputf8 = utf8}, &line);
  bool refused = false;
  if (Finding found = SayAndWait(CommandKind::kMail, std::move(line), &refused)) return found;
  if (!options_.to) return std::nullopt;
  line.clear();
  engine::smtp::AppendRcpt(*options_.to, &line);
  Finding found = SayAndWait(CommandKind::kRcpt, std::move(line), &refused);
  if (conversation_->ready()) {
    conversation_->Say("RSET\r\n");
    RunUntil([&] { return conversation_->reply() != nullptr || conversation_->ended(); });
  }
  return found;
}

Check::Finding Check::SendTestMessage() {
  Conversation* c = conversation_;
  const bool utf8 = !IsAscii(*options_.from) || !IsAscii(*options_.to);
  const absl::Time now = absl::Now();
  c->Deliver(*options_.from, *options_.to, utf8,
             MakeTestMessage(*options_.from, *options_.to, target_.Name(),
                             fmt::format("{:x}", absl::ToUnixNanos(now)), now));
  if (!RunUntil([&] { return c->verdict().has_value() || c->ended(); })) {
    c->Expire();
    RunUntil(reactor_->Now() + kGrace, [&] { return c->verdict().has_value(); });
  }
  if (!c->verdict()) return Ended("message");
  const Conversation::HeardVerdict& verdict = *c->verdict();
  const absl::Duration took = verdict.reply.took;
  switch (verdict.kind) {
    case VerdictKind::kDelivered:
      Emit({"message", true, took,
            fmt::format("sent to {}: {}", *options_.to, verdict.reply.Words())});
      return std::nullopt;
    case VerdictKind::kUnknown:
      Emit({"message", false, took, verdict.reply.text});
      return Diagnosis{
          Fault::kDeliveryUnknown,
          fmt::format("{}: all of the message was sent, and no reply came: {}", target_.Name(),
                      verdict.reply.text),
          "The server may have it or not: look into the mailbox before you try again."};
    case VerdictKind::kRetry:
    case VerdictKind::kFailed:
      break;
  }
  if (verdict.reply.code.value() == 0 && c->ended()) return Ended("message");
  Emit({"message", false, took, verdict.reply.Words()});
  return Refused(verdict.command, verdict.reply.view());
}

void Check::Quit() {
  Conversation* c = conversation_;
  if (c->ended()) return;
  if (c->idle()) {
    c->Quit();
  } else {
    c->Abort();
  }
  if (!RunUntil([&] { return c->ended(); })) c->Abort();
}

// A second connection, as a lane would open one.
void Check::TryResumption() {
  if (!conversation_->tls_info() || relay_->tls_options.session_key.empty()) return;
  Conversation* second = StartConversation(conversation_->peer(), /*only_tls=*/true);
  RunUntil([&] { return second->tls_info().has_value() || second->ended(); });
  absl::Duration took;
  for (const Step& step : second->TakeSteps()) {
    if (step.name == "tls") took = step.took;
  }
  if (!second->tls_info()) {
    const std::string why =
        second->connected() ? second->End().words : second->connect_failure().words;
    Emit({"resumption", false, second->last_step_took(),
          "not known: the second connection failed: " + why});
    return;
  }
  const bool resumed = second->tls_info()->resumed;
  Emit({"resumption", true, took,
        resumed ? "yes: a second connection took up the session of the first"
                : "no: every new connection costs a whole handshake"});
  if (!RunUntil([&] { return second->ended(); })) second->Abort();
}

}  // namespace volley::pipeline
