#include "engine/sasl/reply.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

struct Case {
  uint16_t code;
  uint8_t klass;
  uint16_t subject, detail;
  const char* text;
  AuthFailure failure;
};

// As servers say it.
constexpr Case kCases[] = {
    // RFC 4954 §6, and the same without enhanced codes.
    {432, 4, 7, 12, "A password transition is needed", AuthFailure::kPasswordTransition},
    {432, 0, 0, 0, "", AuthFailure::kPasswordTransition},
    {454, 4, 7, 0, "Temporary authentication failure", AuthFailure::kTemporary},
    {534, 5, 7, 9, "Authentication mechanism is too weak", AuthFailure::kMechanismTooWeak},
    {535, 5, 7, 8, "Error: authentication failed: UGFzc3dvcmQ6",
     AuthFailure::kRejected},                                                 // Postfix
    {535, 0, 0, 0, "Incorrect authentication data", AuthFailure::kRejected},  // Exim
    {535, 0, 0, 0, "Authentication failed", AuthFailure::kRejected},          // OpenSMTPD, Mailgun
    {535, 0, 0, 0, "Authentication Credentials Invalid", AuthFailure::kRejected},  // SES
    {538, 5, 7, 11, "Encryption required for requested authentication mechanism",
     AuthFailure::kEncryptionRequired},
    {538, 0, 0, 0, "", AuthFailure::kEncryptionRequired},
    {530, 5, 7, 0, "Must issue a STARTTLS command first", AuthFailure::kEncryptionRequired},
    {503, 5, 5, 1, "Must issue a STARTTLS command first", AuthFailure::kEncryptionRequired},
    {504, 5, 5, 4, "Unrecognized authentication type", AuthFailure::kMechanismMissing},
    {504, 5, 7, 4, "Unrecognized authentication type", AuthFailure::kMechanismMissing},  // Exchange
    {502, 5, 5, 1, "Error: command not implemented", AuthFailure::kMechanismMissing},
    {500, 5, 5, 6, "Authentication Exchange line is too long", AuthFailure::kMechanismMissing},
    {501, 5, 5, 2, "cannot decode response", AuthFailure::kProtocolError},
    {503, 5, 5, 1, "Error: already authenticated", AuthFailure::kProtocolError},
    // Gmail.
    {534, 5, 7, 9,
     "Application-specific password required. For more information, go to "
     "https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
     AuthFailure::kAppPasswordRequired},
    {534, 5, 7, 14,
     "<https://accounts.google.com/signin/continue?...> Please log in via your web "
     "browser and then try again.",
     AuthFailure::kAccountLimited},
    {535, 5, 7, 8,
     "Username and Password not accepted. For more information, go to "
     "https://support.google.com/mail/?p=BadCredentials x - gsmtp",
     AuthFailure::kRejected},
    {454, 4, 7, 0, "Too many login attempts, please try again later.", AuthFailure::kTemporary},
    {550, 5, 4, 5, "Daily user sending limit exceeded.", AuthFailure::kAccountLimited},
    {535, 5, 4, 5, "Daily user sending quota exceeded.", AuthFailure::kAccountLimited},
    // Microsoft.
    {535, 5, 7, 3, "Authentication unsuccessful [AM0PR.EURPRD.PROD.OUTLOOK.COM]",
     AuthFailure::kRejected},
    {535, 5, 7, 139, "Authentication unsuccessful, the user credentials were incorrect.",
     AuthFailure::kRejected},
    {535, 5, 7, 139,
     "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
     AuthFailure::kOauthRequired},
    {535, 5, 7, 139,
     "Authentication unsuccessful, user is locked by your organization's security defaults policy.",
     AuthFailure::kOauthRequired},
    {535, 5, 7, 139, "Authentication unsuccessful, basic authentication is disabled.",
     AuthFailure::kOauthRequired},
    {535, 5, 7, 139,
     "Authentication unsuccessful, the request did not meet the criteria to be authenticated "
     "successfully.",
     AuthFailure::kOauthRequired},
    {550, 5, 7, 30, "Basic authentication is not supported for Client Submission.",
     AuthFailure::kOauthRequired},
    // Yahoo, iCloud, SendGrid.
    {535, 5, 7, 0, "(#AUTH005) Too many bad auth attempts.", AuthFailure::kAppPasswordRequired},
    {535, 5, 7, 8, "Error: app-specific password required", AuthFailure::kAppPasswordRequired},
    {451, 0, 0, 0, "Authentication failed: Maximum credits exceeded", AuthFailure::kAccountLimited},
    {535, 0, 0, 0, "Authentication failed: Bad username / password", AuthFailure::kRejected},
    {535, 5, 7, 0, "Your account is disabled", AuthFailure::kAccountLimited},
    // What no rule knows.
    {421, 4, 3, 0, "try later", AuthFailure::kTemporary},
    {550, 5, 7, 1, "Access denied", AuthFailure::kRejected},
    {554, 5, 7, 8, "Credentials", AuthFailure::kRejected},
    {250, 0, 0, 0, "ok", AuthFailure::kProtocolError},
};

AuthReply Reply(const Case& c) {
  return {.code = c.code,
          .enhanced_class = c.klass,
          .enhanced_subject = c.subject,
          .enhanced_detail = c.detail,
          .text = c.text,
          .with_token = false};
}

TEST(AuthReplyTest, IsUnderstoodAsServersSayIt) {
  for (const Case& c : kCases) {
    EXPECT_EQ(DiagnosisId(ClassifyAuthReply(Reply(c))), DiagnosisId(c.failure))
        << c.code << " " << c.text;
  }
}

TEST(AuthReplyTest, ARefusedTokenIsExpiredAndNothingElseIs) {
  AuthReply reply{.code = 535, .text = "Authentication unsuccessful", .with_token = true};
  EXPECT_EQ(ClassifyAuthReply(reply), AuthFailure::kTokenExpired);
  reply.code = 454;
  EXPECT_EQ(ClassifyAuthReply(reply), AuthFailure::kTemporary);
  reply.code = 504;
  EXPECT_EQ(ClassifyAuthReply(reply), AuthFailure::kMechanismMissing);
}

TEST(AuthReplyTest, WordsFarBehindAreNotRead) {
  const std::string text = std::string(4000, 'x') + "application-specific password";
  EXPECT_EQ(ClassifyAuthReply({.code = 535, .text = text}), AuthFailure::kRejected);
}

TEST(AuthReplyTest, A530AsksForAuthUnlessItAsksForTls) {
  EXPECT_TRUE(AsksForAuth({.code = 530, .text = "Authentication required"}));
  EXPECT_TRUE(AsksForAuth({.code = 530, .text = ""}));
  EXPECT_FALSE(AsksForAuth({.code = 530, .text = "Must issue a STARTTLS command first"}));
  EXPECT_FALSE(AsksForAuth({.code = 530, .text = "TLS required"}));
  EXPECT_FALSE(AsksForAuth({.code = 550, .text = "Authentication required"}));
}

TEST(AuthFailureTest, HasAnIdAndAdviceForEach) {
  std::set<std::string_view> ids;
  for (int i = 0; i <= static_cast<int>(AuthFailure::kProtocolError); ++i) {
    const auto failure = static_cast<AuthFailure>(i);
    EXPECT_TRUE(ids.insert(DiagnosisId(failure)).second) << DiagnosisId(failure);
    EXPECT_EQ(Advice(failure).empty(), failure == AuthFailure::kNone);
    EXPECT_EQ(DiagnosisId(failure).empty(), failure == AuthFailure::kNone);
  }
  // Stable: scripts and docs name them.
  EXPECT_TRUE(ids.contains("auth_rejected"));
  EXPECT_TRUE(ids.contains("auth_mechanism_missing"));
  EXPECT_TRUE(ids.contains("token_expired"));
  EXPECT_TRUE(ids.contains("limit_reached"));
  EXPECT_TRUE(ids.contains("protocol_error"));
}

TEST(AuthFailureTest, OnlyTheServersOwnTroubleIsTemporary) {
  for (int i = 0; i <= static_cast<int>(AuthFailure::kProtocolError); ++i) {
    const auto failure = static_cast<AuthFailure>(i);
    EXPECT_EQ(IsTemporary(failure),
              failure == AuthFailure::kTemporary || failure == AuthFailure::kPasswordTransition);
  }
}

}  // namespace
}  // namespace volley::engine::sasl
