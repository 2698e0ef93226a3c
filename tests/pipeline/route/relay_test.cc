#include "pipeline/route/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;

TEST(RelayUrl, ReadsEachForm) {
  auto url = ParseRelayUrl("smtp://mail.example.org:2525");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "mail.example.org");
  EXPECT_EQ(url->port, 2525);
  url = ParseRelayUrl("SMTP://mail.example.org/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->port, 25);
  url = ParseRelayUrl("smtp://[::1]:26");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "::1");
  url = ParseRelayUrl("lmtp://127.0.0.1:24");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->protocol, engine::smtp::Protocol::kLmtp);
  url = ParseRelayUrl("lmtp+unix:///run/dovecot/lmtp");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->unix_path, "/run/dovecot/lmtp");
}

struct BadUrl {
  std::string url, expected;
};
class BadRelayUrl : public ::testing::TestWithParam<BadUrl> {};

TEST_P(BadRelayUrl, IsRefusedWithTheReasonAndAnExample) {
  const auto url = ParseRelayUrl(GetParam().url);
  ASSERT_FALSE(url.ok());
  const std::string message(url.status().message());
  EXPECT_THAT(message, HasSubstr("\"" + GetParam().url + "\""));
  EXPECT_THAT(message, HasSubstr(GetParam().expected));
  EXPECT_THAT(message, HasSubstr("smtp://"));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadRelayUrl,
    ::testing::Values(BadUrl{"smpt://x", "did you mean \"smtp\""}, BadUrl{"127.0.0.1:25", "scheme"},
                      BadUrl{"smtp://", "no host"}, BadUrl{"smtp://:25", "no host"},
                      BadUrl{"smtp://h:0", "port \"0\""},
                      BadUrl{"smtp://h:70000", "port \"70000\""},
                      BadUrl{"smtp://h:25x", "port \"25x\""}, BadUrl{"smtp://[::1", "no host"},
                      BadUrl{"smtp://u:p@h", "log in"}, BadUrl{"smtp://h/x", "no meaning"},
                      BadUrl{"smtp://h ost", "character"}, BadUrl{"smtp://h\r\nx", "character"},
                      BadUrl{"lmtp://h:25", "not 25"}, BadUrl{"lmtp://h", "not 25"},
                      BadUrl{"lmtp+unix://run", "absolute path"}, BadUrl{"smtps://h", "no TLS"}));

TEST(ResolveRelay, GivesLoopbackForANumericAddress) {
  const auto endpoints = ResolveRelay(*ParseRelayUrl("smtp://127.0.0.1:2525"));
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  ASSERT_EQ(endpoints->size(), 1u);
  EXPECT_EQ((*endpoints)[0].ToString(), "127.0.0.1:2525");
  EXPECT_TRUE((*endpoints)[0].is_loopback());
}

TEST(HeloName, IsNeverAnInjection) {
  EXPECT_TRUE(CheckHeloName("mail.example.org").ok());
  EXPECT_TRUE(CheckHeloName("[192.0.2.1]").ok());
  EXPECT_FALSE(CheckHeloName("").ok());
  EXPECT_FALSE(CheckHeloName("a\r\nRCPT").ok());
  EXPECT_FALSE(CheckHeloName("a b").ok());
}

TEST(HeloName, DefaultIsAFullNameOrAnAddressLiteral) {
  const std::string name = DefaultHeloName(*io::Endpoint::Parse("127.0.0.1:25"));
  EXPECT_TRUE(CheckHeloName(name).ok());
  EXPECT_TRUE(name.find('.') != std::string::npos) << name;
}

}  // namespace
}  // namespace volley::pipeline
