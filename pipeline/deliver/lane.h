// Lane: the sessions of one shard to one relay, or to the mail servers of one route.
//
// It opens sessions while there is work (one at first, the rest when that one is ready), gives each
// session its next job, gives back jobs whose session failed them through no fault of the
// recipient, and holds back when the peer does not take connections or credentials:
//
//   not ready at all     nothing is tried again: OnLaneFailed
//   refused connections  those that are open go on; asked again after a growing wait
//   refused credentials  the secret is read again or the token renewed; one session tries what is
//                        new. What is not new is tried only where it has been good before, four
//                        times at growing intervals, as a server may err; then OnLaneGaveUp
//
// Threading: the shard's thread. Lifetime: outlives its sessions; the reactor, press, job source
// and settler outlive the lane. Errors: what a peer does is an outcome or a LaneEvents call.
#ifndef VOLLEY_PIPELINE_DELIVER_LANE_H_
#define VOLLEY_PIPELINE_DELIVER_LANE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/policy/provider.h"
#include "engine/sasl/scram.h"
#include "engine/smtp/client.h"
#include "io/reactor/reactor.h"
#include "io/tls/tls_context.h"
#include "io/tls/tls_info.h"
#include "pipeline/compose/copy.h"
#include "pipeline/deliver/fair_turn.h"
#include "pipeline/deliver/limits.h"
#include "pipeline/deliver/press.h"
#include "pipeline/route/relay.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/retry.h"
#include "pipeline/settle/settler.h"
#include "pipeline/throttle/limit_set.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

class Session;
struct SessionEnd;

// Where a lane's jobs come from. Every job taken is either given back or settled.
class JobSource {
 public:
  virtual ~JobSource() = default;
  virtual bool TakeJob(uint32_t flow, Job* job) = 0;  // false: none right now
  virtual void GiveBack(const Job& job) = 0;
  virtual void OnSettled(Outcome outcome) = 0;
  virtual FlowSet flows_waiting() const = 0;  // which have jobs
  virtual size_t jobs_waiting() const = 0;    // of all flows
  virtual bool exhausted() const = 0;         // none now, and none will come but by GiveBack
  virtual bool all_settled() const = 0;       // exhausted, and none is in flight in any lane
};

class LaneEvents {
 public:
  virtual ~LaneEvents() = default;
  // The first session is ready: the peer takes mail from us.
  virtual void OnLaneReady() = 0;
  // No session has ever been ready, and every address of the peer was tried. `why` is for people.
  virtual void OnLaneFailed(std::string why) = 0;
  // The lane was ready once and is of no use any more: it takes no jobs from now on.
  virtual void OnLaneGaveUp(std::string why) = 0;
  virtual void OnLaneUsable(bool usable) = 0;  // usable() has changed
  virtual void OnSessionsOpen(uint32_t open) = 0;
  // Something a person watching should know (connections refused for now, backing off).
  virtual void OnLaneNotice(std::string notice) = 0;
  // Lanes that have no connection wait for a place: this one opens no second one.
  virtual bool others_wait() const { return false; }
  // It waits for a permit, and why; null: no more.
  virtual void OnLaneParked(const ThrottleAnswer* answer) = 0;
  // No session is open and there is no more work, or Drain() has finished.
  virtual void OnLaneDone() = 0;
};

// A campaign whose jobs a lane sends.
struct LaneFlow {
  std::string campaign;  // for limits
  FlowShare share;
};

struct LaneOptions {
  Relay relay;           // resolved
  uint32_t id = 0;       // in notes of what became of a try
  std::string provider;  // who replies, for the rules of replies; empty: not known
  const engine::policy::Provider* policy = nullptr;  // whose replies close sessions; null: nobody's
  std::optional<RetrySchedule> retry;                // the provider's; none: the run's
  io::Endpoint source;  // address to connect from; empty: the kernel chooses
  uint32_t connections_max = 1;
  uint32_t messages_per_connection = 0;  // 0: no limit
  absl::Duration connect_timeout = absl::Seconds(30);
  // Another shard's lane to this relay is ready: what fails here is tried again.
  bool proven = false;
  // Limits that apply to what this lane sends, by `limit_key` and its flows; null: none does.
  LimitTable* limits = nullptr;
  LimitKey limit_key;
  std::vector<LaneFlow> flows{1};
};

// What a lane's connections were like, for the summary.
struct LaneStats {
  uint64_t delivered = 0;
  uint64_t sessions = 0;           // that became ready
  uint64_t handshakes = 0;         // of TLS
  uint64_t resumed = 0;            // of these, by a ticket
  std::optional<io::TlsInfo> tls;  // of the newest TLS session
  std::optional<engine::sasl::Mechanism> auth;
};

// Permits: a lane whose limits grant none is parked until the time they name; one campaign's own
// limit parks its jobs only. The lane opens a further session only when a permit is there and no
// session that could use it. Where connections are
// limited each session holds a place; who gets none waits for OnRoom, and a session that others
// wait for gives its place up when it is idle or, if the lane has more, after kYieldAfter messages.
class Lane : private io::Timer {
 public:
  Lane(io::Reactor* reactor, Press* press, JobSource* source, Settler* settler, LaneEvents* events,
       LaneOptions options);
  ~Lane() override;

  // Opens the first session, also without work: to see whether the peer can be reached.
  void Start();
  // Work has come, or the source is exhausted.
  void OnJobs();
  // A limit that may have held it back allows more.
  void OnRoom();
  bool waits_for_room() const { return waits_for_room_ || parked_ != 0; }
  // Takes no more jobs; what is in flight is finished, then OnLaneDone.
  void Drain();

  // Mail goes out or could: sessions are ready, or can be opened.
  bool usable() const { return usable_; }
  const Relay& relay() const { return options_.relay; }
  // Of a lane that has failed or given up: settles a job it cannot send.
  void DeferUnreachable(const Job& job, std::string_view why);
  const LaneStats& stats() const { return stats_; }

 private:
  friend class Session;
  enum class Hold : uint8_t { kNone, kBackOff, kCredentials };

  // --- for sessions ---
  bool TakeJob(Job* job, Permit* permit);
  void ReturnPermit(Permit* permit) { limits_.Return(permit); }
  bool no_more_jobs() const { return draining_ || finished_ || source_->exhausted(); }
  bool takes_no_jobs() const { return draining_ || finished_; }
  // A try that says nothing about the recipient. Deferred when it happens too often.
  void GiveBack(const Job& job, engine::smtp::CommandKind command,
                const engine::smtp::ReplyView& reply);
  // Whether a rule of the provider says that this session takes no more messages.
  bool ClosesSession(engine::smtp::CommandKind command, const engine::smtp::ReplyView& reply) const;
  // To who adapts the limits; it is nobody's outcome.
  void TellRefusal(engine::smtp::CommandKind command, const engine::smtp::ReplyView& reply);
  // `took`: from composing to the reply.
  void Settle(const Job& job, Outcome outcome, engine::smtp::CommandKind command,
              const engine::smtp::ReplyView& reply, absl::Duration took = absl::ZeroDuration());
  void Begin(const Job& job) { settler_->Begin(job); }
  std::unique_ptr<Copy> TakeCopy();
  void ReturnCopy(std::unique_ptr<Copy> copy);
  io::TlsClientContext* TlsContext();
  void OnSessionTls(const io::TlsInfo& info);
  void OnSessionReady(const engine::smtp::Client& client);
  void OnSessionIdle(Session* session);
  // The peer wants a log-in or TLS first (530): no other message will fare better.
  void OnSessionRefused(std::string_view reply, bool wants_auth);
  // The session's stream has ended and its jobs are settled or given back.
  void OnSessionEnded(Session* session, const SessionEnd& end);

  void OnTimer() override;
  void Park(FlowSet flows, const ThrottleAnswer& answer);
  void Unpark(io::MonoTime now);  // those whose time has come
  void WaitForRoom(const ThrottleAnswer& answer);
  void OpenSessions();
  bool OpenOne();  // false: the limits have no place
  const io::Endpoint& NextEndpoint();
  void SetOpen(uint32_t open);
  void PumpIdle();
  void CloseUnready();
  void OnNeverReady(const SessionEnd& end);
  void GiveUpTls(const std::string& why);
  void BackOff(const std::string& why);
  void HoldForCredentials(const SessionEnd& end);
  void PollCredentials();
  void ProbeEndedOtherwise(const SessionEnd& end);
  void EndHold();
  void Fail(std::string why);
  void GiveUp(const std::string& why);
  void SetUsable();
  void FinishIfDone();
  uint32_t ready() const { return open_ - connecting_; }
  std::string Notice(std::string_view what) const;
  const RetrySchedule* retry() const { return options_.retry ? &*options_.retry : nullptr; }

  class ParkTimer final : public io::Timer {
   public:
    explicit ParkTimer(Lane* lane) : lane_(lane) {}
    void OnTimer() override { lane_->Unpark(lane_->reactor_->Now()); }

   private:
    Lane* const lane_;
  };

  io::Reactor* const reactor_;
  Press* const press_;
  JobSource* const source_;
  Settler* const settler_;
  LaneEvents* const events_;
  const LaneOptions options_;
  engine::sasl::ScramKeyCache scram_keys_;
  engine::smtp::ClientOptions client_options_;         // tls becomes kOff when GiveUpTls()
  std::unique_ptr<io::TlsClientContext> tls_context_;  // null: no TLS yet
  LaneStats stats_;
  LimitSet limits_;
  FairTurn turn_;
  ParkTimer park_timer_{this};
  FlowSet parked_ = 0;
  std::vector<io::MonoTime> parked_until_;  // by flow
  bool waits_for_room_ = false;
  engine::smtp::ReplyCode refused_with_;  // of the last connection; 0: the peer said nothing

  std::vector<std::unique_ptr<Session>> sessions_;  // all ever made; reused
  std::vector<Session*> free_, idle_;
  std::vector<std::unique_ptr<Copy>> copies_;  // not in use

  uint32_t open_ = 0;        // sessions with a stream
  uint32_t connecting_ = 0;  // of these, not ready yet
  uint32_t connecting_now_ = kConnectingStart;
  uint32_t connections_now_;   // falls when the peer refuses more, rises again with time
  Addresses::List addresses_;  // as of the last connection
  size_t next_endpoint_ = 0;
  size_t failures_in_row_ = 0;
  io::MonoTime failing_since_ = io::MonoTime::Infinite();
  Hold hold_ = Hold::kNone;
  uint64_t refused_version_ = 0;  // of the credentials, while kCredentials
  bool tried_new_ = false;        // since the first refusal, with other credentials
  bool probing_ = false;          // a session tries them again although they were refused
  size_t probes_ = 0;             // of these, refused again
  io::MonoTime next_probe_;
  std::string refusal_;  // what the server said
  bool ever_ready_ = false, draining_ = false, done_ = false, usable_ = false;
  bool finished_ = false;  // failed or given up
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_LANE_H_
