// PortProbe: what answers at an address and port. It connects and, as a mail server speaks first,
// says nothing for a while; only where nothing comes it tries a TLS handshake, on a connection of
// its own. Whatever comes first is the answer. It never speaks SMTP: a server that takes note of
// clients who talk before the greeting has nothing to note.
//
// Threading: the reactor's thread. LIFETIME: the TLS context and the probe outlive the probe's
// streams: destroy it when done() or after the reactor.
#ifndef VOLLEY_PIPELINE_CHECK_PORT_PROBE_H_
#define VOLLEY_PIPELINE_CHECK_PORT_PROBE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "io/tls/channel.h"

namespace volley::pipeline {

enum class PortAnswer : uint8_t {
  kPending,
  kRefused,
  kTimedOut,
  kFailed,  // anything else that kept us from connecting
  kOpen,    // connected; nobody asked further
  kSmtp,    // a greeting in the form of SMTP
  kTls,     // a TLS handshake was finished
  kOther,   // it speaks something else
  kSilent,  // neither a greeting nor TLS
};
std::string_view PortAnswerWords(PortAnswer answer);  // "speaks SMTP", "refused", ...

struct PortFinding {
  uint16_t port = 0;
  PortAnswer answer = PortAnswer::kPending;
  bool Speaks() const { return answer == PortAnswer::kSmtp || answer == PortAnswer::kTls; }
};

class PortProbe final : private io::ChannelHandler, private io::Timer {
 public:
  enum class Question : uint8_t {
    kConnect,   // only whether it can be connected to
    kGreeting,  // what it says of its own accord, else whether it speaks TLS
    kTls,       // whether it speaks TLS
  };
  struct Options {
    absl::Duration connect_timeout = absl::Seconds(3);
    absl::Duration patience = absl::Seconds(3);  // for a greeting, and for a TLS handshake
  };

  // `tls`: its certificate settings do not matter; null: kTls is not asked, also not by kGreeting.
  PortProbe(io::Reactor* reactor, io::TlsClientContext* tls, const io::Endpoint& peer,
            Question question, const Options& options);
  ~PortProbe() override = default;

  void Start();
  bool done() const { return finding_.answer != PortAnswer::kPending && !open_; }
  // The answer is known; the connection may still be closing.
  bool answered() const { return finding_.answer != PortAnswer::kPending; }
  const io::Endpoint& peer() const { return peer_; }
  const PortFinding& finding() const { return finding_; }
  absl::Duration connect_time() const { return connect_time_; }  // until connected, or failed
  int sys_errno() const { return sys_errno_; }
  const std::string& connect_error() const { return connect_error_; }

 private:
  void OnConnected() override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override {}
  void OnPeerClosed() override;
  void OnClosed(const io::CloseInfo& info) override;
  void OnTlsReady(const io::TlsInfo& info) override;
  void OnTimer() override;

  void Connect(bool with_tls);
  void Answer(PortAnswer answer);
  void AnswerByGreeting();
  void TryTlsNext();

  io::Reactor* const reactor_;
  io::TlsClientContext* const tls_;
  const io::Endpoint peer_;
  const Question question_;
  const Options options_;
  io::Channel channel_;
  PortFinding finding_;
  bool open_ = false, connected_ = false, with_tls_ = false, tls_next_ = false;
  std::string heard_;  // the greeting's first bytes
  io::MonoTime started_;
  absl::Duration connect_time_;
  int sys_errno_ = 0;
  std::string connect_error_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_PORT_PROBE_H_
