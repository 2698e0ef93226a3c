#include "pipeline/adapt/breaker.h"

#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using engine::bounce::Category;

TEST(Breaker, StopsAtItsShareOfContentAndReputation) {
  Breaker breaker(0.1);
  for (int i = 0; i < 180; ++i) breaker.OnDelivered();
  for (int i = 0; i < 19; ++i) {
    EXPECT_FALSE(breaker.OnRefused(Category::kSpamContent, "550 spam"));
  }
  EXPECT_TRUE(breaker.OnRefused(Category::kReputation, "550 bad reputation"));
  EXPECT_TRUE(breaker.broken());
  EXPECT_NE(breaker.why().find("20 of the last 200"), std::string::npos) << breaker.why();
  EXPECT_NE(breaker.why().find("bad reputation"), std::string::npos);
}

TEST(Breaker, WaitsForEnoughOfThem) {
  Breaker breaker(0.1);
  for (size_t i = 0; i + 1 < Breaker::kLeast; ++i) {
    EXPECT_FALSE(breaker.OnRefused(Category::kSpamContent, "550 spam"));
  }
  EXPECT_TRUE(breaker.OnRefused(Category::kSpamContent, "550 spam"));
}

TEST(Breaker, UnknownRecipientsAreNoneOfThem) {
  Breaker breaker(0.1);
  for (int i = 0; i < 500; ++i) {
    EXPECT_FALSE(breaker.OnRefused(Category::kRecipientUnknown, "550 no such user"));
  }
}

TEST(Breaker, ForgetsWhatIsLongAgo) {
  Breaker breaker(0.5);
  for (int i = 0; i < 19; ++i) breaker.OnRefused(Category::kSpamContent, "");
  for (size_t i = 0; i < Breaker::kLook; ++i) breaker.OnDelivered();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(breaker.OnRefused(Category::kSpamContent, ""));
}

TEST(Breaker, CanBeOff) {
  Breaker breaker(0);
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(breaker.OnRefused(Category::kSpamContent, ""));
}

}  // namespace
}  // namespace volley::pipeline
