// Schedule: when a campaign may send: from a time on, until a time, and at which hours of which
// days.
//
//   [schedule]
//   start = "2026-12-01 09:00"      # of time_zone; or with an offset: 2026-12-01T09:00:00+01:00
//   not_after = "2026-12-03 18:00"  # what is left then is not sent
//   window = "08:00-20:00"          # over midnight, too: "22:00-06:00"
//   days = "mon-fri"                # or "mon,wed,fri"; of a window over midnight the day it begins
//   time_zone = "Europe/Berlin"     # default: that of this machine
//
// Hours are civil time: a window from 08:00 has an hour less or more on the days when the clocks
// change. A time that a change leaves out is the moment of the change.
//
// Threading: values and pure functions. Errors: InvalidArgument that quotes the value and says what
// is allowed.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_SCHEDULE_H_
#define VOLLEY_PIPELINE_CAMPAIGN_SCHEDULE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::pipeline {

// As a user writes it; empty: not given.
struct ScheduleDefinition {
  std::string start = {}, not_after = {}, window = {}, days = {}, time_zone = {};

  bool operator==(const ScheduleDefinition&) const = default;
};

class Schedule {
 public:
  Schedule() = default;  // always
  static absl::StatusOr<Schedule> Parse(const ScheduleDefinition& definition);

  enum class State : uint8_t { kClosed, kOpen, kOver };
  struct Now {
    State state = State::kOpen;
    absl::Time until = absl::InfiniteFuture();  // the state's next change
  };
  Now At(absl::Time now) const;

  absl::Time start() const { return start_; }  // InfinitePast: none
  absl::Time not_after() const { return not_after_; }
  absl::TimeZone zone() const { return zone_; }

 private:
  struct Window {
    int begin = 0, end = 24 * 60;  // minutes of the day; end over 24 h: of the next day
  };
  bool IsSendingDay(absl::CivilDay day) const;
  absl::Time At(absl::CivilDay day, int minute) const;
  Now InWindow(absl::Time now) const;

  absl::Time start_ = absl::InfinitePast(), not_after_ = absl::InfiniteFuture();
  std::optional<Window> window_;
  std::array<bool, 7> days_{true, true, true, true, true, true, true};  // from Monday
  bool all_days_ = true;
  absl::TimeZone zone_ = absl::LocalTimeZone();
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_SCHEDULE_H_
