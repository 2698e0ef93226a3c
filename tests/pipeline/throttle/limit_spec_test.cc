#include "pipeline/throttle/limit_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RateSpec, IsReadInTheUnitsPeopleWrite) {
  EXPECT_EQ(*ParseRate("500/min"), (RateSpec{500, absl::Minutes(1)}));
  EXPECT_EQ(*ParseRate("10/s"), (RateSpec{10, absl::Seconds(1)}));
  EXPECT_EQ(*ParseRate("10000/24h"), (RateSpec{10000, absl::Hours(24)}));
  EXPECT_EQ(*ParseRate("1/day"), (RateSpec{1, absl::Hours(24)}));
  EXPECT_EQ(*ParseRate("20/250ms"), (RateSpec{20, absl::Milliseconds(250)}));
  EXPECT_EQ(*ParseRate("7/90s"), (RateSpec{7, absl::Seconds(90)}));
}

TEST(RateSpec, IsWrittenSoThatItReadsTheSame) {
  for (const char* text : {"500/min", "10/s", "10000/24h", "20/250ms", "7/90s", "3/h", "5/5min"}) {
    EXPECT_EQ(FormatRate(*ParseRate(text)), text);
  }
  EXPECT_EQ(FormatRate(*ParseRate("1/day")), "1/24h");
}

TEST(RateSpec, RefusesWhatIsNotOneAndSaysWhatIs) {
  for (const char* text :
       {"", "/", "500", "500/", "x/min", "-5/s", "5.5/s", "5/fortnight", "5/0s", "5/1.5h", " 5/s",
        "5/s ", "5/min/h", "9999999999999999999999/s", "1/9999999999999999999999s", "5/S"}) {
    const auto rate = ParseRate(text);
    ASSERT_FALSE(rate.ok()) << text;
    EXPECT_THAT(std::string(rate.status().message()),
                AllOf(HasSubstr(std::string("\"") + text), HasSubstr("ms, s, min, h or day")));
  }
  EXPECT_THAT(std::string(ParseRate("5/week").status().message()),
              HasSubstr("\"week\" is no unit"));
}

TEST(RateSpec, ShowsNoControlCharactersOfWhatWasWritten) {
  EXPECT_THAT(std::string(ParseRate("5/s\r\nerror: all is well").status().message()),
              Not(HasSubstr("\n")));
}

TEST(LimitSpec, RefusesImpossibleNumbersByName) {
  const auto error = [](const LimitSpec& spec) { return std::string(CheckLimit(spec).message()); };
  EXPECT_THAT(error({.connections = 0}), AllOf(HasSubstr("connections = 0"), HasSubstr("1 to")));
  EXPECT_THAT(error({.messages_per_connection = 0}), HasSubstr("messages_per_connection = 0"));
  EXPECT_THAT(error({.recipients_per_transaction = 0}), HasSubstr("recipients_per_transaction"));
  EXPECT_THAT(error({.rate = RateSpec{0, absl::Minutes(1)}}), HasSubstr("rate = 0/min"));
  EXPECT_THAT(error({.rate = RateSpec{10'000'001, absl::Seconds(1)}}), HasSubstr("10000000/s"));
  EXPECT_THAT(error({.rate = RateSpec{1, absl::Hours(25)}}), HasSubstr("longer: quota"));
  EXPECT_THAT(error({.burst = 5}), HasSubstr("there is no rate"));
  EXPECT_THAT(error({.rate = RateSpec{10, absl::Seconds(1)}, .burst = 6}), HasSubstr("1 to 5"));
  EXPECT_THAT(error({.rate = RateSpec{10, absl::Seconds(1)}, .burst = 0}), HasSubstr("burst = 0"));
  EXPECT_THAT(error({.quota = RateSpec{10, absl::Minutes(1)}}), HasSubstr("shorter: rate"));
  EXPECT_THAT(error({.quota = RateSpec{0, absl::Hours(24)}}), HasSubstr("quota = 0/24h"));
}

TEST(LimitSpec, TakesEveryNumberAtItsEdge) {
  EXPECT_TRUE(CheckLimit({}).ok());
  EXPECT_TRUE(CheckLimit({.connections = 1,
                          .messages_per_connection = 1,
                          .recipients_per_transaction = 1,
                          .rate = RateSpec{10'000'000, absl::Seconds(1)},
                          .burst = 5'000'000,
                          .quota = RateSpec{kQuotaCountMax, kQuotaPerMax}})
                  .ok());
  EXPECT_TRUE(CheckLimit({.rate = RateSpec{1, absl::Hours(24)}, .burst = 1}).ok());
}

}  // namespace
}  // namespace volley::pipeline
