// SinkSession: one connection of a sink: bytes between the reactor and the server machine, replies
// held back by the latency, the message kept where it was asked for.
//
// States of a connection: open -> ending (the machine is closed, its last replies go out) ->
// lingering (our end is shut, the peer's bytes are read and thrown away, so that the kernel does
// not turn our last words into a reset) -> closed. The object is used again for the next
// connection: its buffers stay. One thread, the reactor's.
#ifndef VOLLEY_PIPELINE_SINK_SINK_SESSION_H_
#define VOLLEY_PIPELINE_SINK_SINK_SESSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/server.h"
#include "io/reactor/reactor.h"
#include "io/tls/channel.h"
#include "pipeline/sink/delay_line.h"
#include "pipeline/sink/journal.h"
#include "pipeline/sink/maildir.h"
#include "pipeline/sink/sink.h"

namespace volley::pipeline {

// Replies that may leave: those of one connection, up to a place in its stream of replies.
struct SinkFlight {
  uint32_t session = 0;
  uint32_t generation = 0;  // of the connection; an older one is over
  uint64_t output_end = 0;
};

class SinkSession;

// What all sessions of a sink share. LIFETIME: outlives them.
class SinkShared {
 public:
  SinkShared(io::Reactor* reactor_in, SinkOptions options_in);
  virtual ~SinkShared() = default;
  virtual void OnSessionClosed(SinkSession* session) = 0;
  virtual void OnMessage() = 0;  // counters.messages has grown; called from inside a session
  void Notice(const std::string& text, bool* told);

  io::Reactor& reactor;
  const SinkOptions options;
  SinkCounters counters;
  std::unique_ptr<Maildir> maildir;           // nullptr: not asked for
  std::unique_ptr<EnvelopeJournal> journal;   // nullptr: not asked for
  std::unique_ptr<io::TlsServerContext> tls;  // nullptr: in clear
  bool no_new_mail = false;                   // stopping: MAIL is refused
  bool say_goodbye = false;                   // stopping: who has no transaction open is told to go
  DelayLine<SinkFlight> replies;
  DelayLine<SinkFlight> greetings;
  bool storage_told = false;

 protected:
  virtual void Release(const SinkFlight& flight) = 0;
};

class SinkSession : private io::ChannelHandler, private engine::smtp::ServerHandler {
 public:
  SinkSession(SinkShared* shared, uint32_t index);

  // A new connection; what the reactor tells of it goes to the handler returned. REQUIRES: the last
  // one is closed.
  io::StreamHandler* Open(io::StreamId stream, const io::Endpoint& peer);
  // Replies up to there may leave. Ignored for an older connection.
  void Release(const SinkFlight& flight);
  // The sink stops: says 421 if no transaction is open; one that is may end first.
  void Dismiss();
  void Close();
  uint32_t index() const { return index_; }
  bool open() const { return open_; }

 private:
  // Idle time while open; the limit for ending and lingering after that.
  class Deadline : public io::Timer {
   public:
    explicit Deadline(SinkSession* session) : session_(*session) {}

   private:
    void OnTimer() override { session_.OnDeadline(); }
    SinkSession& session_;
  };

  // io::ChannelHandler
  void OnTlsReady(const io::TlsInfo& info) override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override;
  void OnPeerClosed() override;
  void OnClosed(const io::CloseInfo& info) override;

  // engine::smtp::ServerHandler
  engine::smtp::ServerReply OnHello(std::string_view helo) override;
  engine::smtp::ServerReply OnMail(std::string_view reverse_path,
                                   const engine::smtp::MailParameters& parameters) override;
  engine::smtp::ServerReply OnRcpt(std::string_view forward_path) override;
  void OnContent(std::span<const char> bytes) override;
  engine::smtp::ServerReply OnContentEnd(uint32_t recipient) override;
  void OnReset() override;

  void OnDeadline();
  void End(uint16_t code, engine::smtp::EnhancedCode enhanced, std::string_view why);
  void Schedule(DelayLine<SinkFlight>* line);
  void SendReplies();
  void Finish();
  void Linger();
  bool StartMessage();
  bool StoreMessage();
  bool Check(const absl::Status& status);
  void ForgetMessage();

  SinkShared& shared_;
  const uint32_t index_;
  uint32_t generation_ = 0;
  io::Channel channel_;
  engine::smtp::Server server_;
  Deadline deadline_;
  std::string peer_, helo_;  // for the journal only

  bool open_ = false;
  bool handshaking_ = false;  // TLS is not there yet
  bool sending_ = false;
  bool ending_ = false;  // the last deadline is set
  bool lingering_ = false;
  bool peer_closed_ = false;
  uint64_t scheduled_ = 0;  // replies up to here have a time to leave
  uint64_t released_ = 0;   // replies up to here may leave now
  uint32_t errors_seen_ = 0;

  // The open transaction.
  std::string mail_from_;  // for the journal only, as the next one
  std::vector<std::string> rcpt_to_;
  uint32_t recipients_ = 0;
  uint64_t content_bytes_ = 0;
  MaildirMessage message_;
  bool store_failed_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SINK_SINK_SESSION_H_
