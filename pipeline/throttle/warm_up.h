// WarmUp: a plan for a new source: how many messages a day a provider gets from it, from a date on.
//
// Days are civil days of the plan's time zone, so they have 23 or 25 hours where its clocks change;
// day 1 is the start date. A day the plan does not name has the number of the one before. The day
// after the last named one the plan is over and limits nothing.
//
// A plan is obeyed as a rolling quota of 24 h whose number follows the calendar (LimitTable): no 24
// hours ever hold more than the number of the day they end in. A count that begins anew at midnight
// would let two days' messages out within minutes of it.
//
// Threading: immutable. Errors: InvalidArgument names the day and what is wrong with it.
#ifndef VOLLEY_PIPELINE_THROTTLE_WARM_UP_H_
#define VOLLEY_PIPELINE_THROTTLE_WARM_UP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace volley::pipeline {

class WarmUp {
 public:
  struct Step {
    uint32_t day;       // 1: the start date
    uint64_t messages;  // on this day and those until the next step
    bool operator==(const Step&) const = default;
  };
  struct Allowance {
    // 0 before the start; nullopt: the plan is over.
    std::optional<uint64_t> messages;
    int64_t day = 0;                            // of the plan; below 1 before the start
    absl::Time until = absl::InfiniteFuture();  // when `messages` changes
  };
  static constexpr uint32_t kDaysMax = 366;

  // `steps`: days ascending from 1.
  static absl::StatusOr<WarmUp> Make(absl::CivilDay start, absl::TimeZone zone,
                                     std::vector<Step> steps);

  Allowance At(absl::Time now) const;

  bool operator==(const WarmUp& other) const;

 private:
  WarmUp(absl::CivilDay start, absl::TimeZone zone, std::vector<Step> steps)
      : start_(start), zone_(zone), steps_(std::move(steps)) {}
  absl::Time BeginOf(int64_t day) const;

  absl::CivilDay start_;
  absl::TimeZone zone_;
  std::vector<Step> steps_;  // not empty
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_WARM_UP_H_
