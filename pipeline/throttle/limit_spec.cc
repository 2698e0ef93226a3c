#include "pipeline/throttle/limit_spec.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace volley::pipeline {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanos;
};

constexpr int64_t kSecond = 1'000'000'000;
// The first name of a length is the one FormatRate writes; longest last.
constexpr std::array kUnits = {
    Unit{"ms", 1'000'000},        Unit{"s", kSecond},           Unit{"sec", kSecond},
    Unit{"second", kSecond},      Unit{"min", 60 * kSecond},    Unit{"m", 60 * kSecond},
    Unit{"minute", 60 * kSecond}, Unit{"h", 3600 * kSecond},    Unit{"hour", 3600 * kSecond},
    Unit{"d", 86400 * kSecond},   Unit{"day", 86400 * kSecond},
};
constexpr std::string_view kAllowed =
    "write COUNT/UNIT with a unit of ms, s, min, h or day, such as 10/s, 500/min, 5000/24h";
// Digits of a count or of a unit's number: none that is meant has more, and they cannot overflow.
constexpr size_t kDigitsMax = 12;

absl::Status Wrong(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("\"{}\": {}; {}", text, what, kAllowed));
}

std::optional<uint64_t> TakeNumber(std::string_view* text) {
  const size_t end = std::min(text->find_first_not_of("0123456789"), text->size());
  if (end == 0 || end > kDigitsMax) return std::nullopt;
  uint64_t number = 0;
  std::from_chars(text->data(), text->data() + end, number);
  text->remove_prefix(end);
  return number;
}

const Unit* FindUnit(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

// Shown to people, and made of what somebody wrote: no line of it may pass for one of ours.
std::string Printable(std::string_view text) {
  std::string shown(text.substr(0, 40));
  for (char& c : shown) {
    if (c < 0x20 || c > 0x7e || c == '"') c = '?';
  }
  return shown;
}

absl::Status Impossible(std::string_view key, std::string_view value, std::string_view allowed) {
  return absl::InvalidArgumentError(
      fmt::format("{} = {}: not possible, allowed is {}", key, value, allowed));
}

absl::Status CheckCount(std::string_view key, const std::optional<uint32_t>& count, uint32_t max) {
  if (!count || (*count >= 1 && *count <= max)) return absl::OkStatus();
  return Impossible(key, fmt::to_string(*count),
                    fmt::format("1 to {} (leave it out for no limit)", max));
}

}  // namespace

absl::StatusOr<RateSpec> ParseRate(std::string_view text) {
  const std::string shown = Printable(text);
  std::string_view rest = text;
  RateSpec rate;
  const std::optional<uint64_t> count = TakeNumber(&rest);
  if (!count) return Wrong(shown, "does not begin with a whole number");
  rate.count = *count;
  if (rest.empty() || rest.front() != '/') return Wrong(shown, "has no \"/\" after the number");
  rest.remove_prefix(1);
  uint64_t units = 1;
  if (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
    const std::optional<uint64_t> number = TakeNumber(&rest);
    if (!number) return Wrong(shown, "the span is too long");
    units = *number;
  }
  const Unit* unit = FindUnit(rest);
  if (unit == nullptr) {
    return Wrong(shown, fmt::format("\"{}\" is no unit of time", Printable(rest)));
  }
  if (units == 0) return Wrong(shown, "the span is 0");
  rate.per = absl::Nanoseconds(unit->nanos) * static_cast<int64_t>(units);
  return rate;
}

std::string FormatRate(const RateSpec& rate) {
  // Days are shown as hours: "5000/24h" says better than "5000/day" that the window rolls.
  for (const Unit& unit : {kUnits[7], kUnits[4], kUnits[1], kUnits[0]}) {
    const absl::Duration one = absl::Nanoseconds(unit.nanos);
    const int64_t units = rate.per / one;
    if (units < 1 || units * one != rate.per) continue;
    return units == 1 ? fmt::format("{}/{}", rate.count, unit.name)
                      : fmt::format("{}/{}{}", rate.count, units, unit.name);
  }
  return fmt::format("{}/{}", rate.count, absl::FormatDuration(rate.per));
}

absl::Status CheckRate(const RateSpec& rate) {
  const bool possible = rate.count >= 1 && rate.per >= kRatePerMin && rate.per <= kRatePerMax &&
                        absl::FDivDuration(rate.per, absl::Seconds(1)) * kRatePerSecondMax >=
                            static_cast<double>(rate.count);
  if (possible) return absl::OkStatus();
  return Impossible(
      "rate", FormatRate(rate),
      fmt::format("1/day to {}/s, over 1ms to 24h (longer: quota)", kRatePerSecondMax));
}

absl::Status CheckQuota(const RateSpec& quota) {
  if (quota.count >= 1 && quota.count <= kQuotaCountMax && quota.per >= kQuotaPerMin &&
      quota.per <= kQuotaPerMax) {
    return absl::OkStatus();
  }
  return Impossible("quota", FormatRate(quota),
                    fmt::format("1 to {} over 1h to 31 days (shorter: rate)", kQuotaCountMax));
}

absl::Status CheckLimit(const LimitSpec& spec) {
  absl::Status status = CheckCount("connections", spec.connections, kConnectionsMax);
  status.Update(CheckCount("messages_per_connection", spec.messages_per_connection, 1'000'000));
  status.Update(CheckCount("recipients_per_transaction", spec.recipients_per_transaction, 100'000));
  if (spec.rate) status.Update(CheckRate(*spec.rate));
  if (spec.quota) status.Update(CheckQuota(*spec.quota));
  if (!status.ok() || !spec.burst) return status;
  if (!spec.rate) return absl::InvalidArgumentError("burst: there is no rate that it belongs to");
  if (*spec.burst < 1 || *spec.burst > BurstMax(*spec.rate)) {
    return Impossible("burst", fmt::to_string(*spec.burst),
                      fmt::format("1 to {}, half of rate {}: what goes at once is missing in the "
                                  "pace, so that both stay within the rate",
                                  BurstMax(*spec.rate), FormatRate(*spec.rate)));
  }
  return absl::OkStatus();
}

}  // namespace volley::pipeline
