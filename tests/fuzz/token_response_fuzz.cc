// A token endpoint, or a token command, that says anything. Whatever comes: no crash, a token only
// of what can be sent, a life within bounds, and in no error a part of what was said but a token
// type's few printable bytes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/http_client.h"
#include "pipeline/credentials/printable.h"
#include "pipeline/credentials/token_endpoint.h"
#include "pipeline/credentials/token_response.h"

namespace {

using namespace volley::pipeline;  // the whole file is about it
using volley::engine::Secret;

void Check(bool condition) {
  if (!condition) std::abort();
}

constexpr std::string_view kRefreshToken = "1//hunter2-refresh";

void CheckWords(const absl::Status& status) {
  const std::string words(status.message());
  Check(words.size() < 1000);
  for (const char c : words) Check(c >= 0x20 && c < 0x7f);
  Check(words.find(kRefreshToken) == words.npos);
}

void CheckGrant(const absl::StatusOr<TokenGrant>& grant) {
  if (!grant.ok()) return CheckWords(grant.status());
  Check(!grant->access_token.empty() && grant->access_token.size() <= Secret::kBytesMax);
  Check(IsVisibleAscii(grant->access_token.reveal()));
  Check(grant->refresh_token.size() <= Secret::kBytesMax);
  if (!grant->expires_in) return;
  Check(*grant->expires_in >= absl::ZeroDuration() && *grant->expires_in <= kTokenLifeMax);
}

class FuzzedEndpoint final : public HttpClient {
 public:
  FuzzedEndpoint(int status, std::string_view body) : status_(status), body_(body) {}
  absl::StatusOr<HttpReply> PostForm(const std::string&, const Secret&,
                                     const StopSignal*) override {
    return HttpReply{.status = status_, .body = Secret::Concat({body_})};
  }

 private:
  const int status_;
  const std::string_view body_;
};

}  // namespace

// The first byte chooses the HTTP status.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 70 * 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);  // exact
  CheckGrant(ParseTokenResponse(text, "answer"));
  CheckGrant(ParseTokenText(text, "command"));
  const TokenError error = ParseTokenError(text);
  Check(error.code.size() <= TokenError::kFieldBytesMax);
  constexpr int kStatuses[] = {200, 400, 401, 302, 503};
  FuzzedEndpoint endpoint(kStatuses[data[0] % 5], text);
  CheckGrant(RefreshAccessToken({.token_url = "https://login.example/token",
                                 .client_id = "client",
                                 .scope = "",
                                 .client_secret = "hunter2-client",
                                 .refresh_token = kRefreshToken},
                                &endpoint, nullptr));
  return 0;
}
