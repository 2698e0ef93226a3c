#include "pipeline/credentials/token_response.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using volley::testing::kSecret;
using enum absl::StatusCode;

absl::StatusOr<TokenGrant> Parse(const std::string& json) {
  return ParseTokenResponse(json, "its answer");
}

TEST(TokenResponse, GivesTokenLifeAndNewRefreshToken) {
  // RFC 6749 §5.1
  const auto grant = Parse(R"({"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"bearer",
      "expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"x"})");
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->access_token.reveal(), "2YotnFZFEjr1zCsicMWpAA");
  EXPECT_EQ(grant->refresh_token.reveal(), "tGzv3JOkF0XG5Qx2TlKWIA");
  EXPECT_EQ(grant->expires_in, absl::Hours(1));
}

TEST(TokenResponse, UndoesJsonEscapes) {
  const auto grant = Parse(R"({"access_token":"a\/b\u002Bc=="})");
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->access_token.reveal(), "a/b+c==");
  EXPECT_TRUE(grant->refresh_token.empty());
  EXPECT_EQ(grant->expires_in, std::nullopt);
}

TEST(TokenResponse, ReadsLivesOfAnyMaking) {
  const auto life = [](const std::string& value) {
    const auto grant = Parse(R"({"access_token":"t","expires_in":)" + value + "}");
    EXPECT_TRUE(grant.ok()) << grant.status();
    return grant->expires_in;
  };
  EXPECT_EQ(life("\"3599\""), absl::Seconds(3599));  // Azure AD v1
  EXPECT_EQ(life("3599.5"), absl::Milliseconds(3'599'500));
  EXPECT_EQ(life("0"), absl::ZeroDuration());
  EXPECT_EQ(life("-5"), absl::ZeroDuration());
  EXPECT_EQ(life("1e300"), kTokenLifeMax);
  EXPECT_EQ(life("18446744073709551615"), kTokenLifeMax);
  EXPECT_EQ(life("\"inf\""), kTokenLifeMax);
  for (const char* none : {"null", "\"\"", "\"soon\"", "\"nan\"", "{}", "[3600]", "true"}) {
    EXPECT_EQ(life(none), std::nullopt) << none;
  }
}

TEST(TokenResponse, RefusesWhatIsNoTokenResponse) {
  const std::string token(kSecret);
  for (const std::string& bad :
       {std::string(), std::string("<html>hunter2</html>"), std::string("[]"),
        std::string("\"hunter2\""), "{\"access_token\":\"" + token,
        "{\"access_token\":\"" + token + "\"} {}", "{\"access_token\":\"\xff" + token + "\"}",
        std::string(100'000, '['), std::string(70'000, ' '),
        "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"}) {
    EXPECT_REFUSED(Parse(bad), kInvalidArgument, "its answer is not a JSON object");
  }
  for (const std::string& bad : {std::string("{}"), std::string("{\"access_token\":7}"),
                                 "{\"access_token\":null,\"x\":\"" + token + "\"}"}) {
    EXPECT_REFUSED(Parse(bad), kInvalidArgument, "its answer", "access_token");
  }
}

TEST(TokenResponse, RefusesTokensThatCannotBeSent) {
  for (const char* bad : {"hunter2 x", "hunter2\\u0001", "hunter2\\r\\n", "hunter2\\u0000",
                          "hunter2\xc3\xa9", "hunter2\\u007f"}) {
    EXPECT_REFUSED(Parse(fmt::format("{{\"access_token\":\"{}\"}}", bad)), kInvalidArgument,
                   "control character");
  }
  EXPECT_REFUSED(Parse(R"({"access_token":""})"), kInvalidArgument, "empty access token");
  EXPECT_REFUSED(Parse(fmt::format("{{\"access_token\":\"{}\"}}", std::string(8193, 'x'))),
                 kInvalidArgument, "8193 bytes");
  EXPECT_REFUSED(Parse(R"({"access_token":"hunter2","token_type":"mac"})"), kInvalidArgument,
                 "other than Bearer");
  EXPECT_TRUE(Parse(R"({"access_token":"hunter2","token_type":"BEARER"})").ok());
}

TEST(TokenError, IsTakenFromJson) {
  const TokenError error =
      ParseTokenError(R"({"error":"invalid_grant","error_description":"Token has been revoked."})");
  EXPECT_EQ(error.code, "invalid_grant");
  EXPECT_EQ(error.description, "Token has been revoked.");
  EXPECT_EQ(ParseTokenError("<html>").code, "");
  EXPECT_EQ(ParseTokenError(R"({"error":{"code":400}})").code, "");
  const std::string many(50'000, 'x');
  EXPECT_EQ(ParseTokenError("{\"error\":\"" + many + "\"}").code.size(),
            TokenError::kFieldBytesMax);
}

TEST(TokenText, IsATokenAloneOrJson) {
  const auto token = [](const std::string& text) {
    const auto grant = ParseTokenText(text, "token: command \"x\"");
    return grant.ok() ? std::string(grant->access_token.reveal()) : grant.status().ToString();
  };
  EXPECT_EQ(token("ya29.abc\r\n"), "ya29.abc");
  EXPECT_EQ(token("\n  {\n \"access_token\" : \"ya29.abc\"\n}\n\n"), "ya29.abc");
  EXPECT_REFUSED(ParseTokenText("hunter2 and more\n", "token: x"), kInvalidArgument, "token: x",
                 "a space");
  EXPECT_REFUSED(ParseTokenText("hunter2\nhunter2\n", "token: x"), kInvalidArgument,
                 "several lines");
  EXPECT_REFUSED(ParseTokenText("  \n", "token: x"), kInvalidArgument, "token: x");
  EXPECT_REFUSED(ParseTokenText("", "token: x"), kInvalidArgument, "is empty");
}

}  // namespace
}  // namespace volley::pipeline
