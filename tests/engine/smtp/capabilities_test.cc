#include "engine/smtp/capabilities.h"

#include <initializer_list>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Capabilities Parse(std::initializer_list<std::string_view> lines,
                   std::vector<std::string> discard = {}) {
  Capabilities capabilities;
  for (const std::string_view line : lines) capabilities.ParseLine(line, discard);
  return capabilities;
}

TEST(CapabilitiesTest, KnowsEveryKeyword) {
  const Capabilities c =
      Parse({"PIPELINING", "CHUNKING", "BINARYMIME", "8BITMIME", "SMTPUTF8", "DSN",
             "ENHANCEDSTATUSCODES", "STARTTLS", "REQUIRETLS", "SIZE 1000"});
  EXPECT_TRUE(c.pipelining && c.chunking && c.binarymime && c.eight_bit_mime && c.smtputf8 &&
              c.dsn);
  EXPECT_TRUE(c.enhanced_status_codes && c.starttls && c.requiretls && c.size);
  EXPECT_EQ(c.size_max, 1000u);
}

// RFC 5321 §2.4: keywords are case-insensitive.
TEST(CapabilitiesTest, DoesNotMindCase) {
  const Capabilities c = Parse({"Pipelining", "8bitMime", "auth plain Login", "limits mailmax=3"});
  EXPECT_TRUE(c.pipelining);
  EXPECT_TRUE(c.eight_bit_mime);
  EXPECT_THAT(c.auth, ElementsAre("PLAIN", "LOGIN"));
  EXPECT_EQ(c.mail_max, 3u);
}

TEST(CapabilitiesTest, LeavesUnknownAndMangledKeywordsAlone) {
  const Capabilities c = Parse({"XXXXXXXA", "PIPELININGX", "X-PIPELINING", "", " ", "\t", "=",
                                "AUTH=", "PIPECONNECT", "HELP", "SIZEX 10"});
  EXPECT_FALSE(c.pipelining || c.chunking || c.size);
  EXPECT_THAT(c.auth, IsEmpty());
}

TEST(CapabilitiesTest, SkipsWhatIsDiscarded) {
  const Capabilities c =
      Parse({"PIPELINING", "chunking", "SIZE 10", "AUTH=PLAIN", "LIMITS MAILMAX=1"},
            {"CHUNKING", "SIZE", "AUTH", "LIMITS"});
  EXPECT_TRUE(c.pipelining);
  EXPECT_FALSE(c.chunking || c.size);
  EXPECT_THAT(c.auth, IsEmpty());
  EXPECT_FALSE(c.mail_max.has_value());
}

// RFC 1870 §4: no number and 0 are no limit; nonsense is taken so too.
TEST(CapabilitiesTest, ReadsSize) {
  for (const std::string_view line :
       {"SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE 10x", "SIZE 99999999999999999999999"}) {
    const Capabilities c = Parse({line});
    EXPECT_TRUE(c.size) << line;
    EXPECT_EQ(c.size_max, 0u) << line;
  }
  EXPECT_EQ(Parse({"SIZE 35882577"}).size_max, 35882577u);
  EXPECT_EQ(Parse({"SIZE 18446744073709551615"}).size_max, UINT64_MAX);
}

TEST(CapabilitiesTest, JoinsAuthLinesOfBothForms) {
  EXPECT_THAT(Parse({"AUTH PLAIN LOGIN", "AUTH=LOGIN CRAM-MD5"}).auth,
              ElementsAre("PLAIN", "LOGIN", "CRAM-MD5"));
}

TEST(CapabilitiesTest, BoundsTheMechanismsItKeeps) {
  std::string line = "AUTH " + std::string(21, 'A');
  for (int i = 0; i < 1000; ++i) line += " M" + std::to_string(i);
  const Capabilities c = Parse({line});
  EXPECT_EQ(c.auth.size(), 64u);
  EXPECT_EQ(c.auth[0], "M0");
}

// RFC 9422 §3.6, §4: a malformed value is as if that limit was not there; others still hold.
TEST(CapabilitiesTest, ReadsLimits) {
  const Capabilities c = Parse({"LIMITS MAILMAX=20 RCPTMAX=999999 RCPTDOMAINMAX=1 OTHER=5"});
  EXPECT_EQ(c.mail_max, 20u);
  EXPECT_EQ(c.rcpt_max, 999999u);
  EXPECT_EQ(c.rcpt_domain_max, 1u);
}

TEST(CapabilitiesTest, IgnoresMalformedLimits) {
  for (const std::string_view value : {"0", "", "-1", "1000000", "01", "1x", "x", "+1", "1 "}) {
    const Capabilities c = Parse({"LIMITS RCPTMAX=7 MAILMAX=" + std::string(value)});
    EXPECT_EQ(c.rcpt_max, 7u) << value;
    EXPECT_EQ(c.mail_max.has_value(), value == "1 ") << value;
  }
  EXPECT_FALSE(Parse({"LIMITS MAILMAX"}).mail_max.has_value());
  EXPECT_FALSE(Parse({"LIMITS"}).mail_max.has_value());
}

}  // namespace
}  // namespace volley::engine::smtp
