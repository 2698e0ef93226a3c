#include "tools/volley/args.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace volley::tools {

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  // absl knows no days.
  const bool days = text.ends_with('d');
  const std::string number(text.substr(0, text.size() - (days ? 1 : 0)));
  absl::Duration duration;
  if (!absl::ParseDuration(days ? number + "h" : number, &duration) ||
      duration < absl::ZeroDuration() || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is not a duration: write a number with its unit, like 20ms, 1.5s, 2m, 1h or 2d",
        text));
  }
  return days ? duration * 24 : duration;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  int shift = -1;
  if (unit.empty()) shift = 0;
  if (unit == "K" || unit == "k") shift = 10;
  if (unit == "M" || unit == "m") shift = 20;
  if (unit == "G" || unit == "g") shift = 30;
  if (error != std::errc() || shift < 0 || value > (UINT64_MAX >> 1 >> shift)) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not a size: write bytes, or a number with K, M or G, like 10M", text));
  }
  return value << shift;
}

absl::StatusOr<io::BackendChoice> ParseBackendChoice(std::string_view text) {
  if (text == "auto") return io::BackendChoice::kAuto;
  if (text == "uring") return io::BackendChoice::kUring;
  if (text == "epoll") return io::BackendChoice::kEpoll;
  return absl::InvalidArgumentError(
      fmt::format("--io {}: choose auto, uring or epoll (auto takes uring where it can)", text));
}

uint64_t RaiseFileLimit() {
  constexpr rlim_t kWanted = 1 << 20;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_max < kWanted) {
    // Only root may; fs.nr_open may be lower than what we want, so the old hard limit is the
    // fallback.
    const rlimit raised{kWanted, kWanted};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return kWanted;
  }
  const rlimit soft{std::max(limit.rlim_cur, std::min(limit.rlim_max, kWanted)), limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &soft) == 0) return soft.rlim_cur;
  return limit.rlim_cur;
}

}  // namespace volley::tools
