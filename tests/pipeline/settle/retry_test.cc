#include "pipeline/settle/retry.h"

#include <gtest/gtest.h>

#include <set>

namespace volley::pipeline {
namespace {

constexpr UnixSeconds kNow = 1'800'000'000;

// Seconds from now until the next try; -1: none.
int64_t WaitOf(const RetrySchedule& schedule, const DeferredTry& deferred, UnixSeconds now = kNow) {
  const auto due = NextTry(schedule, deferred, now);
  return due ? int64_t{*due} - now : -1;
}

TEST(Retry, DoublesFromTheFirstWaitUpToTheLongest) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(1000)};
  const int64_t wanted[] = {300, 600, 1200, 2400, 4800, 9600, 14400, 14400};
  for (uint32_t index = 0; index < 50; ++index) {
    for (uint8_t attempts = 1; attempts <= 8; ++attempts) {
      const int64_t least = wanted[attempts - 1];
      const int64_t wait = WaitOf(schedule, {index, attempts, kNow, {}});
      EXPECT_GE(wait, least) << "attempt " << int{attempts};
      EXPECT_LE(wait, least + least / 4 + 1) << "attempt " << int{attempts};
    }
  }
}

TEST(Retry, TheMostAttemptsDoNotOverflow) {
  const RetrySchedule schedule{absl::Hours(24 * 30), absl::Hours(24 * 30), absl::Hours(24 * 90)};
  EXPECT_GE(WaitOf(schedule, {1, 255, kNow, {}}), 30 * 86400);
  EXPECT_GE(WaitOf({absl::Seconds(1), absl::Hours(4), absl::Hours(48)}, {1, 0, kNow, {}}), 1);
}

TEST(Retry, WhatWasDeferredTogetherDoesNotComeBackTogether) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(48)};
  std::set<int64_t> waits;
  int64_t sum = 0;
  for (uint32_t index = 0; index < 10'000; ++index) {
    const int64_t wait = WaitOf(schedule, {index, 1, kNow, {}});
    waits.insert(wait);
    sum += wait;
  }
  EXPECT_GT(waits.size(), 70u);  // of the 76 seconds there are
  EXPECT_NEAR(static_cast<double>(sum) / 10'000, 337.5, 3);
}

TEST(Retry, IsTheSameForTheSameTryOfTheSameRecipient) {
  const RetrySchedule schedule;
  for (uint32_t index = 0; index < 100; ++index) {
    EXPECT_EQ(WaitOf(schedule, {index, 2, kNow, {}}), WaitOf(schedule, {index, 2, kNow, {}}));
  }
}

TEST(Retry, AServersWishGoesBeforeTheScheduleWithinBounds) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(1000)};
  const auto with_hint = [&](absl::Duration hint) { return WaitOf(schedule, {7, 6, kNow, hint}); };
  EXPECT_GE(with_hint(absl::Minutes(2)), 120);
  EXPECT_LE(with_hint(absl::Minutes(2)), 150);
  EXPECT_GE(with_hint(-absl::Hours(1)), 1);
  EXPECT_LE(with_hint(absl::ZeroDuration()), 2);
  EXPECT_GE(with_hint(absl::Hours(900)), 12 * 3600);
  EXPECT_LE(with_hint(absl::InfiniteDuration()), 15 * 3600);
}

TEST(Retry, NeverComesAtOnce) {
  const RetrySchedule schedule{absl::ZeroDuration(), absl::ZeroDuration(), absl::Hours(1)};
  EXPECT_EQ(WaitOf(schedule, {1, 1, kNow, {}}), 1);
}

TEST(Retry, OneLastTryAtTheVeryEnd) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(48)};
  const UnixSeconds first = kNow - 47 * 3600;
  EXPECT_EQ(WaitOf(schedule, {1, 20, first, {}}), 3600);
  EXPECT_EQ(WaitOf(schedule, {1, 20, first, absl::Hours(12)}), 3600);
  // What fits is not moved.
  EXPECT_LE(WaitOf(schedule, {1, 1, first, {}}), 375);
}

TEST(Retry, ExpiresWhenItWasTriedForSoLong) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(48)};
  const UnixSeconds first = kNow - 48 * 3600;
  EXPECT_EQ(WaitOf(schedule, {1, 20, first, {}}), -1);
  EXPECT_EQ(WaitOf(schedule, {1, 20, first, absl::Seconds(1)}), -1);
  EXPECT_EQ(WaitOf(schedule, {1, 20, first - 86400 * 30, {}}), -1);
  EXPECT_EQ(WaitOf(schedule, {1, 20, first + 1, {}}), 1);
}

// From the first try on, as a shard would go through it.
TEST(Retry, AWholeLifeEndsAtGiveUpAfterAndNotBefore) {
  const RetrySchedule schedule{absl::Minutes(5), absl::Hours(4), absl::Hours(48)};
  for (uint32_t index = 0; index < 200; ++index) {
    UnixSeconds now = kNow;
    uint8_t attempts = 1;
    while (const auto due = NextTry(schedule, {index, attempts, kNow, {}}, now)) {
      ASSERT_GT(*due, now);
      now = *due;
      ++attempts;
      ASSERT_LT(attempts, 30);
    }
    EXPECT_EQ(now - kNow, 48u * 3600);
    EXPECT_GE(attempts, 14);
  }
}

}  // namespace
}  // namespace volley::pipeline
