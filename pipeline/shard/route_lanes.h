// RouteLanes: the lanes of one shard when mail goes straight to the recipients' servers: a queue, a
// lane and its sessions for each route that has work here. A lane is made with a route's first job
// and goes when there is nothing more for it: a campaign meets very many routes and is busy with
// few of them at a time.
//
// How much a route may have waiting here is the coordinator's business (RouteFeeder): it is told
// how many jobs of a route were taken each time half of them are gone.
//
// Threading: the shard's thread; RoutePlans from it too. Lifetime: everything passed in outlives
// it. Errors: none; servers that cannot be reached are an outcome of each job, and news.
#ifndef VOLLEY_PIPELINE_SHARD_ROUTE_LANES_H_
#define VOLLEY_PIPELINE_SHARD_ROUTE_LANES_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "io/reactor/reactor.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/deliver/press.h"
#include "pipeline/deliver/relay_pool.h"
#include "pipeline/settle/settler.h"

namespace volley::pipeline {

// Any thread.
class RoutePlans {
 public:
  virtual ~RoutePlans() = default;
  virtual LaneOptions PlanFor(uint32_t lane) = 0;
};

struct RouteNews {
  uint32_t lane : 24 = 0;
  uint32_t flow : 8 = 0;
  uint32_t taken : 31 = 0;  // jobs of the flow out of its queue since the last news
  uint32_t lost : 1 = 0;  // its servers cannot be reached: what was here, of any flow, is deferred
};
static_assert(sizeof(RouteNews) == 8);

class RouteLanesEvents {
 public:
  virtual ~RouteLanesEvents() = default;
  virtual bool OnRouteNews(const RouteNews& news) = 0;  // false: no room just now, say it again
  virtual void OnSessionsOpen(uint32_t open) = 0;
  virtual void OnNotice(std::string notice) = 0;
  virtual void OnParked(const ThrottleAnswer* answer) = 0;
  virtual void OnRoutesDone() = 0;  // after NoMoreJobs or Drain: every session is closed
};

class RouteLanes : private io::Timer {
 public:
  RouteLanes(io::Reactor* reactor, Press* press, Settler* settler, RoutePlans* plans,
             RouteLanesEvents* events);
  ~RouteLanes() override;

  void Add(std::span<const Job> jobs);
  void SetHeld(FlowSet flows);  // of these no more is sent for now
  void NoMoreJobs();
  void Drain();
  // A place of a limited connection has become free. `all`: limits have changed in other ways too.
  void OnRoom(bool all);
  // Somebody waits for a place: sessions without work leave theirs.
  void GiveUpIdle();

  // Of all lanes that were.
  const LaneStats& stats() const { return stats_; }

 private:
  class Route;
  void OnTimer() override;
  void Look(Route* route);  // from the loop, not from inside a callback, whether it is to go
  void Remove(uint32_t lane);
  void FinishIfDone();

  io::Reactor* const reactor_;
  Press* const press_;
  Settler* const settler_;
  RoutePlans* const plans_;
  RouteLanesEvents* const events_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<Route>> routes_;
  std::vector<uint32_t> to_look_at_;
  std::deque<uint32_t> waiting_;  // for a place, in their order
  uint32_t open_ = 0;
  FlowSet held_ = 0;
  bool timer_set_ = false, no_more_ = false, draining_ = false, done_ = false;
  LaneStats stats_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_ROUTE_LANES_H_
