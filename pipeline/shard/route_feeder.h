// RouteFeeder: puts those of one campaign who are to be tried into queues, one for each lane of the
// RouteTable, and feeds each queue to the shards as far as the lane takes: one that is slow,
// limited or down holds nobody else up.
//
//   Feeder -> Sort(): domain -> RouteTable -> queue of the lane -> Push(): shards
//
// A queue is a chain through the list's indexes: 12 bytes a recipient, however many lanes there
// are. While a domain's servers are being looked up its recipients wait in a queue of its own; one
// that takes no mail (RFC 7505, NXDOMAIN) or cannot be looked up is settled here.
//
// Each lane has a credit: so many jobs may be with a shard and not yet taken by a session. News of
// what was taken makes room for more. When a lane's servers cannot be reached, all that wait for
// it are deferred, and it rests before it is tried again.
//
// Threading: the coordinator's thread. Lifetime: what is passed in outlives it. Errors: DataLoss:
// the list is damaged; as RouteTable.
#ifndef VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_
#define VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/route/route.h"
#include "pipeline/settle/ledger.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/settle/settler.h"
#include "pipeline/shard/feeder.h"
#include "pipeline/shard/route_table.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline {

// One lane, for people.
struct RouteStatus {
  std::string name, provider;
  uint64_t waiting = 0, with_shards = 0;
  bool down = false;
  std::string why;       // its servers were not reached, in their words
  uint32_t adapted = 0;  // its number with the Adapter
};

class RouteFeeder {
 public:
  // `settler`: the coordinator's own.
  RouteFeeder(uint8_t flow, const RecipientFile* list, const Ledger* ledger, Feeder* feeder,
              RouteTable* table, Settler* settler);

  // No more is sorted or pushed: the rest stays where it is.
  void Stop() { stopped_ = true; }
  // Jobs that have left the Feeder and are neither with a shard nor settled.
  uint64_t waiting() const { return waiting_; }
  uint64_t waiting(uint32_t lane) const {
    return lane < lanes_.size() ? lanes_[lane].queue.count : 0;
  }
  // Jobs handed to shards or settled here.
  uint64_t handed_out() const { return handed_out_; }
  std::vector<RouteStatus> Status() const;

  // --- for the table ---
  // Sorts and pushes a slice of what there is. False: nothing more can be done now.
  absl::StatusOr<bool> Step(UnixSeconds now);
  void OnAnswer(std::string_view domain);
  void OnTaken(uint32_t lane, size_t shard, uint32_t jobs);
  void OnRestOver(uint32_t lane) { List(lane); }
  // Everybody who waits for it gets this.
  void SettleWaiting(uint32_t lane, const TryEnd& end);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // In index order of arrival, through next_.
  struct Queue {
    uint32_t head = kNone, tail = kNone, count = 0;
  };
  struct LaneQueue {
    Queue queue;
    std::vector<uint32_t> with_shard;  // jobs that no session has taken yet
    size_t turn = 0;                   // the shard that is next
    bool listed = false;
  };

  absl::StatusOr<bool> Sort(UnixSeconds now);
  absl::Status Place(const Job& job);
  void ToRoute(const std::shared_ptr<const Route>& route, Queue* queue);
  void Apply(const RouteAnswer& answer, const Queue& queue);
  LaneQueue& QueueOf(uint32_t lane);
  bool Push();
  // Returns whether any job went.
  bool PushLane(uint32_t id, bool* ring_full);
  size_t PushTo(LaneQueue* lane, uint32_t id, size_t shard, bool* ring_full);
  void List(uint32_t lane);

  void Append(Queue* queue, uint32_t index);
  void Join(Queue* queue, const Queue& more);
  uint32_t TakeFirst(Queue* queue);
  Job JobOf(uint32_t index, uint32_t lane) const;
  void SettleAll(Queue* queue, const TryEnd& end);

  const uint8_t flow_;
  const RecipientFile* const list_;
  const Ledger* const ledger_;
  Feeder* const feeder_;
  RouteTable* const table_;
  Settler* const settler_;

  std::vector<uint32_t> next_;                      // by index: who is behind him in his queue
  std::vector<uint64_t> offsets_;                   // by index: where his record is
  absl::flat_hash_map<std::string, Queue> asking_;  // by domain
  std::vector<LaneQueue> lanes_;
  std::deque<uint32_t> listed_;  // lanes that may take more
  uint64_t waiting_ = 0, handed_out_ = 0;
  bool stopped_ = false;
  absl::Status status_;
  RecipientRecord record_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SHARD_ROUTE_FEEDER_H_
