#include "pipeline/suppress/time_text.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace volley::pipeline {
namespace {

constexpr int64_t kThen = 1443651125;  // 2015-09-30T22:12:05Z

TEST(TimeText, ReadsWhatMailProvidersWrite) {
  const std::pair<const char*, int64_t> cases[] = {
      {"1443651125", kThen * 1000},                          // SendGrid
      {"1443651125.077", kThen * 1000 + 77},                 // SES by the AWS command line
      {"1443651125077", kThen * 1000 + 77},                  // milliseconds
      {"1443651125077000", kThen * 1000 + 77},               // microseconds
      {"1443651125077000000", kThen * 1000 + 77},            // nanoseconds
      {"2015-09-30T22:12:05Z", kThen * 1000},                // SES
      {"2015-09-30T18:12:05.077-04:00", kThen * 1000 + 77},  // Postmark
      {"2015-09-30T22:12:05+00:00", kThen * 1000},           // SparkPost
      {"2015-09-30T22:12:05.077123456Z", kThen * 1000 + 77},
      {"2015-09-30 22:12:05", kThen * 1000},  // Mailchimp
      {"2015-09-30 22:12:05 +0000 UTC", kThen * 1000},
      {"2015-09-30 22:12:05 UTC", kThen * 1000},
      {"2015/09/30 22:12", kThen * 1000 - 5000},
      {"2015-09-30", kThen * 1000 - (22 * 3600 + 12 * 60 + 5) * 1000},
      {"20150930", kThen * 1000 - (22 * 3600 + 12 * 60 + 5) * 1000},
      {"Wed, 30 Sep 2015 22:12:05 GMT", kThen * 1000},  // Mailgun
      {"Wed, 30 Sep 2015 22:12:05 UTC", kThen * 1000},
      {"Thu, 1 Oct 2015 00:12:05 +0200", kThen * 1000},
      {" 30 Sep 2015 22:12:05 -0000 ", kThen * 1000},
      {"2016-02-29T00:00:00Z", 1456704000000},
      {"9999-12-31T23:59:59.999Z", 253402300799999},
      {"0", 0},
  };
  for (const auto& [text, ms] : cases) EXPECT_EQ(ParseTimeText(text), ms) << text;
}

TEST(TimeText, RefusesWhatCouldMeanTwoThingsOrNone) {
  for (const char* text : {"",
                           " ",
                           "now",
                           "09/10/2015",
                           "30.09.2015",
                           "2015-02-30",
                           "2015-13-01",
                           "2015-00-10",
                           "2015-09-30T24:00:00Z",
                           "2015-09-30T22:60:00Z",
                           "2015-09-30T22",
                           "2015-09-30T22:12:05 PST",
                           "2015-09-30T22:12:05Zx",
                           "2015-09-30T22:12:05+25:00",
                           "1969-12-31T23:59:59Z",
                           "1970-01-01T00:30:00+01:00",
                           "30 Foo 2015 10:00",
                           "Wed 30 Sep 2015 22:12:05",
                           "1.2.3",
                           ".5",
                           "5.",
                           "99999999999999999999",
                           "-5",
                           "10000-01-01",
                           "2015-9",
                           "2015-09-30T22:12:05.",
                           "0x10"}) {
    EXPECT_EQ(ParseTimeText(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseTimeText(std::string(100, '1')), std::nullopt);
}

TEST(TimeText, WritesWhatItReads) {
  for (const int64_t ms : {int64_t{0}, int64_t{1}, kThen * 1000 + 77, int64_t{253402300799999}}) {
    EXPECT_EQ(ParseTimeText(FormatTimeText(ms)), ms) << FormatTimeText(ms);
  }
  EXPECT_EQ(FormatTimeText(kThen * 1000 + 77), "2015-09-30T22:12:05.077Z");
}

}  // namespace
}  // namespace volley::pipeline
