// Lane: the queue and the session pool of one (source, provider) pair in one shard; for now there
// is one lane a shard, to the campaign's relay.
//
// It opens sessions while there is work (one at first, the rest when that one is ready), gives each
// session its next job, takes back jobs whose session failed them through no fault of the
// recipient, and backs off when the peer does not take connections.
//
// Threading: the shard's thread. Lifetime: outlives its sessions; the reactor, job source, settler
// and campaign outlive the lane. Errors: what a peer does is an outcome or a LaneEvents call.
#ifndef VOLLEY_PIPELINE_DELIVER_LANE_H_
#define VOLLEY_PIPELINE_DELIVER_LANE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/message/composer.h"
#include "engine/smtp/client.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/deliver/limits.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

class Session;

// Where jobs come from. (Permits of the throttle will be asked for here, before a job is taken.)
class JobSource {
 public:
  virtual ~JobSource() = default;
  virtual bool TakeJob(Job* job) = 0;  // false: none right now
  virtual size_t jobs_waiting() const = 0;
  virtual bool exhausted() const = 0;  // none now and none will come
};

class LaneEvents {
 public:
  virtual ~LaneEvents() = default;
  // The first session is ready: the peer takes mail from us.
  virtual void OnLaneReady() = 0;
  // No session has ever been ready, and every address of the peer was tried. `why` is for people.
  virtual void OnLaneFailed(std::string why) = 0;
  virtual void OnSessionsOpen(uint32_t open) = 0;
  // Something a person watching should know (connections refused for now, backing off).
  virtual void OnLaneNotice(std::string notice) = 0;
  // No session is open and there is no more work, or Drain() has finished.
  virtual void OnLaneDone() = 0;
};

struct LaneOptions {
  std::vector<io::Endpoint> endpoints;  // in order of preference; not empty
  std::string peer_name;                // for messages: the relay's URL
  engine::smtp::ClientOptions client;
  uint32_t connections_max = 1;
  uint32_t messages_per_connection = 0;  // 0: no limit
  absl::Duration connect_timeout = absl::Seconds(30);
};

class Lane : private io::Timer {
 public:
  Lane(io::Reactor* reactor, const Campaign* campaign, JobSource* source, Settler* settler,
       LaneEvents* events, LaneOptions options);
  ~Lane() override;

  // Opens the first session, also without work: to see whether the peer can be reached.
  void Start();
  // Work has come, or the source is exhausted.
  void OnJobs();
  // Takes no more jobs; what is in flight is finished, then OnLaneDone.
  void Drain();

 private:
  friend class Session;

  // --- for sessions ---
  bool TakeJob(Job* job);
  bool no_more_jobs() const;
  // A try that says nothing about the recipient. Deferred when it happens too often.
  void GiveBack(const Job& job, engine::smtp::CommandKind command,
                const engine::smtp::ReplyView& reply);
  std::unique_ptr<engine::message::ComposedMessage> TakeMessage();
  void ReturnMessage(std::unique_ptr<engine::message::ComposedMessage> message);
  void OnSessionReady();
  void OnSessionIdle(Session* session);
  // The session's stream has ended and its jobs are settled or given back.
  void OnSessionEnded(Session* session, bool was_ready, std::string why);

  void OnTimer() override;  // the back-off is over
  void OpenSessions();
  void OpenOne();
  void SetOpen(uint32_t open);
  void PumpIdle();
  size_t work_waiting() const { return given_back_.size() + source_->jobs_waiting(); }
  void BackOff(const std::string& why);
  void GiveUp(const std::string& why);
  void FinishIfDone();

  io::Reactor* const reactor_;
  const Campaign* const campaign_;
  JobSource* const source_;
  Settler* const settler_;
  LaneEvents* const events_;
  const LaneOptions options_;

  std::vector<std::unique_ptr<Session>> sessions_;  // all ever made; reused
  std::vector<Session*> free_, idle_;
  std::vector<std::unique_ptr<engine::message::ComposedMessage>> messages_;  // not in use
  std::deque<Job> given_back_;  // at most what was in flight
  RecipientRecord record_;      // reused for every compose

  uint32_t open_ = 0;        // sessions with a stream
  uint32_t connecting_ = 0;  // of these, not ready yet
  uint32_t in_flight_ = 0;   // jobs taken, not settled and not given back
  uint32_t connecting_now_ = kConnectingStart;
  uint32_t connections_now_;  // falls when the peer refuses more, rises again with time
  size_t next_endpoint_ = 0;
  size_t failures_in_row_ = 0;
  io::MonoTime failing_since_ = io::MonoTime::Infinite();
  bool ever_ready_ = false, failed_ = false, draining_ = false, done_ = false;
  bool backing_off_ = false;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_LANE_H_
