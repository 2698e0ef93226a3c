// RouteTable: the lanes of a run without relays, one for each source of ours and each route (the
// servers that take mail for a domain), whichever campaigns send through them: their limits, how
// the shards' sessions are made, and which of them rest because their servers were not reached.
//
// Each campaign sorts its recipients into queues for these lanes and feeds them (RouteFeeder); the
// table tells all of them what shards and the name service answer.
//
// Threading: the coordinator's thread; PlanFor from any. Lifetime: what is passed in outlives it;
// it outlives its feeders. Errors: as LimitTable::FindOrAdd.
#ifndef VOLLEY_PIPELINE_SHARD_ROUTE_TABLE_H_
#define VOLLEY_PIPELINE_SHARD_ROUTE_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/policy/provider_pack.h"
#include "io/base/time.h"
#include "pipeline/adapt/adapter.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/route/direct.h"
#include "pipeline/route/route.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/shard/route_lanes.h"
#include "pipeline/shard/shard.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

class RouteFeeder;

// What is the same for all lanes of a run.
struct RouteRules {
  Relay direct;                    // TLS, EHLO name; its host and addresses are each route's
  std::vector<Source> sources;     // who is mailed from which is his for good (greylisting); empty:
                                   // the kernel chooses
  std::vector<LaneFlow> flows{1};  // the campaigns
  uint32_t connections = 1;        // of one lane, unless its provider allows fewer
  uint32_t messages_per_connection = 0;
  absl::Duration rest_first = absl::Minutes(5), rest_longest = absl::Hours(1);
  std::vector<KeyedWarmUp> warm_ups;
  bool own_retry = false;  // the run's retry schedule goes before the providers'
  const engine::policy::Provider* fallback = nullptr;  // "everybody else": each route for itself
  Adapter* adapter = nullptr;                          // null: limits stay as they are
  std::function<io::MonoTime()> clock = io::MonotonicNow;
};

class RouteTable final : public RoutePlans {
 public:
  RouteTable(RouteFinder* router, LimitTable* limits, RouteRules rules);
  ~RouteTable() override;
  void SetShards(std::vector<Shard*> shards);  // before the first Step; not empty
  void AddFeeder(RouteFeeder* feeder);         // by flow

  // Lets every campaign sort and push a slice of what there is. False: nothing more can be done
  // now.
  absl::StatusOr<bool> Step(UnixSeconds now);
  // Of any shard; not what was settled here.
  void Note(const OutcomeNote& note);

  LaneOptions PlanFor(uint32_t lane) override;

  // --- for feeders ---
  RouteAnswer Find(std::string_view domain) { return router_->Find(domain, rules_.clock()); }
  absl::StatusOr<uint32_t> LaneOf(const std::shared_ptr<const Route>& route, uint32_t source);
  bool rests(uint32_t lane) const { return lanes_[lane]->rests_until != io::MonoTime(); }
  size_t lanes() const { return lanes_.size(); }
  size_t sources() const { return rules_.sources.size(); }
  const std::vector<Shard*>& shards() const { return shards_; }
  // Jobs of one campaign, by one lane, that may be with a shard and not yet taken by a session.
  uint32_t credit() const;
  // When those rest no more that have work of this feeder; Infinite: there are none.
  io::MonoTime NextRestOver(const RouteFeeder& of) const;

  // --- for people ---
  std::string_view NameOf(uint32_t lane) const;
  std::string_view ProviderOf(uint32_t lane) const;
  uint32_t AdaptedOf(uint32_t lane) const { return lanes_[lane]->adapted; }
  std::string_view WhyItRests(uint32_t lane) const;  // in its servers' words; empty: it does not

 private:
  struct RouteLane {
    std::shared_ptr<const Route> route;
    const Source* source = nullptr;
    uint32_t adapted = 0;   // its number with the Adapter
    uint32_t failures = 0;  // in a row
    io::MonoTime rests_until;
    std::string why;  // what its servers said when they were last not reached
    engine::smtp::ReplyCode code;
  };

  absl::StatusOr<uint32_t> MakeLimits(const Route& route, const Source& source);
  std::string LimitName(const Route& route) const;
  void Adapt(const RouteLane& lane, const OutcomeNote& note);
  void TakeNews();
  void TakeAnswers();
  void DeferWaiting(uint32_t id);
  void Rest(uint32_t id);
  void EndRests();

  RouteFinder* const router_;
  LimitTable* const limits_;
  const RouteRules rules_;
  std::vector<Shard*> shards_;
  std::vector<RouteFeeder*> feeders_;  // by flow

  absl::flat_hash_map<std::pair<uint32_t, uint32_t>, uint32_t> lane_of_;  // by route and source
  mutable std::mutex lanes_mutex_;  // for PlanFor; taken once a lane
  std::vector<std::unique_ptr<RouteLane>> lanes_;
  std::vector<uint32_t> resting_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_ROUTE_TABLE_H_
