#include "engine/policy/values.h"

#include <gtest/gtest.h>

#include <string>

namespace volley::engine::policy {
namespace {

TEST(PolicyValues, ReadsDurations) {
  EXPECT_EQ(ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(ParseDuration("10 min"), absl::Minutes(10));
  EXPECT_EQ(ParseDuration("1h30min"), absl::Minutes(90));
  EXPECT_EQ(ParseDuration("5d"), absl::Hours(120));
  EXPECT_EQ(ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(ParseDuration("2 hours"), absl::Hours(2));
  for (const char* bad :
       {"", "10", "min", "-1h", "1.5h", "1x", "367d", "9999999999s", "1 0s", "1h30", "1H"}) {
    EXPECT_FALSE(ParseDuration(bad).has_value()) << bad;
  }
}

TEST(PolicyValues, WritesWhatItReads) {
  for (const char* text : {"90s", "10min", "1h30min", "5d", "250ms", "1d2h"}) {
    const auto duration = ParseDuration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(ParseDuration(DurationText(*duration)), duration) << DurationText(*duration);
  }
  EXPECT_EQ(DurationText(absl::Seconds(90)), "1min30s");
  for (const char* text : {"10/s", "500/min", "10000/24h", "3/10min", "1/1h30min", "7/2d"}) {
    const auto value = ParseCountPer(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(CountPerText(*value), text);
    EXPECT_EQ(ParseCountPer(CountPerText(*value)), value);
  }
  EXPECT_EQ(CountPerText({.count = 3, .per = absl::Hours(1)}), "3/h");
}

TEST(PolicyValues, RefusesWhatIsNoCountPerTime) {
  for (const char* bad : {"", "10", "/min", "10/", "10/0s", "ten/min", "10/min/h", "-1/s", "1e3/s",
                          "10000000000/s", "5 per minute"}) {
    EXPECT_FALSE(ParseCountPer(bad).has_value()) << bad;
  }
  EXPECT_EQ(ParseCountPer("0/s")->count, 0u) << "the form is right; the reader refuses the count";
}

TEST(PolicyValues, ComparesHostsWithoutCaseAndLastDot) {
  EXPECT_EQ(HostKey("MX.Example.ORG.").view(), "mx.example.org");
  EXPECT_EQ(HostKey("").view(), "");
  EXPECT_EQ(HostKey(".").view(), "");
  EXPECT_EQ(HostKey(std::string(253, 'a')).view().size(), 253u);
  EXPECT_EQ(HostKey(std::string(253, 'a') + ".").view().size(), 253u);
  EXPECT_EQ(HostKey(std::string(254, 'a')).view(), "");
  EXPECT_EQ(HostKey("m\xc3\xbcller.example").view(), "") << "A-labels are wanted";
}

TEST(PolicyValues, MakesNamesCanonical) {
  EXPECT_EQ(*CanonicalName("Example.ORG.", false), "example.org");
  EXPECT_EQ(*CanonicalName("m\xc3\xbcller.example", false), "xn--mller-kva.example");
  EXPECT_EQ(*CanonicalName("smtp.*.amazonaws.com", true), "smtp.*.amazonaws.com");
  for (const char* bad : {"", ".", ".example.org", "a..b", "a b.example", "example.org/x", "*",
                          "a.*", "[192.0.2.1]", "ann@example.org"}) {
    EXPECT_FALSE(CanonicalName(bad, true).ok()) << bad;
  }
  EXPECT_FALSE(CanonicalName("*.*.example", true).ok());
  EXPECT_FALSE(CanonicalName("smtp.*.amazonaws.com", false).ok());
  EXPECT_FALSE(CanonicalName(std::string(64, 'a') + ".example", false).ok());
}

TEST(PolicyValues, MatchesCodes) {
  EXPECT_TRUE(IsCodePattern("421") && IsCodePattern("4xx") && IsCodePattern("55x"));
  EXPECT_FALSE(IsCodePattern("250") || IsCodePattern("4x") || IsCodePattern("x21") ||
               IsCodePattern("42*"));
  EXPECT_TRUE(CodeMatches("4xx", 421) && CodeMatches("42x", 421) && CodeMatches("421", 421));
  EXPECT_FALSE(CodeMatches("4xx", 521) || CodeMatches("42x", 431) || CodeMatches("421", 422));

  EXPECT_TRUE(IsEnhancedPattern("4.7.28") && IsEnhancedPattern("x.7.x"));
  EXPECT_FALSE(IsEnhancedPattern("4.7") || IsEnhancedPattern("2.0.0") ||
               IsEnhancedPattern("4.7.2811") || IsEnhancedPattern("4..7") ||
               IsEnhancedPattern("4.7.28.1") || IsEnhancedPattern("4.7.2x"));
  EXPECT_TRUE(EnhancedMatches("4.7.28", "4.7.28") && EnhancedMatches("x.7.x", "5.7.1"));
  EXPECT_FALSE(EnhancedMatches("4.7.28", "4.7.2") || EnhancedMatches("4.7.2", "4.7.28") ||
               EnhancedMatches("x.7.x", "") || EnhancedMatches("x.7.x", "4.2.1"));
}

}  // namespace
}  // namespace volley::engine::policy
