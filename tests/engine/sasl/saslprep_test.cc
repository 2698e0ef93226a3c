#include "engine/sasl/saslprep.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

std::string Prep(std::string_view text, PrepKind kind = PrepKind::kStored) {
  const absl::StatusOr<Secret> prepared = SaslPrep(text, kind);
  if (!prepared.ok()) return "error: " + std::string(prepared.status().message());
  return std::string(prepared->reveal());
}

// RFC 4013 §3, all of its table.
TEST(SaslPrep, HasTheRfcsExamples) {
  EXPECT_EQ(Prep("I\xc2\xadX"), "IX");
  EXPECT_EQ(Prep("user"), "user");
  EXPECT_EQ(Prep("USER"), "USER");
  EXPECT_EQ(Prep("\xc2\xaa"), "a");
  EXPECT_EQ(Prep("\xe2\x85\xa8"), "IX");
  EXPECT_THAT(Prep("\x07"), testing::HasSubstr("prohibits"));
  EXPECT_THAT(Prep("\xd8\xa7\x31"), testing::HasSubstr("directions"));
}

TEST(SaslPrep, MapsOtherSpacesToSpace) { EXPECT_EQ(Prep("a\xc2\xa0\xe3\x80\x80z"), "a  z"); }

// RFC 5802 §3 names U+00BD and U+00B4 as worth a test: NFC leaves them, NFKC does not.
TEST(SaslPrep, NormalisesCompatibilityForms) {
  EXPECT_EQ(Prep("\xc2\xbd"),
            "1\xe2\x81\x84"
            "2");
  EXPECT_EQ(Prep("\xc2\xb4"), " \xcc\x81");
  EXPECT_EQ(Prep("\xef\xac\x81"), "fi");
  EXPECT_EQ(Prep("e\xcc\x81"), "\xc3\xa9");
}

TEST(SaslPrep, LetsUnassignedCodePointsThroughInQueriesOnly) {
  EXPECT_EQ(Prep("\xf0\x9f\x98\x80", PrepKind::kQuery), "\xf0\x9f\x98\x80");
  EXPECT_THAT(Prep("\xf0\x9f\x98\x80", PrepKind::kStored), testing::HasSubstr("emoji"));
}

TEST(SaslPrep, RefusesNulAndControlCharacters) {
  EXPECT_THAT(Prep(std::string_view("a\0b", 3)), testing::HasSubstr("prohibits"));
  EXPECT_THAT(Prep("a\r\nb"), testing::HasSubstr("prohibits"));
  EXPECT_THAT(Prep("\x7f"), testing::HasSubstr("prohibits"));
}

TEST(SaslPrep, RefusesWhatIsNotUtf8) {
  for (const char* text : {"\xff", "a\xc3", "\xc3(", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\x80"}) {
    EXPECT_THAT(Prep(text), testing::StartsWith("error: ")) << testing::PrintToString(text);
  }
}

TEST(SaslPrep, TakesTheLongestGrowthThereIs) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xef\xb7\xba";  // U+FDFA
  EXPECT_EQ(Prep(text).size(), 100U * 33U);
}

TEST(SaslPrep, SaysNothingOfTheText) {
  EXPECT_EQ(Prep("hunter2\x07").find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace volley::engine::sasl
