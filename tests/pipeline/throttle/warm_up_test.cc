#include "pipeline/throttle/warm_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;

const std::vector<WarmUp::Step> kSteps = {{1, 50}, {2, 100}, {5, 1000}};

absl::TimeZone Zone(const char* name) {
  absl::TimeZone zone;
  return absl::LoadTimeZone(name, &zone) ? zone : absl::UTCTimeZone();
}

absl::Time UtcHour(int y, int m, int d, int hour, int minute = 0) {
  return absl::FromCivil(absl::CivilMinute(y, m, d, hour, minute), absl::UTCTimeZone());
}

TEST(WarmUp, SaysTheDaysNumberAndWhenItChanges) {
  const WarmUp plan = *WarmUp::Make(absl::CivilDay(2026, 1, 30), absl::UTCTimeZone(), kSteps);
  WarmUp::Allowance a = plan.At(UtcHour(2026, 1, 30, 0));
  EXPECT_EQ(a.messages, 50u);
  EXPECT_EQ(a.day, 1);
  EXPECT_EQ(a.until, UtcHour(2026, 1, 31, 0));
  a = plan.At(UtcHour(2026, 2, 1, 12));  // day 3 has the number of day 2
  EXPECT_EQ(a.messages, 100u);
  EXPECT_EQ(a.until, UtcHour(2026, 2, 3, 0));
  a = plan.At(UtcHour(2026, 2, 3, 23, 59));
  EXPECT_EQ(a.messages, 1000u);
  EXPECT_EQ(a.until, UtcHour(2026, 2, 4, 0));
}

TEST(WarmUp, AllowsNothingBeforeItsStartAndEverythingAfterItsEnd) {
  const WarmUp plan = *WarmUp::Make(absl::CivilDay(2026, 1, 30), absl::UTCTimeZone(), kSteps);
  const WarmUp::Allowance before = plan.At(UtcHour(2026, 1, 28, 9));
  EXPECT_EQ(before.messages, 0u);
  EXPECT_EQ(before.until, UtcHour(2026, 1, 30, 0));
  const WarmUp::Allowance after = plan.At(UtcHour(2026, 2, 4, 0));
  EXPECT_EQ(after.messages, std::nullopt);
  EXPECT_EQ(after.until, absl::InfiniteFuture());
}

// Each instant's `until` is the first at which At() says something else, also over days of 23 and
// 25 hours and over a midnight that does not exist (Havana) or comes twice.
TEST(WarmUp, ChangesAtTheZonesMidnightsOverClockChanges) {
  struct Case {
    const char* zone;
    absl::CivilDay start;
    int hours_of_day_two;
  };
  for (const Case& c : {Case{"Europe/Berlin", absl::CivilDay(2026, 3, 28), 23},
                        Case{"Europe/Berlin", absl::CivilDay(2026, 10, 24), 25},
                        Case{"America/Havana", absl::CivilDay(2026, 3, 7), 23},
                        Case{"America/Havana", absl::CivilDay(2026, 10, 31), 25},
                        Case{"Asia/Tokyo", absl::CivilDay(2026, 3, 28), 24}}) {
    const absl::TimeZone zone = Zone(c.zone);
    if (zone == absl::UTCTimeZone()) GTEST_SKIP() << "no time zone data for " << c.zone;
    const WarmUp plan = *WarmUp::Make(c.start, zone, {{1, 10}, {2, 20}, {3, 30}});
    const absl::Time one = absl::FromCivil(c.start, zone);
    const absl::Time two = plan.At(one).until;
    const absl::Time three = plan.At(two).until;
    EXPECT_EQ(three - two, absl::Hours(c.hours_of_day_two)) << c.zone;
    for (const absl::Time change : {one, two, three, plan.At(three).until}) {
      EXPECT_NE(plan.At(change).messages, plan.At(change - absl::Nanoseconds(1)).messages);
    }
    for (absl::Time t = one; t < plan.At(three).until; t += absl::Minutes(15)) {
      const uint64_t expected = t < two ? 10 : t < three ? 20 : 30;
      ASSERT_EQ(plan.At(t).messages, expected) << c.zone << " " << absl::FormatTime(t, zone);
      ASSERT_GT(plan.At(t).until, t);
    }
  }
}

TEST(WarmUp, RefusesAnImpossiblePlanByItsDay) {
  const auto error = [](std::vector<WarmUp::Step> steps) {
    const auto plan =
        WarmUp::Make(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone(), std::move(steps));
    return plan.ok() ? std::string() : std::string(plan.status().message());
  };
  EXPECT_THAT(error({}), HasSubstr("no days"));
  EXPECT_THAT(error({{2, 50}}), HasSubstr("day 1"));
  EXPECT_THAT(error({{1, 50}, {3, 60}, {3, 70}}), HasSubstr("day 3: days must ascend"));
  EXPECT_THAT(error({{1, 50}, {2, 0}}), HasSubstr("day 2: 0 messages"));
  EXPECT_THAT(error({{1, 50}, {900, 60}}), HasSubstr("day 900"));
}

}  // namespace
}  // namespace volley::pipeline
