// PlanRoutes: which lanes the domains of a campaign make when mail goes without a relay: by what
// DNS says, as when it is sent, or guessed: a domain that the provider pack knows is that
// provider's, any other a route of its own.
//
// Threading: one thread; blocks on DNS, for at most `ask_for`. Errors: none; what is not known is
// guessed, and counted.
#ifndef VOLLEY_PIPELINE_PLAN_ROUTES_H_
#define VOLLEY_PIPELINE_PLAN_ROUTES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/policy/provider_pack.h"
#include "io/resolver/resolver.h"
#include "pipeline/plan/left.h"
#include "pipeline/route/mx_router.h"

namespace volley::pipeline {

struct PlanRoute {
  std::string name;                                    // as Route::name
  const engine::policy::Provider* provider = nullptr;  // never null
  std::vector<DomainCount> by_source;

  uint64_t total() const;
};

struct PlanRoutes {
  std::vector<PlanRoute> routes;  // most messages first
  uint64_t domains = 0, guessed_domains = 0;
  uint64_t no_mail = 0;  // recipients whose domains take none: they bounce at once
};

struct PlanRoutesOptions {
  std::shared_ptr<const engine::policy::ProviderPack> pack;
  MxOptions mx;
  io::Resolver* resolver = nullptr;  // null: DNS is not asked
  // The biggest domains are asked about, no more of them and for no longer.
  size_t asks_max = 2000;
  absl::Duration ask_for = absl::Seconds(20);
  std::function<void(uint64_t done, uint64_t total)> on_progress;  // now and then
};
PlanRoutes FindPlanRoutes(const LeftToSend& left, const PlanRoutesOptions& options);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_PLAN_ROUTES_H_
