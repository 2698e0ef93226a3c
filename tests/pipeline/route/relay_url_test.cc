#include "pipeline/route/relay_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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
TEST(RelayUrl, SmtpsIsTlsFromTheFirstByteAtItsOwnPort) {
  const auto url = ParseRelayUrl("smtps://mail.example.org");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->port, 465);
  EXPECT_EQ(url->tls, engine::smtp::TlsPolicy::kImplicit);
  EXPECT_EQ(ParseRelayUrl("smtps://mail.example.org:2465?tls=required")->port, 2465);
}

TEST(RelayUrl, ReadsUserAndOptions) {
  const auto url = ParseRelayUrl(
      "smtp://ann%40example.org@mail.example.org:587?tls=required&auth=scram-sha-256&weight=3");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "ann@example.org");
  EXPECT_EQ(url->tls, engine::smtp::TlsPolicy::kRequired);
  EXPECT_EQ(url->auth, engine::sasl::Mechanism::kScramSha256);
  EXPECT_EQ(url->weight, 3u);
  EXPECT_FALSE(url->auth_insecure);
  EXPECT_EQ(ParseRelayUrl("smtp://ann@example.org@h")->user, "ann@example.org");
  EXPECT_TRUE(ParseRelayUrl("smtp://h?auth_insecure=true")->auth_insecure);
  EXPECT_FALSE(ParseRelayUrl("smtp://h")->tls.has_value());
}

TEST(RelayUrl, AHostInAnotherScriptBecomesALabels) {
  EXPECT_EQ(ParseRelayUrl("smtp://pošta.example")->host, "xn--pota-h6a.example");
}

TEST(RelayUrl, APasswordIsRefusedAndNotRepeated) {
  for (const char* text :
       {"smtp://ann:hunter2@h", "smtp://ann:hunt@er2@h", "smtp://a@b:hunter2@h"}) {
    const auto url = ParseRelayUrl(text);
    ASSERT_FALSE(url.ok());
    EXPECT_THAT(std::string(url.status().message()), HasSubstr("password_file"));
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("hunt")));
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("er2")));
  }
}

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
    ::testing::Values(
        BadUrl{"smpt://x", "did you mean \"smtp\""}, BadUrl{"127.0.0.1:25", "scheme"},
        BadUrl{"smtp://", "no host"}, BadUrl{"smtp://:25", "no host"},
        BadUrl{"smtp://h:0", "port \"0\""}, BadUrl{"smtp://h:70000", "port \"70000\""},
        BadUrl{"smtp://h:25x", "port \"25x\""}, BadUrl{"smtp://[::1", "no host"},
        BadUrl{"smtp://@h", "user name"}, BadUrl{"smtp://a%0d@h", "control"},
        BadUrl{"smtp://a%zz@h", "hex"}, BadUrl{"smtp://h?tls=yes", "tls=yes"},
        BadUrl{"smtp://h?tls", "no value"}, BadUrl{"smtp://h?wieght=2", "did you mean \"weight\""},
        BadUrl{"smtp://h?tls=off&tls=off", "twice"}, BadUrl{"smtp://h?auth=MD5", "SCRAM-SHA-256"},
        BadUrl{"smtp://h?auth_insecure=1", "true nor false"},
        BadUrl{"smtp://h?weight=-1", "weight=-1"}, BadUrl{"smtp://h?weight=1001", "0 to 1000"},
        BadUrl{"smtps://h?tls=off", "contradicts"},
        BadUrl{"smtp://" + std::string(254, 'a'), "253"}, BadUrl{"smtp://h/x", "no meaning"},
        BadUrl{"smtp://h ost", "character"}, BadUrl{"smtp://h\r\nx", "character"},
        BadUrl{"lmtp://h:25", "not 25"}, BadUrl{"lmtp://h", "not 25"},
        BadUrl{"lmtp+unix://run", "absolute path"}));

}  // namespace
}  // namespace volley::pipeline
