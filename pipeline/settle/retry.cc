#include "pipeline/settle/retry.h"

#include <algorithm>

namespace volley::pipeline {
namespace {

// 0 to 1, the same for the same try of the same recipient (splitmix64).
double Chance(uint32_t index, uint8_t attempts) {
  uint64_t x = (uint64_t{index} << 8 | attempts) + 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

absl::Duration Wait(const RetrySchedule& schedule, const DeferredTry& deferred) {
  if (deferred.hint) return std::clamp(*deferred.hint, kHintMin, kHintMax);
  const int doublings = std::clamp(deferred.attempts - 1, 0, 30);
  return std::min(schedule.longest, schedule.first * (int64_t{1} << doublings));
}

}  // namespace

std::optional<UnixSeconds> NextTry(const RetrySchedule& schedule, const DeferredTry& deferred,
                                   UnixSeconds now) {
  const absl::Duration wait =
      Wait(schedule, deferred) * (1 + Chance(deferred.index, deferred.attempts) / 4);
  const int64_t due =
      now + std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))));
  const int64_t last = deferred.first + absl::ToInt64Seconds(schedule.give_up_after);
  if (due <= last) return static_cast<UnixSeconds>(due);
  // One last try at the very end, rather than giving up long before it.
  if (now < last) return static_cast<UnixSeconds>(last);
  return std::nullopt;
}

}  // namespace volley::pipeline
