// RouteFeeder: puts those who are to be tried into queues, one for each lane (a source of ours and
// a route, the servers that take mail for their domains), and feeds each queue to the shards as far
// as the route takes: one that is slow, limited or down holds nobody else up.
//
//   Feeder -> Sort(): domain -> RouteFinder -> queue of the route -> Push(): shards
//
// A queue is a chain through the list's indexes: 12 bytes a recipient, however many routes there
// are. While a domain's servers are being looked up its recipients wait in a queue of its own; one
// that takes no mail (RFC 7505, NXDOMAIN) or cannot be looked up is settled here.
//
// Each route has a credit: so many jobs may be with a shard and not yet taken by a session. News of
// what was taken makes room for more. When a route's servers cannot be reached, all that wait for
// it are deferred, and it rests before it is tried again.
//
// Threading: the coordinator's thread; PlanFor from any. Lifetime: what is passed in outlives it.
// Errors: DataLoss: the list is damaged; as LimitTable::FindOrAdd.
#ifndef VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_
#define VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
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
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/shard/feeder.h"
#include "pipeline/shard/route_lanes.h"
#include "pipeline/shard/shard.h"
#include "pipeline/source/recipient_file.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

// What is the same for all lanes of a run.
struct RouteRules {
  Relay direct;                 // TLS, EHLO name; its host and addresses are each route's
  std::vector<Source> sources;  // who is mailed from which is his for good (greylisting); empty:
                                // the kernel chooses
  std::string campaign;         // for limits
  uint32_t connections = 1;     // of one lane, unless its provider allows fewer
  uint32_t messages_per_connection = 0;
  absl::Duration rest_first = absl::Minutes(5), rest_longest = absl::Hours(1);
  bool own_retry = false;  // the run's retry schedule goes before the providers'
  const engine::policy::Provider* fallback = nullptr;  // "everybody else": each route for itself
  Adapter* adapter = nullptr;                          // null: limits stay as they are
  std::function<io::MonoTime()> clock = io::MonotonicNow;
};

// One route, for people.
struct RouteStatus {
  std::string name, provider;
  uint64_t waiting = 0, with_shards = 0;
  bool down = false;
  std::string why;       // its servers were not reached, in their words
  uint32_t adapted = 0;  // its number with the Adapter
};

class RouteFeeder final : public RoutePlans {
 public:
  // `settler`: the coordinator's own.
  RouteFeeder(const RecipientFile* list, const Ledger* ledger, Feeder* feeder, RouteFinder* router,
              LimitTable* limits, Settler* settler, RouteRules rules);
  ~RouteFeeder() override;
  void SetShards(std::vector<Shard*> shards);  // before the first Step; not empty

  // Sorts and pushes a slice of what there is. False: nothing more can be done now.
  absl::StatusOr<bool> Step(UnixSeconds now);
  // Jobs that have left the Feeder and are neither with a shard nor settled.
  uint64_t waiting() const { return waiting_; }
  // Jobs handed to shards or settled here.
  uint64_t handed_out() const { return handed_out_; }
  // The next time at which a route that rests is tried again; Infinite: none rests with work.
  io::MonoTime next_rest_over() const;
  // Of any shard; not what was settled here.
  void Note(const OutcomeNote& note);
  std::string_view NameOf(uint32_t lane) const;
  std::vector<RouteStatus> Status() const;

  LaneOptions PlanFor(uint32_t lane) override;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // In index order of arrival, through next_.
  struct Queue {
    uint32_t head = kNone, tail = kNone, count = 0;
  };
  struct RouteLane;

  absl::StatusOr<bool> Sort(UnixSeconds now);
  absl::Status Place(const Job& job);
  void ToRoute(const std::shared_ptr<const Route>& route, Queue* queue);
  absl::StatusOr<uint32_t> LaneOf(const std::shared_ptr<const Route>& route, uint32_t source);
  absl::StatusOr<uint32_t> MakeLimits(const Route& route, const Source& source);
  void Adapt(const RouteLane& lane, const OutcomeNote& note);
  void TakeAnswers();
  void Apply(const RouteAnswer& answer, const Queue& queue);
  bool Push();
  // Returns whether any job went.
  bool PushLane(uint32_t id, bool* ring_full);
  size_t PushTo(RouteLane* lane, uint32_t id, size_t shard, bool* ring_full);
  void TakeNews();
  void DeferWaiting(uint32_t id);
  void Rest(uint32_t id);
  void EndRests();
  void List(uint32_t lane);
  uint32_t Credit() const;
  std::string LimitName(const Route& route) const;

  void Append(Queue* queue, uint32_t index);
  void Join(Queue* queue, const Queue& more);
  uint32_t TakeFirst(Queue* queue);
  Job JobOf(uint32_t index, uint32_t lane) const;
  void SettleAll(Queue* queue, const TryEnd& end);

  const RecipientFile* const list_;
  const Ledger* const ledger_;
  Feeder* const feeder_;
  RouteFinder* const router_;
  LimitTable* const limits_;
  Settler* const settler_;
  const RouteRules rules_;
  std::vector<Shard*> shards_;

  std::vector<uint32_t> next_;                      // by index: who is behind him in his queue
  std::vector<uint64_t> offsets_;                   // by index: where his record is
  absl::flat_hash_map<std::string, Queue> asking_;  // by domain
  absl::flat_hash_map<std::pair<uint32_t, uint32_t>, uint32_t> lane_of_;  // by route and source
  mutable std::mutex lanes_mutex_;  // for PlanFor; taken once a lane
  std::vector<std::unique_ptr<RouteLane>> lanes_;
  std::deque<uint32_t> listed_;  // lanes that may take more
  std::vector<uint32_t> resting_;
  uint64_t waiting_ = 0, handed_out_ = 0;
  absl::Status status_;
  RecipientRecord record_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_
