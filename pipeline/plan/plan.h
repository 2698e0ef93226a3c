// Plan: when a campaign, or the rest of one, will be done, provider by provider, and what holds it:
// its lanes and limits made as the runner makes them, and run through the Simulation.
//
// What a plan cannot know are refusals: retries, greylisting, bounces, a provider that slows us
// down. It is the fastest that the limits allow.
//
// Threading: one thread. Errors: as LimitTable::FindOrAdd (impossible limits, a damaged quota).
#ifndef VOLLEY_PIPELINE_PLAN_PLAN_H_
#define VOLLEY_PIPELINE_PLAN_PLAN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/policy/provider_pack.h"
#include "pipeline/campaign/schedule.h"
#include "pipeline/plan/left.h"
#include "pipeline/plan/round_trips.h"
#include "pipeline/plan/routes.h"
#include "pipeline/throttle/limit.h"
#include "pipeline/throttle/limit_spec.h"
#include "pipeline/throttle/limit_table.h"
#include "pipeline/throttle/quota.h"

namespace volley::pipeline {

enum class HeldBy : uint8_t {
  kReplies,      // nothing else: the time servers take to answer, on the connections there are
  kConnections,  // a limit of connections, as no more can be opened
  kRate,
  kQuota,
  kWarmUp,
  kSchedule,  // its hours
};
std::string_view HeldByName(HeldBy held);  // "warm_up"

// One provider (or route, where nobody knows him), one relay, or all together.
struct PlanPart {
  std::string name;
  uint64_t messages = 0, left = 0;  // left: cannot be sent (not_after, or never)
  uint64_t routes = 1;
  absl::Time first = absl::InfiniteFuture();  // message
  absl::Time end = absl::InfinitePast();      // the last reply; InfinitePast: nothing is sent
  uint32_t connections = 0;                   // at one time, the most; of all, a sum of these
  HeldBy held = HeldBy::kReplies;
  std::string why;  // "rate 10/s", "connections 10, a reply takes 50 ms"

  double per_second(absl::Time from) const;
};

struct Plan {
  PlanPart all;
  std::vector<PlanPart> parts;  // the last to end first
  // When its hours let it begin. InfiniteFuture: never.
  absl::Time begins = absl::InfiniteFuture();
  std::vector<std::string> notes;  // of quotas, for people
  absl::Duration duration() const;
};

struct PlanOptions {
  std::string campaign;  // id, for limits
  LimitSpec limits;      // of the whole campaign: rate and quota
  uint32_t connections = 1;
  uint32_t messages_per_connection = 0;
  Schedule schedule;
  ClockReading start;
  std::string quota_dir;  // a copy: what is planned is counted there
  RoundTrips round_trips;
  std::vector<KeyedWarmUp> warm_ups;
  std::function<void(uint64_t sent, uint64_t total)> on_progress;  // now and then
};

struct PlanRelay {
  std::string name;
  uint32_t weight = 1;  // 0: stands by, and gets nothing
  std::optional<RateSpec> rate = {}, quota = {};
  int opening_trips = 3;
};
absl::StatusOr<Plan> PlanByRelays(const PlanOptions& options, std::span<const PlanRelay> relays,
                                  const LeftToSend& left);

struct PlanDirect {
  std::vector<std::string> sources = {""};  // names
  const engine::policy::Provider* fallback = nullptr;
  engine::smtp::TlsPolicy tls = engine::smtp::TlsPolicy::kOpportunistic;  // kOff: none is offered
};
absl::StatusOr<Plan> PlanByRoutes(const PlanOptions& options, const PlanDirect& direct,
                                  const PlanRoutes& routes);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PLAN_PLAN_H_
