// Shard: one thread's worth of delivering: a reactor, lanes, and the ring their jobs come through.
//
// Threading: Attach() and everything behind it in the reactor's thread. Push, NoMoreJobs and
//   RequestDrain from one other thread (the coordinator). state() and the counters from any.
// Lifetime: the reactor outlives the attached shard's last callback; the shard outlives the
// reactor's
//   run.
#ifndef VOLLEY_PIPELINE_SHARD_SHARD_H_
#define VOLLEY_PIPELINE_SHARD_SHARD_H_

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "io/base/spsc_ring.h"
#include "io/reactor/reactor.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/deliver/press.h"
#include "pipeline/deliver/relay_pool.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/shard/route_lanes.h"
#include "pipeline/shard/wake_event.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

// One of the campaigns that are sent.
struct ShardFlow {
  FlowMail mail;
  const SettleRules* rules = nullptr;
};

class Shard : private JobFeed, private RelayPoolEvents, private RouteLanesEvents {
 public:
  enum class State : uint8_t {
    kStarting,  // the first session is not ready yet
    kReady,
    kFailed,  // it never became ready: failure() says why
    kDone,    // all work is done, every session closed
  };

  // `flows`: by number, as in the lanes' options. `coordinator` is signalled when a ring runs low,
  // when there are notes to take, and at every change of state.
  Shard(std::vector<ShardFlow> flows, std::vector<LaneOptions> lanes, WakeEvent* coordinator);
  // The same for mail that goes straight to the recipients' servers, each job by its route. It is
  // ready at once.
  Shard(std::vector<ShardFlow> flows, RoutePlans* plans, WakeEvent* coordinator);
  ~Shard() override;

  // Makes the lanes on `reactor` and opens their first sessions. The reactor is stopped when all is
  // done.
  void Attach(io::Reactor* reactor);
  void Detach();  // after the reactor's run, in its thread, before the reactor goes

  // --- coordinator ---
  size_t Push(std::span<const Job> jobs);  // all of one flow; as many as fit
  void NoMoreJobs();
  void RequestDrain();          // take no more, finish what is in flight
  void SetHeld(FlowSet flows);  // of these take no more for now
  bool TakeRouteNews(RouteNews* news);

  // --- any thread ---
  // Limits have room for those who wait for a place; `all`: or allow more in another way.
  void OnRoom(bool all);
  void OnWanted();  // connections that do nothing are to be given up
  State state() const { return state_.load(std::memory_order_acquire); }
  const std::string& failure() const { return failure_; }  // REQUIRES: state() is kFailed
  // It was ready, but has no relay left: it puts off what it is fed.
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  uint32_t sessions_open() const { return sessions_open_.load(std::memory_order_relaxed); }
  // The limit that holds a lane of it back just now, in words; empty: none.
  std::string held_by() const;
  Settler& settler() { return settler_; }
  const Settler& settler() const { return settler_; }
  std::vector<std::string> TakeNotices();
  // Of each lane. REQUIRES: after Detach(), seen by joining its thread.
  const std::vector<LaneStats>& lane_stats() const { return lane_stats_; }

 private:
  static constexpr size_t kRing = 8192;  // 60 ms of work at the fastest, 128 KiB
  // Jobs moved out of the ring at one time, and how far ahead copies can be signed: a quarter of a
  // second of RSA.
  static constexpr size_t kBatch = 1024;

  static constexpr size_t kNews = 16384;
  static constexpr uint8_t kRoom = 1, kRoomForAll = 2, kWanted = 4;

  // RouteLanesEvents
  bool OnRouteNews(const RouteNews& news) override;
  void OnRoutesDone() override { OnPoolDone(); }
  // JobFeed
  bool TakeJob(uint32_t flow, Job* job) override;
  FlowSet flows_waiting() const override;
  size_t jobs_waiting() const override;
  FlowSet held() const override { return held_.load(std::memory_order_acquire); }
  bool exhausted() const override;
  // RelayPoolEvents
  void OnPoolReady() override;
  void OnPoolFailed(std::string why) override;
  void OnPoolLost() override;
  void OnSessionsOpen(uint32_t open) override;
  void OnNotice(std::string notice) override;
  void OnParked(const ThrottleAnswer* answer) override;
  void OnPoolDone() override;

  // The jobs of one flow on their way here.
  struct Inbox {
    bool empty() const { return next == end && ring.size_approx() == 0; }
    size_t size() const { return end - next + ring.size_approx(); }
    io::SpscRing<Job> ring{kRing};
    std::array<Job, kBatch> batch;
    size_t next = 0, end = 0;
    std::atomic<bool> low_told{false};  // the coordinator knows that the ring is low
  };

  Shard(std::vector<ShardFlow> flows, std::vector<LaneOptions> lanes, RoutePlans* plans,
        WakeEvent* coordinator);
  void OnWake();
  void SetState(State state);
  void SetWakeable(io::Reactor* reactor);
  void WakeReactor();
  bool Refill(Inbox* inbox);
  FlowSet FlowsWithJobs() const;
  const Job* PeekJob(size_t n);

  void OnRouteWake();

  const std::vector<ShardFlow> flows_;
  const std::vector<LaneOptions> lanes_;  // empty: by routes
  RoutePlans* const plans_ = nullptr;
  WakeEvent* const coordinator_;
  Settler settler_;
  std::unique_ptr<Press> press_;
  std::unique_ptr<RelayPool> pool_;  // or
  std::unique_ptr<RouteLanes> routes_;
  io::SpscRing<RouteNews> news_{kNews};
  std::atomic<bool> news_told_{false};  // the coordinator knows that there are some
  std::atomic<uint8_t> room_{0};
  std::vector<LaneStats> lane_stats_;
  io::Reactor* reactor_ = nullptr;
  // Keeps the reactor from going while another thread wakes it; taken once a wake-up, not a job.
  std::mutex wakeable_mutex_;
  io::Reactor* wakeable_ = nullptr;  // null: not attached (yet, or any more)

  std::vector<std::unique_ptr<Inbox>> inboxes_;  // by flow

  // "Wake me when you push." Both sides use read-modify-write on it, so that either the shard sees
  // the push or the coordinator sees the flag.
  mutable std::atomic<bool> hungry_{true};
  std::atomic<bool> no_more_{false};
  std::atomic<bool> drain_{false};
  std::atomic<bool> lost_{false};
  std::atomic<FlowSet> held_{0};
  std::atomic<const Limit*> parked_by_{nullptr};
  std::atomic<LimitKind> parked_kind_{};
  std::atomic<uint32_t> sessions_open_{0};
  std::atomic<State> state_{State::kStarting};
  std::string failure_;  // written before state_ becomes kFailed

  std::mutex notices_mutex_;  // rare words for people, not on any hot path
  std::vector<std::string> notices_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_SHARD_H_
