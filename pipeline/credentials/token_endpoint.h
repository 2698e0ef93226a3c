// The refresh flow (RFC 6749 §6): an access token for a refresh token.
//
// Threading: a function without state; blocks as the HttpClient does.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_TOKEN_ENDPOINT_H_
#define VOLLEY_PIPELINE_CREDENTIALS_TOKEN_ENDPOINT_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "pipeline/credentials/http_client.h"
#include "pipeline/credentials/stop_signal.h"
#include "pipeline/credentials/token_response.h"

namespace volley::pipeline {

struct RefreshRequest {
  std::string token_url;
  std::string client_id;
  std::string scope;               // may be empty
  std::string_view client_secret;  // may be empty
  std::string_view refresh_token;
};

// PermissionDenied: the endpoint said no, with its error, its words and what to do; Unavailable: no
// answer, or none that can be used; Cancelled. No error holds a byte of a secret, also when the
// endpoint repeats one.
absl::StatusOr<TokenGrant> RefreshAccessToken(const RefreshRequest& request, HttpClient* http,
                                              const StopSignal* stop);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_TOKEN_ENDPOINT_H_
