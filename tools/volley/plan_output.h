// What a plan says, for people and for scripts.
//
// Threading: functions without state. Names of domains are those of the list: canonical.
#ifndef VOLLEY_TOOLS_VOLLEY_PLAN_OUTPUT_H_
#define VOLLEY_TOOLS_VOLLEY_PLAN_OUTPUT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "pipeline/plan/plan.h"

namespace volley::tools {

struct PlanFacts {
  std::string campaign;  // its id
  bool direct = false;
  uint64_t settled = 0, suppressed = 0;  // left out of the plan
  uint64_t no_mail = 0;                  // their domains take none
  uint64_t guessed_domains = 0, domains = 0;
  absl::Duration reply;   // round trip, of all
  uint64_t measured = 0;  // deliveries it was measured from; 0: assumed
  absl::Time now;
  absl::Time not_after = absl::InfiniteFuture();
  absl::TimeZone zone = absl::LocalTimeZone();
};

void PrintPlan(const pipeline::Plan& plan, const PlanFacts& facts);
void PrintPlanJson(const pipeline::Plan& plan, const PlanFacts& facts);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_PLAN_OUTPUT_H_
