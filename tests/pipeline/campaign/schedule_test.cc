#include "pipeline/campaign/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using State = Schedule::State;

absl::Time T(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &error)) << text << error;
  return time;
}

Schedule Make(ScheduleDefinition d) {
  if (d.time_zone.empty()) d.time_zone = "Europe/Berlin";
  auto s = Schedule::Parse(d);
  EXPECT_TRUE(s.ok()) << s.status();
  return *s;
}

void Expect(const Schedule& s, const std::string& now, State state, const std::string& until) {
  const Schedule::Now got = s.At(T(now));
  EXPECT_EQ(got.state, state) << now;
  EXPECT_EQ(got.until, until.empty() ? absl::InfiniteFuture() : T(until))
      << now << ": " << absl::FormatTime(got.until);
}

TEST(Schedule, WithoutAnythingIsAlwaysOpen) {
  Expect(Schedule(), "2026-12-01T00:00:00Z", State::kOpen, "");
}

TEST(Schedule, WaitsForItsStartAndEndsAtItsEnd) {
  const Schedule s = Make({.start = "2026-12-01 09:00", .not_after = "2026-12-03T18:00:00+01:00"});
  Expect(s, "2026-12-01T07:59:59Z", State::kClosed, "2026-12-01T08:00:00Z");
  Expect(s, "2026-12-01T08:00:00Z", State::kOpen, "2026-12-03T17:00:00Z");
  Expect(s, "2026-12-03T17:00:00Z", State::kOver, "");
}

TEST(Schedule, KeepsToItsHours) {
  const Schedule s = Make({.window = "08:00-20:00"});
  Expect(s, "2026-12-01T06:59:59Z", State::kClosed, "2026-12-01T07:00:00Z");
  Expect(s, "2026-12-01T07:00:00Z", State::kOpen, "2026-12-01T19:00:00Z");
  Expect(s, "2026-12-01T19:00:00Z", State::kClosed, "2026-12-02T07:00:00Z");
}

TEST(Schedule, KeepsToItsDays) {
  const Schedule s = Make({.window = "08:00-20:00", .days = "Mon-Fri"});
  Expect(s, "2026-12-04T19:00:00Z", State::kClosed, "2026-12-07T07:00:00Z");  // a Friday evening
  Expect(s, "2026-12-05T12:00:00Z", State::kClosed, "2026-12-07T07:00:00Z");
  const Schedule days_only = Make({.days = "sat, sun"});
  Expect(days_only, "2026-12-04T22:59:59Z", State::kClosed, "2026-12-04T23:00:00Z");
  Expect(days_only, "2026-12-05T12:00:00Z", State::kOpen, "2026-12-06T23:00:00Z");  // both days
}

TEST(Schedule, AWindowOverMidnightBelongsToTheDayItBegins) {
  const Schedule s = Make({.window = "22:00-06:00", .days = "fri"});
  Expect(s, "2026-12-04T20:00:00Z", State::kClosed, "2026-12-04T21:00:00Z");
  Expect(s, "2026-12-05T03:00:00Z", State::kOpen, "2026-12-05T05:00:00Z");
  Expect(s, "2026-12-05T21:30:00Z", State::kClosed, "2026-12-11T21:00:00Z");
}

TEST(Schedule, FollowsTheClocksWhenTheyChange) {
  const Schedule s = Make({.window = "02:30-04:00"});
  // 29 March 2026: 02:00 is followed by 03:00, so the window opens at the change.
  Expect(s, "2026-03-29T00:30:00Z", State::kClosed, "2026-03-29T01:00:00Z");
  Expect(s, "2026-03-29T01:00:00Z", State::kOpen, "2026-03-29T02:00:00Z");
  // 25 October 2026: 02:30 comes twice; the first counts.
  Expect(s, "2026-10-25T00:29:00Z", State::kClosed, "2026-10-25T00:30:00Z");
  Expect(s, "2026-10-25T00:30:00Z", State::kOpen, "2026-10-25T03:00:00Z");
}

TEST(Schedule, AllDaysAndAllHoursHaveNoEnd) {
  const Schedule s = Make({.window = "00:00-24:00"});
  EXPECT_EQ(s.At(T("2026-12-01T12:00:00Z")).state, State::kOpen);
}

struct BadCase {
  ScheduleDefinition definition;
  std::string says;
};

TEST(Schedule, SaysWhatIsWrong) {
  const BadCase cases[] = {
      {{.start = "tomorrow"}, "start \"tomorrow\": write a time as"},
      {{.start = "2026-02-30 09:00"}, "start \"2026-02-30 09:00\""},
      {{.start = "2026-12-02 09:00", .not_after = "2026-12-01 09:00"}, "is not after start"},
      {{.window = "8-20"}, "window \"8-20\": write hours as 08:00-20:00"},
      {{.window = "08:00"}, "window"},
      {{.window = "08:00-08:00"}, "window"},
      {{.window = "25:00-26:00"}, "window"},
      {{.window = "08:0-20:00"}, "window"},
      {{.window = "-8:00-20:00"}, "window"},
      {{.days = "monday"}, "days \"monday\": write days as mon-fri"},
      {{.days = "mon,,fri"}, "days"},
      {{.time_zone = "Berlin"}, "time_zone \"Berlin\": there is no such zone"},
  };
  for (const BadCase& c : cases) {
    const auto s = Schedule::Parse(c.definition);
    ASSERT_FALSE(s.ok()) << c.says;
    EXPECT_THAT(std::string(s.status().message()), HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace volley::pipeline
