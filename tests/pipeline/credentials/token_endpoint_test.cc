#include "pipeline/credentials/token_endpoint.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/pipeline/credentials/fake_http_client.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using volley::testing::FakeHttpClient;
using volley::testing::ReplyOf;
using volley::testing::WordsOf;
using enum absl::StatusCode;

RefreshRequest Request() {
  return {.token_url = "https://login.example/token",
          .client_id = "client 1",
          .scope = "https://mail.example/ offline",
          .client_secret = "hunter2&secret",
          .refresh_token = "1//hunter2-refresh+token"};
}

absl::StatusOr<TokenGrant> Ask(absl::StatusOr<HttpReply> reply) {
  FakeHttpClient http([&](int, const std::string&) { return std::move(reply); });
  return RefreshAccessToken(Request(), &http, nullptr);
}

absl::StatusOr<TokenGrant> AskError(int status, const std::string& code,
                                    const std::string& description = "") {
  return Ask(ReplyOf(
      status, fmt::format(R"({{"error":"{}","error_description":"{}"}})", code, description)));
}

TEST(TokenEndpoint, IsAskedWithAForm) {
  FakeHttpClient http([](int, const std::string&) {
    return ReplyOf(200, R"({"access_token":"t","token_type":"Bearer","expires_in":3599})");
  });
  const auto grant = RefreshAccessToken(Request(), &http, nullptr);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->access_token.reveal(), "t");
  EXPECT_EQ(grant->expires_in, absl::Seconds(3599));
  EXPECT_THAT(http.forms(), ::testing::ElementsAre("grant_type=refresh_token"
                                                   "&refresh_token=1%2F%2Fhunter2-refresh%2Btoken"
                                                   "&client_id=client+1"
                                                   "&client_secret=hunter2%26secret"
                                                   "&scope=https%3A%2F%2Fmail.example%2F+offline"));
}

TEST(TokenEndpoint, IsNotToldWhatThereIsNot) {
  FakeHttpClient http(
      [](int, const std::string&) { return ReplyOf(200, R"({"access_token":"t"})"); });
  RefreshRequest request = Request();
  request.scope.clear();
  request.client_secret = {};
  ASSERT_TRUE(RefreshAccessToken(request, &http, nullptr).ok());
  EXPECT_THAT(http.forms(), ::testing::ElementsAre("grant_type=refresh_token"
                                                   "&refresh_token=1%2F%2Fhunter2-refresh%2Btoken"
                                                   "&client_id=client+1"));
}

TEST(TokenEndpoint, ErrorsSayWhatToDoNext) {
  EXPECT_REFUSED(AskError(400, "invalid_grant", "Token has been expired or revoked."),
                 kPermissionDenied, "token endpoint https://login.example/token", "invalid_grant",
                 "(Token has been expired or revoked.)", "make a new one");
  EXPECT_REFUSED(AskError(401, "invalid_client"), kPermissionDenied, "invalid_client",
                 "client_secret is wrong");
  EXPECT_REFUSED(AskError(400, "unauthorized_client"), kPermissionDenied, "registered application");
  EXPECT_REFUSED(AskError(400, "invalid_scope"), kPermissionDenied, "correct scope");
  EXPECT_REFUSED(AskError(400, "unsupported_grant_type"), kPermissionDenied, "token endpoint?");
  EXPECT_REFUSED(AskError(400, "interaction_required"), kPermissionDenied, "sign in again");
  EXPECT_REFUSED(AskError(400, "something_new"), kPermissionDenied, "something_new", "provider");
  EXPECT_REFUSED(AskError(200, "invalid_grant"), kPermissionDenied, "invalid_grant");  // seen so
}

TEST(TokenEndpoint, WhatMayPassIsUnavailable) {
  EXPECT_REFUSED(AskError(503, "temporarily_unavailable"), kUnavailable, "try again later");
  EXPECT_REFUSED(AskError(400, "temporarily_unavailable"), kUnavailable, "try again later");
  EXPECT_REFUSED(Ask(ReplyOf(502, "<html>Bad gateway</html>")), kUnavailable, "HTTP status 502");
  EXPECT_REFUSED(Ask(ReplyOf(429, "")), kUnavailable, "HTTP status 429", "try again later");
  EXPECT_REFUSED(Ask(absl::UnavailableError("no answer: refused")), kUnavailable,
                 "token endpoint https://login.example/token: no answer: refused");
}

TEST(TokenEndpoint, OtherAnswersAreNamedByTheirStatus) {
  EXPECT_REFUSED(Ask(ReplyOf(404, "not here")), kPermissionDenied, "HTTP status 404",
                 "right token_url?");
  EXPECT_REFUSED(Ask(ReplyOf(302, "")), kPermissionDenied, "HTTP status 302", "redirects");
  EXPECT_REFUSED(Ask(ReplyOf(200, "<html>hunter2")), kUnavailable,
                 "its answer is not a JSON object");
  EXPECT_REFUSED(Ask(ReplyOf(200, R"({"access_token":"hunter2)")), kUnavailable,
                 "not a JSON object");
  EXPECT_REFUSED(Ask(ReplyOf(200, R"({"token":"hunter2"})")), kUnavailable, "access_token");
}

TEST(TokenEndpoint, ItsWordsAreMadePrintableAndCut) {
  const absl::Status status =
      AskError(400, "bad\\u001b[31m", "line\\r\\nX-Injected: yes" + std::string(5000, 'y'))
          .status();
  for (const char c : WordsOf(status)) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
  EXPECT_THAT(WordsOf(status), HasSubstr("bad?[31m (line??X-Injected: yes"));
  EXPECT_LT(WordsOf(status).size(), 600u);
}

TEST(TokenEndpoint, SecretsItRepeatsAreNotShown) {
  // Whole, cut, form-encoded, in the code's place.
  for (const char* words :
       {"bad token 1//hunter2-refresh+token", "bad token 1//hunter2-refr...",
        "secret hunter2&secret?", "got 1%2F%2Fhunter2-refresh%2Btoken", "hunter2%26secret"}) {
    EXPECT_REFUSED(AskError(400, "invalid_grant", words), kPermissionDenied, "are not shown",
                   "HTTP status 400");
    EXPECT_REFUSED(AskError(400, words), kPermissionDenied, "are not shown");
  }
}

TEST(TokenEndpoint, EarlyEndIsPassedOn) {
  EXPECT_EQ(Ask(absl::CancelledError("ended")).status().code(), kCancelled);
}

}  // namespace
}  // namespace volley::pipeline
