// LimitTable: owns every named limit, and finds those that apply to a lane when the lane is made.
//
// Quotas and warm-ups are counted in files of `quota_dir`, one each, named after the key; without
// the folder they live in memory.
//
// Threading: any thread; a mutex, as nothing here happens per message. Lifetime: outlives the sets,
// leases and pointers it gave; limits are never removed. Errors: InvalidArgument for an impossible
// limit; what a quota's file says (FailedPrecondition, DataLoss, ResourceExhausted); all name the
// limit.
#ifndef VOLLEY_PIPELINE_THROTTLE_LIMIT_TABLE_H_
#define VOLLEY_PIPELINE_THROTTLE_LIMIT_TABLE_H_

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipeline/throttle/limit.h"
#include "pipeline/throttle/limit_set.h"

namespace volley::pipeline {

// A plan and what it is for.
struct KeyedWarmUp {
  LimitKey key;
  WarmUp plan;
};
// That of just this key; null: there is none.
const WarmUp* WarmUpOf(const std::vector<KeyedWarmUp>& plans, const LimitKey& key);
// Whether it is a lane's own, and is made with the lane. `sources`: lanes have some. Where the
// kernel chooses the address, a provider has one lane.
inline bool IsOfOneLane(const LimitKey& key, bool sources) {
  return !key.provider.empty() && key.source.empty() != sources;
}

class LimitTable {
 public:
  struct Options {
    std::string quota_dir;             // exists; "": quotas end with the process
    RoomListener* listener = nullptr;  // told when waiting may have an end; outlives the table
  };
  explicit LimitTable(Options options) : options_(std::move(options)) {}

  // The limit of this key, made if there is none; one that is there stays as it is. `plan` is
  // obeyed on top of the rest. `now` places what its quotas counted before.
  absl::StatusOr<Limit*> FindOrAdd(const LimitKey& key, const LimitSpec& spec,
                                   const ClockReading& now,
                                   std::optional<WarmUp> plan = std::nullopt);
  Limit* Find(const LimitKey& key);  // null: there is none

  // Every limit that applies to `lane`, which has all parts filled in that it knows. `campaigns`:
  // those that send through it, by flow; none: the lane's own is the only one.
  // ResourceExhausted: more than one set can hold.
  absl::StatusOr<LimitSet> SetFor(const LimitKey& lane,
                                  std::span<const std::string> campaigns = {});

  // Lets the warm-ups follow the calendar. Call it again at the time it returns (InfiniteFuture:
  // never) and after the wall clock was set; it says OnRoom if more is allowed.
  absl::Time FollowPlans(absl::Time now);
  // All quota files, for the machine that loses its power: the first error.
  absl::Status Sync();

  // What a person should know of quotas that were opened, once.
  std::vector<std::string> TakeNotes();
  std::vector<const Limit*> limits() const;  // in the order they were made

 private:
  absl::Status OpenQuotas(Limit* limit, const ClockReading& now);
  absl::StatusOr<std::unique_ptr<Quota>> OpenQuota(const LimitKey& key, std::string_view suffix,
                                                   const RateSpec& spec, const ClockReading& now,
                                                   std::unique_ptr<QuotaFile>* file);
  // A limit of a set, and whose jobs it counts.
  struct Member {
    size_t number = 0;  // in limits_
    Limit* limit = nullptr;
    uint32_t flow = LimitSet::kEveryFlow;
  };
  void FindAll(LimitKey lane, uint32_t flow, std::vector<Member>* members) const;
  static bool AddCounters(const std::vector<Member>& members, LimitSet* set);

  const Options options_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Limit>> limits_;
  absl::flat_hash_map<LimitKey, size_t> by_key_;  // place in limits_
  std::vector<std::string> notes_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_LIMIT_TABLE_H_
