// Limit: one named limit: whom it is for, what it allows, and the words that count.
//
// A key says which of campaign, source, provider and relay the limit is shared by; what it leaves
// empty is summed over. {provider: gmail.com} counts what all campaigns send to Gmail from all
// sources; {source, provider} is a lane's; {} is the whole process's.
//
// Threading: everything here from any thread; the counting without locks, the changes of numbers
// under a small one. Lifetime: owned by the LimitTable; outlives the sets that use it.
#ifndef VOLLEY_PIPELINE_THROTTLE_LIMIT_H_
#define VOLLEY_PIPELINE_THROTTLE_LIMIT_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "pipeline/throttle/gcra.h"
#include "pipeline/throttle/lease.h"
#include "pipeline/throttle/limit_spec.h"
#include "pipeline/throttle/quota.h"
#include "pipeline/throttle/quota_file.h"
#include "pipeline/throttle/warm_up.h"

namespace volley::pipeline {

struct LimitKey {
  std::string campaign = {}, source = {}, provider = {}, relay = {};

  bool operator==(const LimitKey&) const = default;
  // Whether this limit applies to what `lane` (all parts filled in that it has) does.
  bool AppliesTo(const LimitKey& lane) const;
  int parts() const;  // filled in

  template <typename H>
  friend H AbslHashValue(H h, const LimitKey& key) {
    return H::combine(std::move(h), key.campaign, key.source, key.provider, key.relay);
  }
};

// "provider gmail.com", "lane 192.0.2.1 -> gmail.com", "campaign news, relay ses", "everything".
std::string Describe(const LimitKey& key);

enum class LimitKind : uint8_t { kRate, kQuota, kWarmUp, kConnections, kSuspended };

class Limit {
 public:
  // What a Limit counts its quotas in; null members: in memory only.
  struct Files {
    std::unique_ptr<QuotaFile> quota, warm_up;
  };
  // REQUIRES: CheckLimit(spec).ok(); what is counted in files has been opened there (LimitTable).
  Limit(LimitKey key, const LimitSpec& spec, std::optional<WarmUp> plan, RoomListener* listener);
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  const LimitKey& key() const { return key_; }
  const LimitSpec& configured() const { return spec_; }

  Gcra* rate() { return rate_ ? &*rate_ : nullptr; }
  Quota* quota() { return quota_.get(); }
  Quota* warm_up() { return warm_up_.get(); }
  ConnectionLimit* connections() { return connections_ ? &*connections_ : nullptr; }

  // Adaptation, a rate reply, or by hand. REQUIRES: CheckRate(rate).ok(), and there is a rate.
  void SetRate(const RateSpec& rate);
  // REQUIRES: there are such limits. 0 connections: none is opened until it is raised.
  void SetConnections(uint32_t max);
  void SetQuota(uint64_t count);
  // No message is begun before `until`; a time that is past lifts it. REQUIRES: there is a
  // connection limit (its connections are what a suspension holds).
  void Suspend(io::MonoTime until);
  io::MonoTime suspended_until() const {
    return io::MonoTime::FromNanos(suspended_until_.load(std::memory_order_relaxed));
  }
  // The numbers of today. Returns when they change; InfiniteFuture without a plan.
  absl::Time FollowPlan(absl::Time now);

  // What is in force, for people: "rate 250/min (configured 500/min)", "quota 5000/24h".
  std::string Text(LimitKind kind) const;

 private:
  friend class LimitTable;

  void TellRoom() {
    if (listener_ != nullptr) listener_->OnRoom();
  }

  const LimitKey key_;
  const LimitSpec spec_;
  const std::optional<WarmUp> plan_;
  RoomListener* const listener_;
  std::optional<Gcra> rate_;
  std::optional<ConnectionLimit> connections_;
  Files files_;  // before what counts in them
  std::unique_ptr<Quota> quota_, warm_up_;

  std::atomic<int64_t> suspended_until_{0};  // of the monotonic clock
  mutable std::mutex mutex_;  // the rate in words; nobody who takes a permit looks at it
  std::optional<RateSpec> rate_now_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_LIMIT_H_
