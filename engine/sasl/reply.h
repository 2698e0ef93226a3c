// What a server's refusal of AUTH means, and what a person can do about it. Providers say with the
// same three digits that the password is wrong, that this kind of password is not taken any more,
// and that the account has sent enough for today; only their enhanced codes and words tell which.
//
// RFC 5321 §4.2 has a client act on codes and not on words. Here the words choose between pieces of
// advice and between failures that all end the session; no mail is judged by them.
//
// Threading: functions without state. Errors: none; a reply that no rule knows is judged by its
// code.
#ifndef VOLLEY_ENGINE_SASL_REPLY_H_
#define VOLLEY_ENGINE_SASL_REPLY_H_

#include <cstdint>
#include <string_view>

namespace volley::engine::sasl {

enum class AuthFailure : uint8_t {
  kNone,
  kRejected,             // user name or password wrong
  kTemporary,            // the server cannot say now: try later with the same credentials
  kMechanismTooWeak,     // this mechanism is below the server's policy for the user
  kPasswordTransition,   // 432: log in once with PLAIN, then the mechanism works
  kEncryptionRequired,   // TLS first
  kAppPasswordRequired,  // the provider wants a password made for programs
  kOauthRequired,        // the provider takes no passwords (any more)
  kTokenExpired,         // the OAuth2 token is not taken: renew it once
  kAccountLimited,       // locked, disabled or over its quota
  kMechanismMissing,     // no mechanism that both sides can do
  kServerUnproven,       // the server did not prove that it knows the password (SCRAM)
  kProtocolError,        // nonsense in the exchange
};

// Parts of a final reply to AUTH (not 235 and not 334), or of a 530 to another command.
struct AuthReply {
  uint16_t code = 0;
  uint8_t enhanced_class = 0;  // 0: it had no enhanced code
  uint16_t enhanced_subject = 0;
  uint16_t enhanced_detail = 0;
  std::string_view text;
  bool with_token = false;  // it answers XOAUTH2 or OAUTHBEARER
};

AuthFailure ClassifyAuthReply(const AuthReply& reply);
// Whether a 530 asks for AUTH (RFC 4954 §6); the same code asks for STARTTLS (RFC 3207 §4).
bool AsksForAuth(const AuthReply& reply);

// The same credentials may work later: nothing for a person to repair.
bool IsTemporary(AuthFailure failure);
// A fixed word for scripts: "auth_rejected". kNone: "".
std::string_view DiagnosisId(AuthFailure failure);
// One or two sentences for people: what to try. kNone: "".
std::string_view Advice(AuthFailure failure);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_REPLY_H_
