// Conversation: one connection to a relay, driven as the delivery's sessions drive theirs (the same
// client machine, the same options), one step at a time and with everything noted down.
//
// Once ready() it does what it is asked: Say() a command, Deliver() a message, Quit(). MAIL and
// RCPT without a message are said here and not by the client machine: that one runs whole
// transactions, and a third way through its busiest part would serve nobody but this.
//
// Threading: the reactor's thread; it has no loop of its own. LIFETIME: relay, TLS context and
//   `shown` outlive it; destroy it when ended() or after the reactor.
#ifndef VOLLEY_PIPELINE_CHECK_CONVERSATION_H_
#define VOLLEY_PIPELINE_CHECK_CONVERSATION_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/client.h"
#include "engine/smtp/reply.h"
#include "io/tls/channel.h"
#include "pipeline/check/diagnosis.h"
#include "pipeline/check/shown_text.h"
#include "pipeline/check/step.h"
#include "pipeline/credentials/credentials.h"
#include "pipeline/route/relay.h"

namespace volley::pipeline {

// A reply, its words as ShownText has them.
struct HeardReply {
  engine::smtp::ReplyCode code;
  engine::smtp::EnhancedCode enhanced;
  std::string text;
  absl::Duration took;

  engine::smtp::ReplyView view() const { return {code, enhanced, text}; }
  std::string Words() const;  // "250 2.1.0 ok"
};

class Conversation final : private io::ChannelHandler,
                           private engine::smtp::ClientObserver,
                           private io::Timer {
 public:
  struct Options {
    engine::smtp::TlsPolicy tls = engine::smtp::TlsPolicy::kOff;
    bool only_tls = false;  // QUIT as soon as TLS is there: no AUTH
    absl::Duration connect_timeout, reply_timeout;
  };

  // `tls` may be null with TlsPolicy::kOff.
  Conversation(io::Reactor* reactor, io::TlsClientContext* tls, const Relay* relay,
               const ShownText* shown, const io::Endpoint& peer, const Options& options);
  ~Conversation() override = default;

  void Start();

  // --- Where it stands ---
  bool connected() const { return connected_; }
  bool ready() const {
    return client_.ready() && !ended_ && !closing_ && !sending_;
  }  // opened, nothing refused
  bool ended() const { return ended_; }
  bool heard_anything() const { return heard_anything_; }
  // Connected, and not one byte has come of the greeting.
  bool WaitsForGreeting() const;
  absl::Duration SinceStep() const;  // how long the present step has taken
  // Steps since the last call, in order; without what made it end.
  std::vector<Step> TakeSteps();

  // --- What it found ---
  const io::Endpoint& peer() const { return peer_; }
  absl::Duration connect_time() const { return connect_time_; }
  absl::Duration round_trip() const { return round_trip_; }  // EHLO's, the least of them
  const engine::smtp::Capabilities& capabilities() const { return client_.capabilities(); }
  const std::optional<io::TlsInfo>& tls_info() const { return tls_info_; }
  // Null: TLS did not fail. With tls_info(): after the handshake, in which TLS 1.3 has no place for
  // a server to refuse a client's certificate.
  const io::TlsError* tls_error() const;
  bool authenticated() const { return client_.authenticated(); }
  bool token_renewal_may_help() const { return client_.token_renewal_may_help(); }
  uint64_t credentials_version() const { return credentials_ ? credentials_->version : 0; }
  // For ended(): what was waited for ("auth") and since when, how it ended.
  std::string_view last_step() const { return step_; }
  absl::Duration last_step_took() const { return ended_after_; }
  const ConnectFailure& connect_failure() const { return connect_failure_; }
  ConversationEnd End() const;

  // --- What to do; REQUIRES: ready(), and what was asked before is over ---
  void Say(std::string line);  // one command, with CRLF
  const HeardReply* reply() const { return reply_ && !sending_ ? &*reply_ : nullptr; }
  void Deliver(std::string_view from, std::string_view to, bool smtputf8, std::string content);
  struct HeardVerdict {
    engine::smtp::VerdictKind kind = engine::smtp::VerdictKind::kRetry;
    engine::smtp::CommandKind command = engine::smtp::CommandKind::kContent;
    HeardReply reply;
  };
  const std::optional<HeardVerdict>& verdict() const { return verdict_; }
  bool idle() const { return !own_command_ && client_.idle(); }  // nothing is unanswered
  void Quit();                                                   // REQUIRES: idle()
  // Ends it without a word; ended() follows.
  void Abort();
  // The whole check's time is over: as if the reply that is due had not come in time.
  void Expire();

 private:
  // io::ChannelHandler
  void OnConnected() override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override;
  void OnPeerClosed() override;
  void OnClosed(const io::CloseInfo& info) override;
  void OnTlsReady(const io::TlsInfo& info) override;
  // engine::smtp::ClientObserver
  void OnVerdict(const engine::smtp::Verdict& verdict) override;
  void OnTransactionEnd(uint64_t tag) override { (void)tag; }
  void OnOpeningReply(engine::smtp::CommandKind command,
                      const engine::smtp::ReplyView& reply) override;
  // io::Timer
  void OnTimer() override;

  void Pump();
  void StartTls();
  void SendOutput();
  void NoteCommand(std::string_view output);
  void SetReplyTimer();
  void Close(std::string_view note);
  void BeginStep(std::string_view name);
  void EndStep(std::string detail, bool ok = true);
  void NoteReplies();
  void NoteReply(engine::smtp::CommandKind command, const HeardReply& reply);
  void NoteHello();
  void TakeOwnReply(std::span<const char> bytes);
  HeardReply Heard(const engine::smtp::ReplyView& reply) const;
  std::string WhyEnded(const io::CloseInfo& info) const;

  io::Reactor* const reactor_;
  io::TlsClientContext* const tls_;
  const Relay* const relay_;
  const ShownText* const shown_;
  const io::Endpoint peer_;
  const Options options_;
  const engine::smtp::ClientOptions client_options_;
  const std::shared_ptr<const CredentialKeeper::Snapshot> credentials_;  // null: no AUTH
  std::string content_;  // of the message: outlives client_
  iovec content_piece_{};
  engine::smtp::Client client_;
  io::Channel channel_;

  bool connected_ = false, ended_ = false, closing_ = false, sending_ = false;
  bool handshaking_ = false, heard_anything_ = false;
  std::string_view step_ = "connect";  // what is waited for
  io::MonoTime step_began_;
  absl::Duration connect_time_, ended_after_;
  absl::Duration round_trip_ = absl::InfiniteDuration();
  std::vector<Step> steps_;
  struct OpeningReply {
    engine::smtp::CommandKind command;
    HeardReply reply;
  };
  std::vector<OpeningReply> opening_;  // heard in this OnData
  engine::smtp::CommandKind stage_ = engine::smtp::CommandKind::kGreeting;
  std::optional<io::TlsInfo> tls_info_;
  ConnectFailure connect_failure_;
  std::string close_note_, end_words_;

  bool own_command_ = false;  // Say(): the reply that is due is not the client's
  bool own_sending_ = false;
  std::string own_line_;
  engine::smtp::ReplyParser own_parser_;
  std::optional<HeardReply> reply_;
  std::optional<HeardVerdict> verdict_;
  engine::smtp::CloseReason own_end_ = engine::smtp::CloseReason::kNone;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_CONVERSATION_H_
