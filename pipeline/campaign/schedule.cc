#include "pipeline/campaign/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace volley::pipeline {
namespace {

constexpr int kDayMinutes = 24 * 60;
constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

absl::Status Bad(std::string_view key, std::string_view value, std::string_view allowed) {
  return absl::InvalidArgumentError(fmt::format("{} \"{}\": {}", key, value, allowed));
}

absl::StatusOr<absl::Time> ParseWhen(std::string_view key, const std::string& text,
                                     absl::TimeZone zone) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  for (const char* format : {"%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"}) {
    if (absl::ParseTime(format, text, zone, &time, &error)) return time;
  }
  return Bad(key, text, "write a time as 2026-12-01 09:00 or 2026-12-01T09:00:00+01:00");
}

// "08:30", 24:00 as an end; -1: it is none.
int ParseMinute(std::string_view text) {
  int hour = 0, minute = 0;
  const char* end = text.data() + text.size();
  const auto h = std::from_chars(text.data(), end, hour);
  if (h.ec != std::errc() || h.ptr == end || *h.ptr != ':' || end - h.ptr != 3) return -1;
  const auto m = std::from_chars(h.ptr + 1, end, minute);
  if (m.ec != std::errc() || m.ptr != end || hour < 0 || minute < 0 || minute > 59) return -1;
  const int of_day = hour * 60 + minute;
  return of_day <= kDayMinutes ? of_day : -1;
}

int DayNumber(std::string_view name) {
  const auto day = std::find(kDays.begin(), kDays.end(), name);
  return day == kDays.end() ? -1 : static_cast<int>(day - kDays.begin());
}

// "mon-fri,sun"
absl::StatusOr<std::array<bool, 7>> ParseDays(const std::string& text) {
  std::array<bool, 7> days{};
  const absl::Status bad =
      Bad("days", text, "write days as mon-fri or mon,wed,fri (mon tue wed thu fri sat sun)");
  for (const auto& part : absl::StrSplit(absl::AsciiStrToLower(text), ',')) {
    const std::vector<std::string> ends =
        absl::StrSplit(absl::StripAsciiWhitespace(part), absl::MaxSplits('-', 1));
    const int first = DayNumber(ends.front()), last = DayNumber(ends.back());
    if (first < 0 || last < 0) return bad;
    for (int day = first;; day = (day + 1) % 7) {
      days[static_cast<size_t>(day)] = true;
      if (day == last) break;
    }
  }
  return days;
}

}  // namespace

absl::StatusOr<Schedule> Schedule::Parse(const ScheduleDefinition& d) {
  Schedule s;
  if (!d.time_zone.empty() && !absl::LoadTimeZone(d.time_zone, &s.zone_)) {
    return Bad("time_zone", d.time_zone,
               "there is no such zone; write one as Europe/Berlin or UTC");
  }
  const auto when = [&s](std::string_view key, const std::string& text, absl::Time* to) {
    if (text.empty()) return absl::OkStatus();
    const auto time = ParseWhen(key, text, s.zone_);
    if (time.ok()) *to = *time;
    return time.status();
  };
  if (absl::Status status = when("start", d.start, &s.start_); !status.ok()) return status;
  if (absl::Status status = when("not_after", d.not_after, &s.not_after_); !status.ok()) {
    return status;
  }
  if (s.not_after_ <= s.start_) return Bad("not_after", d.not_after, "is not after start");
  if (!d.window.empty()) {
    const std::vector<std::string> ends = absl::StrSplit(d.window, absl::MaxSplits('-', 1));
    Window window{ParseMinute(ends.front()), ParseMinute(ends.back())};
    if (ends.size() != 2 || window.begin < 0 || window.end < 0 || window.begin == kDayMinutes ||
        window.begin == window.end) {
      return Bad("window", d.window, "write hours as 08:00-20:00");
    }
    if (window.end < window.begin) window.end += kDayMinutes;
    s.window_ = window;
  }
  if (!d.days.empty()) {
    const auto days = ParseDays(d.days);
    if (!days.ok()) return days.status();
    s.days_ = *days;
    s.all_days_ = std::count(days->begin(), days->end(), true) == 7;
    if (!s.window_) s.window_ = Window{};
  }
  return s;
}

bool Schedule::IsSendingDay(absl::CivilDay day) const {
  return days_[static_cast<size_t>(absl::GetWeekday(day))];
}

absl::Time Schedule::At(absl::CivilDay day, int minute) const {
  const absl::CivilMinute at = absl::CivilMinute(day) + minute;
  const auto info = zone_.At(absl::CivilSecond(at));
  // A time that the clocks skip is the moment of the change; of one that comes twice, the first.
  return info.kind == absl::TimeZone::TimeInfo::SKIPPED ? info.trans : info.pre;
}

// Looks at the window that began yesterday, too: it may go over midnight.
Schedule::Now Schedule::InWindow(absl::Time now) const {
  constexpr int kWeek = 8;
  const absl::CivilDay today = absl::ToCivilDay(now, zone_);
  absl::Time begins = absl::InfiniteFuture();
  absl::Time ends = absl::InfinitePast();
  for (int i = -1; i <= kWeek; ++i) {
    const absl::CivilDay day = today + i;
    if (!IsSendingDay(day)) continue;
    const absl::Time begin = At(day, window_->begin), end = At(day, window_->end);
    const bool goes_on = ends > now && begin <= ends;  // days that follow each other without a gap
    if ((begin <= now && now < end) || goes_on) {
      ends = std::max(ends, end);
    } else if (begin > now) {
      begins = std::min(begins, begin);
    }
  }
  if (ends > now) return {State::kOpen, ends};
  return {State::kClosed, begins};
}

Schedule::Now Schedule::At(absl::Time now) const {
  if (now >= not_after_) return {State::kOver, absl::InfiniteFuture()};
  if (now < start_) return {State::kClosed, start_};
  Now in_window{State::kOpen, absl::InfiniteFuture()};
  if (window_) in_window = InWindow(now);
  in_window.until = std::min(in_window.until, not_after_);
  return in_window;
}

}  // namespace volley::pipeline
