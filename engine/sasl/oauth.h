// OAuth2 bearer tokens in SASL: the messages of OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's
// forerunner, developers.google.com/gmail/imap/xoauth2-protocol), and the JSON error both send in a
// challenge before they refuse.
//
// Threading: functions without state. Errors: InvalidArgument for what cannot stand in a message;
// JSON that cannot be read is an OauthError with nothing in it, because the refusal stands anyway.
#ifndef VOLLEY_ENGINE_SASL_OAUTH_H_
#define VOLLEY_ENGINE_SASL_OAUTH_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"

namespace volley::engine::sasl {

// The members of the JSON object that we use, cut to kFieldBytesMax and with everything but
// printable ASCII replaced by '?': they are for people.
struct OauthError {
  static constexpr size_t kFieldBytesMax = 200;

  std::string status;   // "invalid_token" (RFC 7628 §3.2.2); Google and Microsoft: "400", "401"
  std::string scope;    // that the token should have had
  std::string schemes;  // token types the server takes
  std::string hint;     // words, where a server has some: error_description or message

  // A new token of the same kind can help: not when the server says what else is wrong (RFC 6750
  // §3.1: insufficient_scope; a 403). No status at all says nothing against it.
  bool RenewalMayHelp() const;
  std::string Describe() const;  // "invalid_token, scope https://mail.example/"
};

// `json` is a decoded challenge, so at most 9216 bytes.
OauthError ParseOauthError(std::string_view json);

struct OauthMessage {
  std::string_view user;
  std::string_view host;  // empty: not told
  uint16_t port = 0;      // 0: not told
  std::string_view token;
};
[[nodiscard]] absl::StatusOr<Secret> OauthBearerMessage(const OauthMessage& message);
[[nodiscard]] absl::StatusOr<Secret> Xoauth2Message(const OauthMessage& message);

}  // namespace volley::engine::sasl

#endif  // VOLLEY_ENGINE_SASL_OAUTH_H_
