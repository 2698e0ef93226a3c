// The values that a provider pack writes as text: counts per time, durations, host names.
//
//   500/min   10000/24h   1/day        90s   10min   1h30min   5d
//
// Threading: pure functions.
#ifndef VOLLEY_ENGINE_POLICY_VALUES_H_
#define VOLLEY_ENGINE_POLICY_VALUES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::engine::policy {

// `count` in any span of `per`.
struct CountPer {
  uint64_t count = 0;
  absl::Duration per = absl::Seconds(1);
  bool operator==(const CountPer&) const = default;
};

inline constexpr std::string_view kCountPerAllowed =
    "write COUNT/TIME, such as 10/s, 500/min, 10000/24h (units: ms, s, min, h, d)";
inline constexpr std::string_view kDurationAllowed =
    "write a number and ms, s, min, h or d, such as 90s, 10min, 1h30min";

// nullopt: not of that form. A count of 0 is of that form; a time of 0 is not.
std::optional<CountPer> ParseCountPer(std::string_view text);
std::string CountPerText(const CountPer& value);  // parses to the same
// Never negative; at most 366 days.
std::optional<absl::Duration> ParseDuration(std::string_view text);
std::string DurationText(absl::Duration value);

// A host name in the form in which names are compared: lower case, no dot at the end. Allocates
// nothing. Empty: there was none, it is too long (RFC 1035 §2.3.4), or not ASCII (A-labels are
// wanted).
class HostKey {
 public:
  static constexpr size_t kBytesMax = 253;
  explicit HostKey(std::string_view host);
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kBytesMax> bytes_;
  size_t size_ = 0;
};

// A name of a pack, canonical: A-labels in lower case without a dot at the end. Letters, digits,
// "-" and "_" in labels of 1 to 63. `wildcard`: one label, not the last, may be "*". The error is
// a few words.
absl::StatusOr<std::string> CanonicalName(std::string_view name, bool wildcard);

// Of providers, sources and rules: lower-case letters, digits, ".", "_" and "-", at most 64.
bool IsPackName(std::string_view name);
inline constexpr std::string_view kPackNameAllowed =
    "write lower-case letters, digits, \".\", \"_\" and \"-\", at most 64";

// "421" or "4xx" for codes of refusals; "4.7.28" or "x.7.x".
bool IsCodePattern(std::string_view pattern);
bool IsEnhancedPattern(std::string_view pattern);
bool CodeMatches(std::string_view pattern, uint16_t code);
bool EnhancedMatches(std::string_view pattern, std::string_view enhanced);

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_VALUES_H_
