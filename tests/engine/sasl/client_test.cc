#include "engine/sasl/client.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "engine/sasl/base64.h"
#include "engine/sasl/scram.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

using std::string_view_literals::operator""sv;
using testing::HasSubstr;

Credentials Make(std::string user, std::string_view password, std::string_view token = "") {
  Credentials credentials;
  credentials.user = std::move(user);
  credentials.password = *Secret::Make(password);
  credentials.token = *Secret::Make(token);
  return credentials;
}

std::unique_ptr<SaslClient> ClientOf(Mechanism mechanism, const Credentials& credentials,
                                     const SaslContext& context = {}) {
  absl::StatusOr<std::unique_ptr<SaslClient>> client =
      SaslClient::Make(mechanism, credentials, context);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

std::string Fault(Mechanism mechanism, const Credentials& credentials) {
  const auto client = SaslClient::Make(mechanism, credentials, {});
  return client.ok() ? "" : std::string(client.status().message());
}

class FixedRandom final : public RandomSource {
 public:
  explicit FixedRandom(bool works) : works_(works) {}
  bool Fill(std::span<unsigned char> out) override {
    std::fill(out.begin(), out.end(), static_cast<unsigned char>(0xfb));
    return works_;
  }

 private:
  const bool works_;
};

// RFC 4616 §4.
TEST(SaslPlain, IsTheRfcsExample) {
  auto client = ClientOf(Mechanism::kPlain, Make("tim", "tanstaaftanstaaf"));
  EXPECT_FALSE(client->done());
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client->InitialResponse()->reveal(), "\0tim\0tanstaaftanstaaf"sv);
  EXPECT_TRUE(client->done());
  EXPECT_TRUE(client->Finished().ok());
  Credentials as_other = Make("Kurt", "xipj3plmq");
  as_other.authorization_id = "Ursel";
  EXPECT_EQ(ClientOf(Mechanism::kPlain, as_other)->InitialResponse()->reveal(),
            "Ursel\0Kurt\0xipj3plmq"sv);
}

TEST(SaslPlain, AnswersAnEmptyChallengeOnce) {
  auto client = ClientOf(Mechanism::kPlain, Make("test", "1234"));
  EXPECT_FALSE(client->Step("Password:").ok());
  EXPECT_EQ(EncodeBase64(*client->Step("")).reveal(), "AHRlc3QAMTIzNA==");
  EXPECT_FALSE(client->Step("").ok()) << "the password is not given a second time";
}

TEST(SaslLogin, AnswersByOrderAndIgnoresThePrompts) {
  auto client = ClientOf(Mechanism::kLogin, Make("user", "pass"));
  EXPECT_FALSE(client->InitialResponse().has_value());
  EXPECT_EQ(client->Step("Password:")->reveal(), "user");
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client->Step("")->reveal(), "pass");
  EXPECT_TRUE(client->done());
  EXPECT_TRUE(client->Finished().ok());
  EXPECT_FALSE(client->Step("Username:").ok());
}

// RFC 2195 §2.
TEST(SaslCramMd5, IsTheRfcsExample) {
  auto client = ClientOf(Mechanism::kCramMd5, Make("tim", "tanstaaftanstaaf"));
  EXPECT_FALSE(client->InitialResponse().has_value());
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<Secret> response =
      client->Step("<1896.697170952@postoffice.reston.mci.net>");
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->reveal(), "tim b913a602c7eda7a495b4e6e7334d3890");
  EXPECT_TRUE(client->Finished().ok());
  EXPECT_FALSE(client->Step("<again>").ok());
}

TEST(SaslCramMd5, AnEmptyChallengeIsRefused) {
  EXPECT_FALSE(ClientOf(Mechanism::kCramMd5, Make("tim", "x"))->Step("").ok());
}

// RFC 7628 §4.1 (its second example).
TEST(SaslOauthBearer, IsTheRfcsExample) {
  const Credentials credentials =
      Make("user@example.com", "", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
  auto client =
      ClientOf(Mechanism::kOauthBearer, credentials, {.host = "server.example.com", .port = 587});
  EXPECT_EQ(EncodeBase64(*client->InitialResponse()).reveal(),
            "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcm"
            "VyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
  EXPECT_TRUE(client->Finished().ok());
  EXPECT_EQ(client->oauth_error(), nullptr);
}

TEST(SaslOauthBearer, LeavesOutWhatIsNotKnown) {
  auto client = ClientOf(Mechanism::kOauthBearer, Make("", "", "tok"));
  EXPECT_EQ(client->InitialResponse()->reveal(), "n,,\1auth=Bearer tok\1\1");
  auto escaped = ClientOf(Mechanism::kOauthBearer, Make("a,b=c", "", "tok"));
  EXPECT_EQ(escaped->InitialResponse()->reveal(), "n,a=a=2Cb=3Dc,\1auth=Bearer tok\1\1");
}

TEST(SaslOauthBearer, AnErrorIsAnsweredWithOneControlCharacter) {
  auto client = ClientOf(Mechanism::kOauthBearer, Make("u", "", "tok"));
  (void)client->InitialResponse();
  const absl::StatusOr<Secret> response =
      client->Step(R"({"status":"invalid_token","schemes":"bearer mac","scope":"https://m/"})");
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(EncodeBase64(*response).reveal(), "AQ==");
  ASSERT_NE(client->oauth_error(), nullptr);
  EXPECT_EQ(client->oauth_error()->status, "invalid_token");
  EXPECT_EQ(client->Finished().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(client->Step("{}").ok());
}

// developers.google.com/gmail/imap/xoauth2-protocol.
TEST(SaslXoauth2, IsGooglesExample) {
  auto client =
      ClientOf(Mechanism::kXoauth2,
               Make("someuser@example.com", "", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"));
  EXPECT_EQ(EncodeBase64(*client->InitialResponse()).reveal(),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQm"
            "hkSFJoZG1semRHRXVZMjl0Q2cBAQ==");
  const absl::StatusOr<Secret> response = client->Step(R"({"status":"401"})");
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->empty());
}

TEST(SaslClientTest, AMessageThatIsTooLongIsAnEmptyChallengesAnswer) {
  for (const Mechanism mechanism : {Mechanism::kPlain, Mechanism::kXoauth2, Mechanism::kOauthBearer,
                                    Mechanism::kScramSha1, Mechanism::kScramSha256}) {
    const Credentials credentials = Make("user", "pass", "tok");
    FixedRandom random(true);
    SaslContext context;
    context.random = &random;
    const Secret message = *ClientOf(mechanism, credentials, context)->InitialResponse();
    auto client = ClientOf(mechanism, credentials, context);
    EXPECT_FALSE(client->InitialResponse(message.size() - 1).has_value());
    EXPECT_EQ(client->Step("")->reveal(), message.reveal());
    auto fits = ClientOf(mechanism, credentials, context);
    EXPECT_EQ(fits->InitialResponse(message.size())->reveal(), message.reveal());
    auto spoken_to = ClientOf(mechanism, credentials, context);
    EXPECT_FALSE(spoken_to->Step("hello").ok());
  }
}

TEST(SaslClientTest, CredentialsThatCannotBeSentAreRefused) {
  EXPECT_THAT(Fault(Mechanism::kPlain, Make("", "x")), HasSubstr("user name is empty"));
  EXPECT_THAT(Fault(Mechanism::kPlain, Make("u", "")), HasSubstr("password is empty"));
  EXPECT_THAT(Fault(Mechanism::kPlain, Make("u", "a\0b"sv)), HasSubstr("NUL"));
  EXPECT_THAT(Fault(Mechanism::kLogin, Make("u", "a\nb")), HasSubstr("two lines"));
  EXPECT_THAT(Fault(Mechanism::kPlain, Make("u\n", "x")), HasSubstr("control character"));
  EXPECT_THAT(Fault(Mechanism::kPlain, Make(std::string(513, 'u'), "x")), HasSubstr("too long"));
  EXPECT_THAT(Fault(Mechanism::kXoauth2, Make("", "", "tok")), HasSubstr("needs a user"));
  EXPECT_THAT(Fault(Mechanism::kXoauth2, Make("u", "", "")), HasSubstr("token is empty"));
  EXPECT_THAT(Fault(Mechanism::kOauthBearer, Make("u", "", "to ken")), HasSubstr("a space"));
  EXPECT_THAT(Fault(Mechanism::kOauthBearer, Make("u", "", "tok\1\1")),
              HasSubstr("cannot be sent"));
  EXPECT_THAT(Fault(Mechanism::kPlain, Make(std::string(500, 'u'), std::string(8192, 'x'))),
              HasSubstr("too long together"));
}

TEST(SaslClientTest, TheLongestResponseFitsALine) {
  const std::string token(Secret::kBytesMax, 't');
  const Credentials credentials = Make(std::string(200, ','), "", token);
  auto client = ClientOf(Mechanism::kOauthBearer, credentials, {.host = "h.example", .port = 587});
  EXPECT_LE(EncodeBase64(*client->InitialResponse()).size(), kBase64BytesMax);
}

TEST(SaslClientTest, TheNonceIsTheRandomSources) {
  FixedRandom random(true);
  auto client = ClientOf(Mechanism::kScramSha256, Make("user", "pencil"), {.random = &random});
  EXPECT_EQ(client->InitialResponse()->reveal(), "n,,n=user,r=+/v7+/v7+/v7+/v7+/v7+/v7");
}

TEST(SaslClientTest, WithoutRandomBytesThereIsNoScram) {
  FixedRandom random(false);
  const auto client =
      SaslClient::Make(Mechanism::kScramSha1, Make("user", "pencil"), {.random = &random});
  EXPECT_EQ(client.status().code(), absl::StatusCode::kInternal);
}

TEST(SaslClientTest, NoncesOfTheSystemDiffer) {
  std::set<std::string> messages;
  for (int i = 0; i < 50; ++i) {
    messages.emplace(
        ClientOf(Mechanism::kScramSha1, Make("user", "pencil"))->InitialResponse()->reveal());
  }
  EXPECT_EQ(messages.size(), 50U);
}

// --- The JSON error ---

TEST(OauthErrorTest, GivesItsMembers) {
  // What Gmail sends, and the RFC's §4.4.
  OauthError error = ParseOauthError(
      "{\"status\":\"401\",\"schemes\":\"bearer mac\",\"scope\":\"https://mail.google.com/\"}\n");
  EXPECT_EQ(error.Describe(), "401, scope https://mail.google.com/, schemes bearer mac");
  EXPECT_TRUE(error.RenewalMayHelp());
  error = ParseOauthError(R"({"status":403,"error_description":"no"})");
  EXPECT_EQ(error.Describe(), "403: no");
  EXPECT_FALSE(error.RenewalMayHelp());
}

TEST(OauthErrorTest, OnlyWhatATokenCannotCureStandsAgainstRenewal) {
  for (const char* status : {"invalid_token", "400", "401", "", "other"}) {
    EXPECT_TRUE(
        (OauthError{.status = status, .scope = {}, .schemes = {}, .hint = {}}.RenewalMayHelp()))
        << status;
  }
  for (const char* status : {"insufficient_scope", "403", "invalid_request"}) {
    EXPECT_FALSE(
        (OauthError{.status = status, .scope = {}, .schemes = {}, .hint = {}}.RenewalMayHelp()))
        << status;
  }
}

TEST(OauthErrorTest, WhatIsNotAnObjectIsAnErrorWithoutWords) {
  for (const char* json : {"", "x", "[]", "\"status\"", "{\"status\":", "null", "{\"status\":[1]}",
                           "{\"status\":{\"a\":1}}", "{\"status\":-1}", "\xff\xfe{}"}) {
    EXPECT_EQ(ParseOauthError(json).Describe(), "no status") << json;
  }
}

TEST(OauthErrorTest, NestingAndLengthAreHarmless) {
  EXPECT_EQ(ParseOauthError(std::string(9216, '[')).status, "");
  const std::string deep = std::string(4000, '[') + std::string(4000, ']');
  EXPECT_EQ(ParseOauthError("{\"x\":" + deep + ",\"status\":\"401\"}").status, "401");
  const OauthError error = ParseOauthError("{\"status\":\"" + std::string(5000, 'x') + "\"}");
  EXPECT_EQ(error.status.size(), OauthError::kFieldBytesMax);
}

TEST(OauthErrorTest, ControlCharactersDoNotReachATerminal) {
  EXPECT_EQ(ParseOauthError("{\"status\":\"a\\u001b[31m\\nb\\u00e9\"}").status, "a?[31m?b??");
}

}  // namespace
}  // namespace volley::engine::sasl
