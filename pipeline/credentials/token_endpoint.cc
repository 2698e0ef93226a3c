#include "pipeline/credentials/token_endpoint.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "engine/base/secret.h"
#include "fmt/format.h"
#include "pipeline/credentials/printable.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

constexpr size_t kCodeShownMax = 60;
constexpr size_t kDescriptionShownMax =
    300;  // Microsoft's have trace ids behind the first sentence
// So many bytes of a secret in a text are taken for a part of it: chance makes no such match.
constexpr size_t kTellingBytes = 12;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '*';
}

// application/x-www-form-urlencoded (RFC 6749 Appendix B), in memory of exactly that size.
Secret FormEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  size_t size = 0;
  for (const char c : text) size += IsPlain(c) || c == ' ' ? 1 : 3;
  Secret encoded = Secret::Sized(size);
  char* out = encoded.bytes();
  for (const char c : text) {
    if (IsPlain(c) || c == ' ') {
      *out++ = c == ' ' ? '+' : c;
      continue;
    }
    *out++ = '%';
    *out++ = kHex[static_cast<unsigned char>(c) >> 4];
    *out++ = kHex[static_cast<unsigned char>(c) & 15];
  }
  return encoded;
}

// The client's secret goes into the form (client_secret_post) and not into a Basic header, which
// RFC 6749 §2.3.1 prefers: Google and Microsoft document the form for refreshing, and servers
// differ in whether id and secret are form-encoded before Basic's base64.
Secret RequestForm(const RefreshRequest& request) {
  const auto field = [](std::string_view name, std::string_view value) {
    return value.empty() ? Secret() : Secret::Concat({name, FormEncode(value).reveal()});
  };
  return Secret::Concat({"grant_type=refresh_token",
                         field("&refresh_token=", request.refresh_token).reveal(),
                         field("&client_id=", request.client_id).reveal(),
                         field("&client_secret=", request.client_secret).reveal(),
                         field("&scope=", request.scope).reveal()});
}

// Whether `text` holds so much of `secret` that it must not be shown: endpoints quote what they did
// not like, and cut it.
bool Tells(std::string_view text, std::string_view secret) {
  if (secret.empty()) return false;
  const size_t enough = std::min(secret.size(), kTellingBytes);
  for (size_t i = 0; i + enough <= text.size(); ++i) {
    if (secret.find(text.substr(i, enough)) != secret.npos) return true;
  }
  return false;
}

bool TellsSecret(const RefreshRequest& request, std::string_view text) {
  for (const std::string_view secret : {request.refresh_token, request.client_secret}) {
    if (Tells(text, secret) || Tells(text, FormEncode(secret).reveal())) return true;
  }
  return false;
}

std::string_view Advice(std::string_view code) {
  struct Known {
    std::string_view code, advice;
  };
  // RFC 6749 §5.2, and what Microsoft adds.
  static constexpr Known kKnown[] = {
      {"invalid_grant", "the refresh token has been revoked or has expired: make a new one"},
      {"interaction_required", "somebody must sign in again: make a new refresh token"},
      {"consent_required", "somebody must consent again: make a new refresh token"},
      {"invalid_client", "client_id or client_secret is wrong, or the client secret has expired"},
      {"unauthorized_client",
       "the registered application may not use refresh tokens: allow it "
       "there, or register it anew"},
      {"unsupported_grant_type", "token_url does not refresh tokens: is it the token endpoint?"},
      {"invalid_scope", "correct scope, or leave it out to get the scope of the refresh token"},
      {"invalid_request", "check token_url and client_id, and whether a client_secret is needed"},
  };
  for (const Known& known : kKnown) {
    if (known.code == code) return known.advice;
  }
  return "see what the provider says of it";
}

bool MayPass(int status, std::string_view code) {
  return status >= 500 || status == 429 || status == 408 || code == "temporarily_unavailable" ||
         code == "server_error" || code == "slow_down";
}

absl::Status RefusedBy(const RefreshRequest& request, const HttpReply& reply,
                       std::string_view name) {
  const TokenError error = ParseTokenError(reply.body.reveal());
  const bool passes = MayPass(reply.status, error.code);
  std::string words;
  if (error.code.empty()) {
    words =
        fmt::format("{} answered with HTTP status {}: {}", name, reply.status,
                    passes                                      ? "try again later"
                    : reply.status >= 300 && reply.status < 400 ? "token_url must be the address "
                                                                  "that this redirects to"
                                                                : "is it the right token_url?");
  } else if (TellsSecret(request, error.code) || TellsSecret(request, error.description)) {
    words = fmt::format("{} says no (HTTP status {}); its words repeat a secret and are not shown",
                        name, reply.status);
  } else {
    words = fmt::format("{} says {}", name, Printable(error.code, kCodeShownMax));
    if (!error.description.empty()) {
      words += fmt::format(" ({})", Printable(error.description, kDescriptionShownMax));
    }
    words += fmt::format(": {}", passes ? "try again later" : Advice(error.code));
  }
  return passes ? absl::UnavailableError(words) : absl::PermissionDeniedError(words);
}

absl::Status InFront(std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", name, std::string(status.message())));
}

}  // namespace

absl::StatusOr<TokenGrant> RefreshAccessToken(const RefreshRequest& request, HttpClient* http,
                                              const StopSignal* stop) {
  const std::string name = fmt::format("token endpoint {}", Printable(request.token_url, 200));
  const Secret form = RequestForm(request);
  absl::StatusOr<HttpReply> reply = http->PostForm(request.token_url, form, stop);
  if (!reply.ok()) return InFront(name, reply.status());
  // Some endpoints say no with status 200.
  const bool says_no = reply->status != 200 || !ParseTokenError(reply->body.reveal()).code.empty();
  if (says_no) return RefusedBy(request, *reply, name);
  absl::StatusOr<TokenGrant> grant =
      ParseTokenResponse(reply->body.reveal(), fmt::format("{}: its answer", name));
  // Not ours to correct: it may be better the next time.
  if (!grant.ok()) return absl::UnavailableError(grant.status().message());
  return grant;
}

}  // namespace volley::pipeline
