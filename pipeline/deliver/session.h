// Session: one SMTP connection: drives the client machine over a channel (plain or TLS) and keeps
// its transaction window full.
//
// After each event Pump() does, in this order: start TLS when the client waits for it, take jobs
// while the client wants transactions (compose, Add), send what the client has to say, close when
// it is closed, set the timer to the reply due.
//
// Threading: the shard's thread. Lifetime: owned and reused by its Lane; a message's memory is kept
// until its transaction has ended *and* no send is in flight (the kernel may still read it).
#ifndef VOLLEY_PIPELINE_DELIVER_SESSION_H_
#define VOLLEY_PIPELINE_DELIVER_SESSION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/sasl/reply.h"
#include "engine/smtp/client.h"
#include "io/reactor/reactor.h"
#include "io/tls/channel.h"
#include "pipeline/compose/copy.h"
#include "pipeline/credentials/credentials.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/deliver/limits.h"
#include "pipeline/throttle/limit_set.h"

namespace volley::pipeline {

// Why a session ended, for its lane.
struct SessionEnd {
  bool was_ready = false;
  bool tls_failed = false;  // the handshake; no command but EHLO and STARTTLS has been sent
  engine::sasl::AuthFailure auth_failure = engine::sasl::AuthFailure::kNone;
  uint64_t credentials_version = 0;  // that it tried to log in with
  engine::smtp::ReplyCode code;      // with which the peer would not have it; 0: it said nothing
  bool place_was_wanted = false;     // another lane waited for its place
  std::string why;                   // for people
};

class Session final : private io::ChannelHandler,
                      private engine::smtp::ClientObserver,
                      private io::Timer {
 public:
  explicit Session(Lane* lane);
  ~Session() override;

  // `place`: for as long as it is open. REQUIRES: not open.
  void Open(const io::Endpoint& peer, ConnectionLease place);
  // Jobs may have come: an idle session looks for one.
  void Pump();
  // For an early end: a session that has not got as far as EHLO has nothing to finish.
  void CloseUnlessReady();

 private:
  struct Slot {
    std::unique_ptr<Copy> copy;  // null: the slot is free
    Job job;
    Permit permit;  // taken until its content begins
    io::MonoTime composed;
    bool ended = false;  // has its verdict; memory waits for the send
  };

  // io::ChannelHandler
  void OnConnected() override;
  void OnTlsReady(const io::TlsInfo& info) override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override;
  void OnPeerClosed() override;
  void OnClosed(const io::CloseInfo& info) override;
  // engine::smtp::ClientObserver
  void OnVerdict(const engine::smtp::Verdict& verdict) override;
  void OnContentBegins(uint64_t tag) override;
  void OnTransactionEnd(uint64_t tag) override;
  // io::Timer
  void OnTimer() override;

  void StartTls();
  void FillWindow();
  bool AddNextJob(uint32_t slot);
  void Add(uint32_t slot, const RecipientRecord& record);
  void GiveBack(Slot& slot, const engine::smtp::Verdict& verdict);
  bool MessageLimitReached() const;
  void SendOutput();
  void SetReplyTimer();
  void Close(std::string_view note);
  void FreeEndedSlots();
  uint32_t FindFreeSlot() const;  // kTransactionSlots: none
  void NoteTlsFailure(SessionEnd* end);
  std::string WhyEnded(const io::CloseInfo& info) const;

  Lane* const lane_;
  engine::smtp::Client client_;
  io::Channel channel_;
  std::shared_ptr<const CredentialKeeper::Snapshot> credentials_;  // null: no AUTH
  ConnectionLease place_;
  io::MonoTime idle_since_;
  std::array<Slot, kTransactionSlots> slots_;
  std::string close_note_;  // what we knew when we closed; else what the transport says
  bool closes_ = false;     // the peer takes no more messages on this connection
  uint32_t added_ = 0;      // transactions on this connection
  bool open_ = false, sending_ = false, closing_ = false, was_ready_ = false;
  bool handshaking_ = false;  // from ConnectTls or StartTls to OnTlsReady
  bool idle_listed_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_SESSION_H_
