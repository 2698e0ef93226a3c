#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/campaign/definition.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using volley::testing::TempDir;

// Every key there is, so that a key that is read but not written, or the reverse, is noticed.
constexpr char kEveryKey[] = R"(
[[relay]]
via = "smtp://a.example.org:587"
helo = "me.example.org"
user = "ann"
authorization_id = "bob"
password_file = "/run/pw"
password_env = "PW"
password_command = "pass show smtp"
password_credential = "pw"
token_file = "/run/token"
token_env = "TOKEN"
token_command = "get-token"
token_credential = "token"
auth = "PLAIN"
auth_insecure = true
ca_file = "/etc/ca.pem"
client_certificate = "/etc/cert.pem"
client_key = "/etc/key.pem"
tls_name = "mail.example.org"
tls_min_version = "1.3"
ciphers = "ECDHE-RSA-AES128-GCM-SHA256"
ciphersuites = "TLS_AES_128_GCM_SHA256"
weight = 3

[relay.oauth2]
token_url = "https://example.org/token"
client_id = "id"
client_secret_file = "/run/secret"
client_secret_env = "SECRET"
client_secret_command = "get-secret"
client_secret_credential = "secret"
refresh_token_file = "/run/refresh"
refresh_token_env = "REFRESH"
refresh_token_command = "get-refresh"
refresh_token_credential = "refresh"
scope = "mail"

[[relay]]
via = "gmail"
weight = 0
)";

TEST(RelayTable, EveryKeyIsReadAndWrittenBack) {
  TempDir dir;
  const auto d = LoadCampaignFile(dir.Write("c.toml", kEveryKey));
  ASSERT_TRUE(d.ok()) << d.status();
  ASSERT_EQ(d->relays.size(), 2u);
  const RelayDefinition& r = d->relays[0];
  EXPECT_EQ(r.credentials.password.command, "pass show smtp");
  EXPECT_EQ(r.credentials.oauth2.refresh_token.credential, "refresh");
  EXPECT_EQ(r.ciphersuites, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(r.auth_insecure, true);
  EXPECT_EQ(d->relays[1].weight, 0u);
  FrozenFacts facts{"k", "2026-11-23T10:00:00+00:00", 1};
  const std::string frozen = FormatCampaignFile(*d, facts);
  const auto back = LoadFrozenCampaignFile(dir.Write("frozen.toml", frozen), &facts);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->relays, d->relays);
  // As many keys as were read: none was dropped on the way.
  for (const char* key : {"client_secret_credential", "tls_min_version", "authorization_id"}) {
    EXPECT_THAT(frozen, HasSubstr(key));
  }
}

TEST(RelayTable, OneTableIsOneRelayAndPathsAreTheFiles) {
  TempDir dir;
  const auto d =
      LoadCampaignFile(dir.Write("c.toml", "[relay]\nvia = \"gmail\"\npassword_file = \"pw\"\n"));
  ASSERT_TRUE(d.ok()) << d.status();
  ASSERT_EQ(d->relays.size(), 1u);
  EXPECT_EQ(d->relays[0].credentials.password.file, dir.path("pw"));
}

std::string ErrorOf(const std::string& text) {
  TempDir dir;
  return std::string(LoadCampaignFile(dir.Write("c.toml", text)).status().message());
}

TEST(RelayTable, ASecretItselfIsRefusedAndNotRepeated) {
  const std::string error = ErrorOf("[relay]\nuser = \"ann\"\npassword = \"hunter2\"\n");
  EXPECT_THAT(error, HasSubstr("c.toml:3"));
  EXPECT_THAT(error, HasSubstr("password_file"));
  EXPECT_THAT(error, Not(HasSubstr("hunter2")));
  EXPECT_THAT(ErrorOf("[relay.oauth2]\nrefresh_token = \"x\"\n"), HasSubstr("refresh_token_file"));
}

TEST(RelayTable, WrongKeysAndTypesNameTheLine) {
  EXPECT_THAT(ErrorOf("[relay]\npasword_file = \"x\"\n"),
              HasSubstr("did you mean \"password_file\""));
  EXPECT_THAT(ErrorOf("[relay]\nweight = -1\n"), HasSubstr("c.toml:2"));
  EXPECT_THAT(ErrorOf("[relay]\nauth_insecure = \"yes\"\n"), HasSubstr("true or false"));
  EXPECT_THAT(ErrorOf("relay = 1\n"), HasSubstr("[[relay]]"));
  EXPECT_THAT(ErrorOf("[relay]\noauth2 = 1\n"), HasSubstr("[relay.oauth2]"));
  EXPECT_THAT(ErrorOf("[relay.oauth2]\ntoken = 1\n"), HasSubstr("[relay.oauth2]"));
}

}  // namespace
}  // namespace volley::pipeline
