// What somebody allows us: the numbers of a limit as they are written in a provider pack, a
// campaign or a flag, and the words for them.
//
//   500/min   10/s   1/day   5000/24h   20/250ms
//
// Threading: values. Errors: InvalidArgument that quotes what was given and says what is allowed;
// the caller puts the key's name before it.
#ifndef VOLLEY_PIPELINE_THROTTLE_LIMIT_SPEC_H_
#define VOLLEY_PIPELINE_THROTTLE_LIMIT_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::pipeline {

// `count` in any span of `per`. For a quota the same, over longer spans.
struct RateSpec {
  uint64_t count = 0;
  absl::Duration per = absl::Seconds(1);

  bool operator==(const RateSpec&) const = default;
};

// A rate is paced (Gcra); 100 ns apart at the fastest. What is counted over days is a quota.
inline constexpr uint64_t kRatePerSecondMax = 10'000'000;
// As good as none, for who is paced only when a server asks for it.
inline constexpr RateSpec kUnpaced{kRatePerSecondMax, absl::Seconds(1)};
inline constexpr absl::Duration kRatePerMin = absl::Milliseconds(1);
inline constexpr absl::Duration kRatePerMax = absl::Hours(24);
// Half of the count: as a burst of B and the pace together must stay within the count, the pace is
// count - B + 1, and would be 1 of 500/min with a burst of 500.
constexpr uint64_t BurstMax(const RateSpec& rate) { return rate.count < 2 ? 1 : rate.count / 2; }
// A quota is a count over a rolling window, in buckets of 1/288 of it.
inline constexpr uint64_t kQuotaCountMax = (uint64_t{1} << 28) - 1;  // of Quota's slot
inline constexpr absl::Duration kQuotaPerMin = absl::Hours(1);
inline constexpr absl::Duration kQuotaPerMax = absl::Hours(24 * 31);
inline constexpr uint32_t kConnectionsMax = 1'000'000;

// COUNT/UNIT or COUNT/NUMBER+UNIT; units: ms, s (sec, second), min (m, minute), h (hour), d (day).
// Says nothing about what is possible as a rate or a quota: CheckRate, CheckQuota.
absl::StatusOr<RateSpec> ParseRate(std::string_view text);
std::string FormatRate(const RateSpec& rate);  // ParseRate(FormatRate(r)) == r

absl::Status CheckRate(const RateSpec& rate);
absl::Status CheckQuota(const RateSpec& quota);

// Everything one limit can say; what is absent is not limited.
struct LimitSpec {
  std::optional<uint32_t> connections = {};                 // at one time
  std::optional<uint32_t> messages_per_connection = {};     // then QUIT
  std::optional<uint32_t> recipients_per_transaction = {};  // RCPTs of one MAIL
  std::optional<RateSpec> rate = {};                        // in any span of `per`, see Gcra
  // Permits that may go at once after a pause. Absent: one, and a few more where they make up for a
  // timer that fires late (kLateness). Each one more takes one off the pace: see Gcra.
  std::optional<uint32_t> burst = {};
  std::optional<RateSpec> quota = {};  // in any span of `per`, kept over restarts
};

// The first number that cannot be meant, by the name of its key: 0 of anything, a burst without a
// rate or over its count, a rate or quota out of bounds.
absl::Status CheckLimit(const LimitSpec& spec);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_THROTTLE_LIMIT_SPEC_H_
