// What Check does where a step has failed: it looks further before it names the fault.
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "pipeline/check/check.h"
#include "pipeline/check/similar_names.h"

namespace volley::pipeline {
namespace {

using engine::sasl::AuthFailure;
using engine::smtp::CloseReason;
using engine::smtp::TlsPolicy;

constexpr uint16_t kSmtpsPort = 465;
constexpr absl::Duration kNameHintTimeout = absl::Seconds(3);

// What is seen of a port over two addresses: the one that says more.
int Rank(PortAnswer answer) {
  switch (answer) {
    case PortAnswer::kSmtp:
    case PortAnswer::kTls:
      return 4;
    case PortAnswer::kOther:
      return 3;
    case PortAnswer::kSilent:
    case PortAnswer::kOpen:
      return 2;
    case PortAnswer::kRefused:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

NameHints Check::HintsForName(io::DnsStatus status) {
  NameHints hints;
  if (status != io::DnsStatus::kNoSuchName && status != io::DnsStatus::kNoData) return hints;
  hints.nearest = NearestKnownHost(target_.host);
  hints.that_exist = NamesThatExist(LikelyServerNames(target_.host), resolver_,
                                    std::min(kNameHintTimeout, deadline_ - reactor_->Now()));
  return hints;
}

Diagnosis Check::DiagnoseConnecting() {
  return DiagnoseConnect(target_, conversation_->connect_failure(), LookAtOtherPorts());
}

Diagnosis Check::DiagnoseConversation() {
  Conversation* c = conversation_;
  ConversationEnd end = c->End();
  end.renewal = renewal_;
  const absl::Duration took = c->last_step_took();
  std::string step(c->last_step());
  Diagnosis found;
  if (const io::TlsError* error = c->tls_error(); error != nullptr) {
    PortFinding same;
    if (tls_policy_ == TlsPolicy::kImplicit && (error->failure == io::TlsFailure::kPlaintextPeer ||
                                                error->failure == io::TlsFailure::kPeerClosed ||
                                                error->failure == io::TlsFailure::kTimeout)) {
      same = LookAtSamePort(PortProbe::Question::kGreeting);
    }
    io::TlsError shown = *error;
    shown.message = shown_(error->message);
    found = DiagnoseTls(target_, shown, same);
    Emit({"tls", false, took, found.what});
    return found;
  }
  if (end.reason == CloseReason::kTlsUnavailable) step = "tls";
  if (end.auth != AuthFailure::kNone) step = "auth";
  PortFinding same;
  if (silence_probe_ != nullptr) {
    same = silence_probe_->finding();
  } else if (c->connected() && !c->heard_anything() && tls_policy_ != TlsPolicy::kImplicit) {
    same = LookAtSamePort(PortProbe::Question::kTls);
  }
  const bool elsewhere = (end.reason == CloseReason::kTlsUnavailable && end.code.value() == 0) ||
                         (end.reason == CloseReason::kAuthUnavailable && !end.auth_offered);
  // Shown before the long way round to other ports.
  const std::vector<PortFinding> none;
  found = DiagnoseEnd(target_, end, same, none);
  Emit({std::move(step), false, took, found.what});
  if (elsewhere) found = DiagnoseEnd(target_, end, same, LookAtOtherPorts());
  return found;
}

PortFinding Check::LookAtSamePort(PortProbe::Question question) {
  PortProbe* probe = StartProbe(conversation_->peer(), question);
  RunUntil([&] { return probe->answered(); });
  return probe->finding();
}

std::vector<PortFinding> Check::LookAtOtherPorts() {
  std::vector<PortFinding> findings;
  if (!target_.unix_path.empty() || target_.protocol == engine::smtp::Protocol::kLmtp) {
    return findings;
  }
  const io::MonoTime began = reactor_->Now();
  std::vector<PortProbe*> probes;
  for (const uint16_t port : options_.ports) {
    if (port == target_.port) continue;
    findings.push_back({port, PortAnswer::kPending});
    for (const int family : {AF_INET6, AF_INET}) {
      const auto address =
          std::find_if(endpoints_.begin(), endpoints_.end(),
                       [&](const io::Endpoint& e) { return e.family() == family; });
      if (address == endpoints_.end()) continue;
      io::Endpoint peer = *address;
      peer.set_port(port);
      probes.push_back(StartProbe(
          peer, port == kSmtpsPort ? PortProbe::Question::kTls : PortProbe::Question::kGreeting));
    }
  }
  RunUntil([&] {
    return std::all_of(probes.begin(), probes.end(), [](PortProbe* p) { return p->answered(); });
  });
  std::string detail;
  for (PortFinding& finding : findings) {
    for (const PortProbe* probe : probes) {
      if (probe->finding().port != finding.port) continue;
      if (finding.answer == PortAnswer::kPending ||
          Rank(probe->finding().answer) > Rank(finding.answer)) {
        finding = probe->finding();
      }
    }
    detail += fmt::format("{}{} {}", detail.empty() ? "" : ", ", finding.port,
                          PortAnswerWords(finding.answer));
  }
  if (!findings.empty()) Emit({"other_ports", true, reactor_->Now() - began, std::move(detail)});
  return findings;
}

}  // namespace volley::pipeline
