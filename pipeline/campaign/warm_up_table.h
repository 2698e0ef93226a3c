// [[warm_up]] of a campaign file: plans for new addresses, anchored to a date.
//
//   [[warm_up]]
//   source = "192.0.2.1"              # without it: all addresses together
//   provider = "google"               # without it: all providers together
//   start = "2026-12-01"              # day 1
//   days = [50, 100, 200, 400]        # messages on days 1, 2, 3, ...; or { 1 = 50, 3 = 200 }
//
// Threading: functions without state. Errors: InvalidArgument; file, line and value.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_WARM_UP_TABLE_H_
#define VOLLEY_PIPELINE_CAMPAIGN_WARM_UP_TABLE_H_

#include <toml++/toml.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/campaign/toml_reader.h"
#include "pipeline/throttle/limit_table.h"

namespace volley::pipeline {

struct WarmUpDefinition {
  std::string source, provider;
  std::string start;  // "2026-12-01"
  std::vector<WarmUp::Step> days;
  bool operator==(const WarmUpDefinition&) const = default;
};

absl::Status ReadWarmUps(const Place& place, const toml::node& node,
                         std::vector<WarmUpDefinition>* warm_ups);
toml::array FormatWarmUps(const std::vector<WarmUpDefinition>& warm_ups);
// Days begin at midnight of `zone`. Two of the same source and provider are an error.
absl::StatusOr<std::vector<KeyedWarmUp>> MakeWarmUps(const std::vector<WarmUpDefinition>& warm_ups,
                                                     absl::TimeZone zone);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_WARM_UP_TABLE_H_
