#include "io/base/time.h"

#include <gtest/gtest.h>

namespace volley::io {
namespace {

TEST(MonoTime, AddsAndSubtractsDurations) {
  const MonoTime start = MonoTime::FromNanos(1'000);
  EXPECT_EQ((start + absl::Microseconds(2)).nanos(), 3'000);
  EXPECT_EQ(start + absl::Microseconds(2) - start, absl::Microseconds(2));
  EXPECT_EQ((start + absl::Nanoseconds(-400)).nanos(), 600);
  EXPECT_LT(start, start + absl::Nanoseconds(1));
}

TEST(MonoTime, SaturatesAtInfinity) {
  const MonoTime now = MonoTime::FromNanos(5);
  EXPECT_TRUE((now + absl::InfiniteDuration()).is_infinite());
  EXPECT_TRUE((now + absl::Nanoseconds(INT64_MAX)).is_infinite());
  EXPECT_TRUE((MonoTime::Infinite() + absl::Seconds(1)).is_infinite());
  EXPECT_EQ(MonoTime::Infinite() - now, absl::InfiniteDuration());
  EXPECT_FALSE((now + absl::Hours(24 * 365 * 100)).is_infinite());
  EXPECT_GT(MonoTime::Infinite(), now + absl::Hours(24 * 365 * 100));
}

TEST(MonoTime, TheClockDoesNotGoBack) {
  MonoTime last = MonotonicNow();
  EXPECT_GT(last.nanos(), 0);
  for (int i = 0; i < 10'000; ++i) {
    const MonoTime now = MonotonicNow();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace volley::io
