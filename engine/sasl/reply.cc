#include "engine/sasl/reply.h"

#include <algorithm>
#include <array>

namespace volley::engine::sasl {
namespace {

constexpr uint16_t kAny = 0xffff;

// The first rule that fits decides. A rule fits when its code (kAny: all) and its enhanced detail
// under x.7 (kAny: all, also none) are the reply's, and its words (lower case) occur in the text.
struct Rule {
  uint16_t code;
  uint16_t detail_of_7;
  std::string_view words;
  AuthFailure failure;
};

constexpr Rule kRules[] = {
    // --- What providers say in their own way ---
    // Gmail, support.google.com/a/answer/3726730 "SMTP errors and codes": 534 5.7.9
    // "Application-specific password required", of accounts with 2-Step Verification. RFC 4954 §6
    // gives the code another meaning, so the words go first.
    {kAny, kAny, "application-specific password", AuthFailure::kAppPasswordRequired},
    {kAny, kAny, "app-specific password", AuthFailure::kAppPasswordRequired},  // iCloud
    {kAny, kAny, "app specific password", AuthFailure::kAppPasswordRequired},
    {kAny, kAny, "application specific password", AuthFailure::kAppPasswordRequired},
    {kAny, kAny, "app password", AuthFailure::kAppPasswordRequired},
    {kAny, kAny, "invalidsecondfactor", AuthFailure::kAppPasswordRequired},  // Gmail's help link
    // Yahoo: "535 5.7.0 (#AUTH005) Too many bad auth attempts." is what it answers to the account's
    // own password, at the first attempt too (nodemailer #1112, maildroid #17: an app password
    // was the cure).
    {535, kAny, "#auth005", AuthFailure::kAppPasswordRequired},
    // Microsoft: learn.microsoft.com "Authenticated client SMTP submission" and the basic
    // authentication retirement. 535 5.7.139 "Authentication unsuccessful, ..." with one of: "the
    // user credentials were incorrect", "SmtpClientAuthentication is disabled for the Tenant" (or
    // "Mailbox"), "user is locked by your organization's security defaults policy", "basic
    // authentication is disabled", "the request did not meet the criteria to be authenticated".
    {535, 139, "credentials were incorrect", AuthFailure::kRejected},
    {kAny, kAny, "smtpclientauthentication is disabled", AuthFailure::kOauthRequired},
    {kAny, kAny, "security defaults policy", AuthFailure::kOauthRequired},
    {kAny, kAny, "basic authentication is disabled", AuthFailure::kOauthRequired},
    {550, 30, "basic authentication is not supported", AuthFailure::kOauthRequired},
    {535, 139, "", AuthFailure::kOauthRequired},
    // Gmail: 534 5.7.14 "Please log in via your web browser and then try again": a suspected abuse
    // lock. 454 4.7.0 "Too many login attempts, please try again later": temporary by its code.
    {534, 14, "", AuthFailure::kAccountLimited},
    {kAny, kAny, "log in via your web browser", AuthFailure::kAccountLimited},
    {454, kAny, "too many login attempts", AuthFailure::kTemporary},
    // Gmail: 550 5.4.5 "Daily user sending limit exceeded", there also as 535. SendGrid: "451
    // Authentication failed: Maximum credits exceeded" (mautic #8721): waiting minutes does not
    // help.
    {kAny, kAny, "sending limit exceeded", AuthFailure::kAccountLimited},
    {kAny, kAny, "sending quota exceeded", AuthFailure::kAccountLimited},
    {kAny, kAny, "credits exceeded", AuthFailure::kAccountLimited},
    {kAny, kAny, "exceeded your messaging limits", AuthFailure::kAccountLimited},
    {kAny, kAny, "account is disabled", AuthFailure::kAccountLimited},
    {kAny, kAny, "account disabled", AuthFailure::kAccountLimited},
    {kAny, kAny, "account is locked", AuthFailure::kAccountLimited},
    {kAny, kAny, "account suspended", AuthFailure::kAccountLimited},
    {kAny, kAny, "account has been suspended", AuthFailure::kAccountLimited},
    // RFC 3207 §4: "530 Must issue a STARTTLS command first". Postfix (smtpd_tls_auth_only), Exim
    // and others answer AUTH with it, or with 503 or 538 and the like words.
    {kAny, kAny, "starttls", AuthFailure::kEncryptionRequired},
    {kAny, kAny, "encryption required", AuthFailure::kEncryptionRequired},
    {kAny, 11, "", AuthFailure::kEncryptionRequired},

    // --- RFC 4954 §6 ---
    {432, kAny, "", AuthFailure::kPasswordTransition},
    {454, kAny, "", AuthFailure::kTemporary},
    {534, kAny, "", AuthFailure::kMechanismTooWeak},
    {535, kAny, "", AuthFailure::kRejected},
    {538, kAny, "", AuthFailure::kEncryptionRequired},
    {530, kAny, "", AuthFailure::kEncryptionRequired},  // to AUTH itself it can mean nothing else
    // RFC 4954 §4: 504 "mechanism not supported"; 500 also for a response line that is too long,
    // and
    // with 502 for a server that does not know AUTH. 501: our base64 or our cancelling.
    {500, kAny, "", AuthFailure::kMechanismMissing},
    {502, kAny, "", AuthFailure::kMechanismMissing},
    {504, kAny, "", AuthFailure::kMechanismMissing},
    {501, kAny, "", AuthFailure::kProtocolError},
    {503, kAny, "", AuthFailure::kProtocolError},
    // Enhanced codes with a code of their own: 5.7.8 is about the credentials whatever stands
    // before
    // it (550 5.7.8 and 554 5.7.8 exist).
    {kAny, 8, "", AuthFailure::kRejected},
    {kAny, 9, "", AuthFailure::kMechanismTooWeak},
    {kAny, 12, "", AuthFailure::kPasswordTransition},
};

// The text searched; longer ones are cut. Replies are kilobytes at most, so this bounds a hostile
// one.
constexpr size_t kTextBytesMax = 2048;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// `words` is lower case.
bool Contains(std::string_view text, std::string_view words) {
  text = text.substr(0, kTextBytesMax);
  return std::search(text.begin(), text.end(), words.begin(), words.end(),
                     [](char a, char b) { return Lower(a) == b; }) != text.end() ||
         words.empty();
}

bool Fits(const Rule& rule, const AuthReply& reply) {
  if (rule.code != kAny && rule.code != reply.code) return false;
  if (rule.detail_of_7 != kAny && (reply.enhanced_class == 0 || reply.enhanced_subject != 7 ||
                                   reply.enhanced_detail != rule.detail_of_7)) {
    return false;
  }
  return Contains(reply.text, rule.words);
}

AuthFailure ByFirstDigit(uint16_t code) {
  if (code >= 400 && code < 500) return AuthFailure::kTemporary;
  return code >= 500 && code < 600 ? AuthFailure::kRejected : AuthFailure::kProtocolError;
}

// What is kept for each failure.
struct Words {
  AuthFailure failure;
  std::string_view id;
  std::string_view advice;
};

constexpr Words kWords[] = {
    {AuthFailure::kNone, "", ""},
    {AuthFailure::kRejected, "auth_rejected",
     "User name or password is wrong. Many providers want the whole mail address as user name; "
     "Gmail, Yahoo and iCloud take no account password here but an app password or OAuth2."},
    {AuthFailure::kTemporary, "auth_temporary",
     "The server cannot check logins now. Nothing is wrong with the credentials as far as it said; "
     "try again later and open fewer connections at once."},
    {AuthFailure::kMechanismTooWeak, "auth_mechanism_too_weak",
     "The server wants a stronger mechanism for this user. Choose another with auth=, for instance "
     "auth=scram-sha-256, or use OAuth2."},
    {AuthFailure::kPasswordTransition, "auth_password_transition",
     "The server does not have the password in the form this mechanism needs. Log in once with "
     "auth=plain over TLS; after that the mechanism works."},
    {AuthFailure::kEncryptionRequired, "auth_encryption_required",
     "Logging in needs TLS. Use smtps:// (port 465) or smtp://...?tls=required (port 587)."},
    {AuthFailure::kAppPasswordRequired, "app_password_required",
     "The provider does not take the account's own password from programs. Make an app password "
     "in the account's security settings (two-step verification must be on), or use OAuth2."},
    {AuthFailure::kOauthRequired, "oauth_required",
     "The provider takes no passwords for SMTP, or not for this account. Use OAuth2 "
     "(auth=xoauth2), or have the administrator allow authenticated SMTP for the mailbox."},
    {AuthFailure::kTokenExpired, "token_expired",
     "The OAuth2 token is expired, revoked or made for something else. Get a new one with the "
     "provider's scope for SMTP (Google: https://mail.google.com/, Microsoft: SMTP.Send)."},
    {AuthFailure::kAccountLimited, "limit_reached",
     "The account is locked, disabled or has used up its quota. Log in with a web browser to see "
     "why, and wait or raise the limit; trying again at once makes it worse."},
    {AuthFailure::kMechanismMissing, "auth_mechanism_missing",
     "The server and volley have no login mechanism in common with these credentials. Check host "
     "and port (submission is 587 or 465, not 25), TLS, and auth=."},
    {AuthFailure::kServerUnproven, "auth_server_unproven",
     "The server said yes without proving that it knows the password. It may not be the server it "
     "says it is: check the host name and its certificate before trying again."},
    {AuthFailure::kProtocolError, "protocol_error",
     "The server's side of the login is not as the standard has it. Try another mechanism with "
     "auth=, and check that the port is a mail server's."},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kWords); ++i) {
    if (static_cast<size_t>(kWords[i].failure) != i) return false;
  }
  return std::size(kWords) == static_cast<size_t>(AuthFailure::kProtocolError) + 1;
}
static_assert(InOrder(), "one entry for each failure, in the enumeration's order");

}  // namespace

AuthFailure ClassifyAuthReply(const AuthReply& reply) {
  const auto rule = std::find_if(std::begin(kRules), std::end(kRules),
                                 [&](const Rule& r) { return Fits(r, reply); });
  const AuthFailure failure = rule == std::end(kRules) ? ByFirstDigit(reply.code) : rule->failure;
  // "Wrong password" said of a token: there is no telling expired from wrong (Microsoft says 535
  // 5.7.3 to both), and renewing it once costs little.
  if (reply.with_token && failure == AuthFailure::kRejected) return AuthFailure::kTokenExpired;
  return failure;
}

bool AsksForAuth(const AuthReply& reply) {
  return reply.code == 530 && !Contains(reply.text, "tls");
}

bool IsTemporary(AuthFailure failure) {
  return failure == AuthFailure::kTemporary || failure == AuthFailure::kPasswordTransition;
}

std::string_view DiagnosisId(AuthFailure failure) {
  return kWords[static_cast<size_t>(failure)].id;
}

std::string_view Advice(AuthFailure failure) { return kWords[static_cast<size_t>(failure)].advice; }

}  // namespace volley::engine::sasl
