// Check: connects to a relay as `volley send` would, one step at a time, and says what is wrong:
//
//   resolve, connect (each address), greeting, EHLO, TLS, EHLO, AUTH, then MAIL and RCPT without a
//   message, or a test message; at the end a second connection that shows whether TLS is resumed.
//
// Where a step fails it looks further: at names like the one that is not there, at other ports of
// the host, at the language a port speaks.
//
// Threading: Run() runs the reactor in the calling thread and waits for DNS. Bounds: all of it ends
//   within CheckOptions::timeout and some seconds (DNS has its own bound, the resolver's).
#ifndef VOLLEY_PIPELINE_CHECK_CHECK_H_
#define VOLLEY_PIPELINE_CHECK_CHECK_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "io/reactor/reactor.h"
#include "io/resolver/resolver.h"
#include "io/tls/tls_context.h"
#include "pipeline/check/conversation.h"
#include "pipeline/check/diagnosis.h"
#include "pipeline/check/port_probe.h"
#include "pipeline/check/shown_text.h"
#include "pipeline/check/step.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

struct CheckOptions {
  // Canonical addresses. nullopt: MAIL or RCPT is not tried; an empty sender is the null path.
  std::optional<std::string> from, to;
  bool send_test = false;  // REQUIRES: from and to
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration reply_timeout = absl::Seconds(20);
  absl::Duration timeout = absl::Seconds(60);
  std::vector<uint16_t> ports = {587, 465, 25, 2525};  // looked at where the wanted one fails
  std::function<void(const Step&)> on_step;            // as they happen; may be empty
};

struct CheckReport {
  std::optional<Diagnosis> diagnosis;  // nullopt: all is well
  std::vector<Step> steps;
};

class Check {
 public:
  // LIFETIME: relay and resolver outlive it. Errors: as TlsConfigLoader::Get.
  static absl::StatusOr<std::unique_ptr<Check>> Create(std::unique_ptr<io::Reactor> reactor,
                                                       io::Resolver* resolver, const Relay* relay,
                                                       CheckOptions options);
  ~Check();

  CheckReport Run();  // once

 private:
  using Finding = std::optional<Diagnosis>;  // nullopt: go on

  Check(std::unique_ptr<io::Reactor> reactor, io::Resolver* resolver, const Relay* relay,
        CheckOptions options);

  // --- The steps, in order ---
  Finding RunSteps();
  void DescribeRelay();
  Finding Resolve();
  Finding Connect();
  Finding Open();
  Finding TryEnvelope();
  Finding SendTestMessage();
  void TryResumption();

  // --- Connections ---
  Conversation* StartConversation(const io::Endpoint& peer, bool only_tls);
  PortProbe* StartProbe(const io::Endpoint& peer, PortProbe::Question question);
  void EmitConnects(const std::vector<PortProbe*>& others);
  Conversation* SecondChoice(const std::vector<PortProbe*>& others);
  void WaitForGreeting();
  bool GoOnInClear();
  bool RenewToken();
  void Quit();

  // --- What went wrong ---
  Diagnosis DiagnoseConnecting();
  Diagnosis DiagnoseConversation();
  Finding Refused(engine::smtp::CommandKind command, const engine::smtp::ReplyView& reply);
  Finding SayAndWait(engine::smtp::CommandKind command, std::string line, bool* refused);
  Finding Ended(std::string_view step);
  NameHints HintsForName(io::DnsStatus status);
  std::vector<PortFinding> LookAtOtherPorts();
  PortFinding LookAtSamePort(PortProbe::Question question);

  void Emit(Step step);
  void EmitStepsOf(Conversation* conversation);
  // Runs the reactor until the condition is true; false: the deadline came first.
  template <typename Condition>
  bool RunUntil(io::MonoTime deadline, Condition condition) {
    while (!condition()) {
      const absl::Duration left = deadline - reactor_->Now();
      if (left <= absl::ZeroDuration()) return false;
      reactor_->RunOnce(std::min(left, absl::Milliseconds(50)));  // a condition may be a clock's
    }
    return true;
  }
  template <typename Condition>
  bool RunUntil(Condition condition) {
    return RunUntil(deadline_, condition);
  }

  io::Resolver* const resolver_;
  const Relay* const relay_;
  const CheckOptions options_;
  CheckTarget target_;
  ShownText shown_;
  io::MonoTime deadline_;
  std::vector<io::Endpoint> endpoints_;
  CheckReport report_;
  bool only_auth_steps_ = false;  // the same conversation once more: its other steps are known
  bool renewed_ = false;
  std::string renewal_;  // what came of getting another token, for people
  engine::smtp::TlsPolicy tls_policy_;

  // In this order: the reactor goes first, then what it called, then the TLS contexts.
  std::unique_ptr<io::TlsClientContext> tls_;          // the relay's; null: TLS is off
  std::unique_ptr<io::TlsClientContext> probing_tls_;  // made when it is needed
  std::vector<std::unique_ptr<Conversation>> conversations_;
  std::vector<std::unique_ptr<PortProbe>> probes_;
  Conversation* conversation_ = nullptr;  // the present one
  PortProbe* silence_probe_ = nullptr;    // TLS, at the port that does not greet
  std::unique_ptr<io::Reactor> reactor_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_CHECK_H_
