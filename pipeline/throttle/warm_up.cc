#include "pipeline/throttle/warm_up.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/throttle/limit_spec.h"

namespace volley::pipeline {
namespace {

absl::Status WrongDay(uint32_t day, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("warm-up, day {}: {}", day, what));
}

}  // namespace

absl::StatusOr<WarmUp> WarmUp::Make(absl::CivilDay start, absl::TimeZone zone,
                                    std::vector<Step> steps) {
  if (steps.empty()) return absl::InvalidArgumentError("warm-up: it has no days");
  if (steps[0].day != 1) return WrongDay(steps[0].day, "the first must be day 1");
  uint32_t before = 0;
  for (const Step& step : steps) {
    if (step.day <= before) return WrongDay(step.day, "days must ascend");
    if (step.day > kDaysMax) return WrongDay(step.day, fmt::format("at most {}", kDaysMax));
    if (step.messages < 1 || step.messages > kQuotaCountMax) {
      return WrongDay(step.day, fmt::format("{} messages: not possible, allowed is 1 to {}",
                                            step.messages, kQuotaCountMax));
    }
    before = step.day;
  }
  return WarmUp(start, zone, std::move(steps));
}

// Where clocks skip midnight, the day begins at the change; where they repeat it, at the first.
absl::Time WarmUp::BeginOf(int64_t day) const { return absl::FromCivil(start_ + (day - 1), zone_); }

WarmUp::Allowance WarmUp::At(absl::Time now) const {
  const int64_t day = absl::ToCivilDay(now, zone_) - start_ + 1;
  if (day < 1) return {.messages = 0, .day = day, .until = BeginOf(1)};
  if (day > steps_.back().day) return {.messages = std::nullopt, .day = day};
  const auto next = std::upper_bound(steps_.begin(), steps_.end(), day,
                                     [](int64_t d, const Step& step) { return d < step.day; });
  const int64_t changes = next == steps_.end() ? int64_t{steps_.back().day} + 1 : next->day;
  return {.messages = std::prev(next)->messages, .day = day, .until = BeginOf(changes)};
}

bool WarmUp::operator==(const WarmUp& other) const {
  return start_ == other.start_ && zone_ == other.zone_ &&
         std::equal(steps_.begin(), steps_.end(), other.steps_.begin(), other.steps_.end(),
                    [](const Step& a, const Step& b) {
                      return a.day == b.day && a.messages == b.messages;
                    });
}

}  // namespace volley::pipeline
