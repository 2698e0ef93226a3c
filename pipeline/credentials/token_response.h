// What a token endpoint answers (RFC 6749 §5.1, §5.2), read as what it is: bytes from a network.
//
// Threading: functions without state. Errors: none holds a byte of a token.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_TOKEN_RESPONSE_H_
#define VOLLEY_PIPELINE_CREDENTIALS_TOKEN_RESPONSE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"

namespace volley::pipeline {

struct TokenGrant {
  engine::Secret access_token;               // visible ASCII
  engine::Secret refresh_token;              // empty: the one that was used stays good
  std::optional<absl::Duration> expires_in;  // from now; nullopt: not said
};

// {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}. As they
// came, so hostile, but for their length; empty: not there.
struct TokenError {
  static constexpr size_t kFieldBytesMax = 1000;

  std::string code;
  std::string description;
};

// A year: longer lives are taken for that, so that times can be reckoned with.
inline constexpr absl::Duration kTokenLifeMax = absl::Hours(24 * 366);

// A successful answer. InvalidArgument, with `name` in front: no JSON object, no access token, a
// token that cannot be sent, a token type other than Bearer.
absl::StatusOr<TokenGrant> ParseTokenResponse(std::string_view json, std::string_view name);

// An answer that says no. Both fields are empty when it cannot be read.
TokenError ParseTokenError(std::string_view json);

// What a token command or file gives: the JSON object of ParseTokenResponse, or the token alone on
// one line.
absl::StatusOr<TokenGrant> ParseTokenText(std::string_view text, std::string_view name);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_TOKEN_RESPONSE_H_
