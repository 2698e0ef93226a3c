#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/credentials/credentials.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using enum absl::StatusCode;

CredentialDefinition WithPassword() {
  CredentialDefinition definition;
  definition.user = "ann@example.com";
  definition.password.file = "/nowhere/password";  // nothing is read here
  return definition;
}

CredentialDefinition WithOauth2() {
  CredentialDefinition definition;
  definition.user = "ann@example.com";
  definition.oauth2.token_url = "https://login.example/token";
  definition.oauth2.client_id = "client";
  definition.oauth2.refresh_token.file = "/nowhere/refresh";
  return definition;
}

TEST(CheckCredentials, TakesWhatBelongsTogether) {
  EXPECT_TRUE(CheckCredentials({}).ok());
  EXPECT_TRUE(CheckCredentials(WithPassword()).ok());
  EXPECT_TRUE(CheckCredentials(WithOauth2()).ok());
  CredentialDefinition both = WithOauth2();
  both.password.env = "SMTP_PASSWORD";
  both.authorization_id = "shop@example.com";
  both.oauth2.client_secret.command = "pass show client";
  EXPECT_TRUE(CheckCredentials(both).ok());
}

TEST(CheckCredentials, WantsAUserAndASecret) {
  CredentialDefinition definition;
  definition.user = "ann@example.com";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "ann@example.com", "password_file",
                 "[relay.oauth2]");
  for (CredentialDefinition no_user : {WithPassword(), WithOauth2()}) {
    no_user.user.clear();
    EXPECT_REFUSED(CheckCredentials(no_user), kInvalidArgument, "no user", "--user");
  }
  CredentialDefinition only_other;
  only_other.authorization_id = "shop";
  EXPECT_REFUSED(CheckCredentials(only_other), kInvalidArgument, "authorization_id");
}

TEST(CheckCredentials, WantsOnePlaceForEachSecret) {
  CredentialDefinition definition = WithPassword();
  definition.password.env = "X";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "password_file", "password_env");
  definition = WithOauth2();
  definition.token.file = "/nowhere/token";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "a token", "[relay.oauth2]");
  definition = WithOauth2();
  definition.oauth2.refresh_token.env = "X";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "refresh_token_env");
  definition = WithOauth2();
  definition.oauth2.client_secret = {.file = "/x", .env = "", .command = "x", .credential = ""};
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "client_secret_command");
}

TEST(CheckCredentials, WantsAWholeRefreshFlow) {
  CredentialDefinition definition = WithOauth2();
  definition.oauth2.token_url.clear();
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "needs token_url");
  definition = WithOauth2();
  definition.oauth2.client_id.clear();
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "needs client_id");
  definition = WithOauth2();
  definition.oauth2.refresh_token = {};
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "needs refresh_token_file");
  definition = WithPassword();
  definition.oauth2.scope = "mail";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "needs token_url");
}

TEST(CheckCredentials, WantsTlsToTheTokenEndpoint) {
  CredentialDefinition definition = WithOauth2();
  definition.oauth2.token_url = "http://login.example/token";
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "token_url", "https://");
  definition.oauth2.token_url = "http://127.0.0.1:8080/token";
  EXPECT_TRUE(CheckCredentials(definition).ok());
}

TEST(CheckCredentials, RefusesNamesThatCouldBreakOutOfACommand) {
  for (const std::string& name :
       {std::string("ann\r\nRCPT TO:<x>"), std::string("ann\n"), std::string("a\0b", 3),
        std::string("a\x01x"), std::string("a\x7f")}) {
    CredentialDefinition definition = WithPassword();
    definition.user = name;
    EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "user", "control character");
    definition = WithPassword();
    definition.authorization_id = name;
    EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "authorization_id",
                   "control character");
    definition = WithOauth2();
    definition.oauth2.client_id = name;
    EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "client_id",
                   "control character");
  }
  CredentialDefinition definition = WithPassword();
  definition.user = std::string(513, 'u');
  EXPECT_REFUSED(CheckCredentials(definition), kInvalidArgument, "513 bytes", "512");
  definition.user = "j\xc3\xbcrgen@example.com";
  EXPECT_TRUE(CheckCredentials(definition).ok());
}

}  // namespace
}  // namespace volley::pipeline
