// The SASL mechanisms we can do, and the choice of one for a session.
//
// Channel binding (SCRAM-...-PLUS) is not among them. RFC 5802 §6: a client that does not support
// it MUST send the gs2 flag "n"; "y" is for one that could bind and thinks the server cannot, and
// would make a server that offers -PLUS refuse us. We send "n".
//
// Threading: functions without state. Errors: a choice without a mechanism says why, for people.
#ifndef VOLLEY_ENGINE_SASL_MECHANISM_H_
#define VOLLEY_ENGINE_SASL_MECHANISM_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/sasl/reply.h"

namespace volley::engine::sasl {

// Strongest first; a choice goes down this row. A token comes before a password because who
// configures both wants the password only where tokens are not taken.
enum class Mechanism : uint8_t {
  kOauthBearer,  // RFC 7628
  kXoauth2,      // developers.google.com/gmail/imap/xoauth2-protocol
  kScramSha256,  // RFC 7677
  kScramSha1,    // RFC 5802
  kCramMd5,      // RFC 2195
  kPlain,        // RFC 4616
  kLogin,        // draft-murchison-sasl-login-00
};
inline constexpr Mechanism kMechanisms[] = {
    Mechanism::kOauthBearer, Mechanism::kXoauth2, Mechanism::kScramSha256, Mechanism::kScramSha1,
    Mechanism::kCramMd5,     Mechanism::kPlain,   Mechanism::kLogin,
};

std::string_view MechanismName(Mechanism mechanism);  // "SCRAM-SHA-256"
// Case does not matter ("auth=plain").
std::optional<Mechanism> ParseMechanism(std::string_view name);

bool UsesToken(Mechanism mechanism);
// What goes over the line is the secret itself, or as good as it: only inside TLS (RFC 4954 §4, RFC
// 7628 §3 and RFC 8314 §3.3). SCRAM and CRAM-MD5 are not, but a listener can try passwords against
// what he heard (RFC 5802 §9).
bool NeedsTls(Mechanism mechanism);

struct MechanismQuery {
  std::span<const std::string> offered;  // of the last EHLO, upper case
  bool has_password = false;
  bool has_token = false;
  bool tls = false;               // the session is encrypted
  bool allow_insecure = false;    // auth_insecure=true: also NeedsTls() mechanisms without TLS
  std::optional<Mechanism> only;  // auth=
};

struct MechanismChoice {
  std::optional<Mechanism> mechanism;
  AuthFailure failure = AuthFailure::kNone;
  std::string why;  // without a mechanism: what was offered, what we could do, and why not
};

MechanismChoice ChooseMechanism(const MechanismQuery& query);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_MECHANISM_H_
