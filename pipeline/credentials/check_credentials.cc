#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "engine/sasl/client.h"
#include "fmt/format.h"
#include "pipeline/credentials/credentials.h"
#include "pipeline/credentials/http_client.h"
#include "pipeline/credentials/printable.h"
#include "pipeline/credentials/secret_source.h"

namespace volley::pipeline {
namespace {

absl::Status Wrong(std::string_view words) {
  return absl::InvalidArgumentError(std::string(words));
}

// SASL's messages are made of NUL and control bytes and these names.
absl::Status CheckName(std::string_view name, std::string_view key) {
  if (HasControl(name)) {
    return Wrong(fmt::format("{} has a line end or another control character: remove it", key));
  }
  if (name.size() > engine::sasl::SaslClient::kUserBytesMax) {
    return Wrong(fmt::format("{} has {} bytes: at most {} are possible", key, name.size(),
                             engine::sasl::SaslClient::kUserBytesMax));
  }
  return absl::OkStatus();
}

absl::Status CheckSources(const CredentialDefinition& definition) {
  absl::Status status = CheckSecretSource(definition.password, "password");
  status.Update(CheckSecretSource(definition.token, "token"));
  status.Update(CheckSecretSource(definition.oauth2.client_secret, "client_secret"));
  status.Update(CheckSecretSource(definition.oauth2.refresh_token, "refresh_token"));
  return status;
}

absl::Status CheckOauth2(const Oauth2Definition& oauth2) {
  if (oauth2 == Oauth2Definition{}) return absl::OkStatus();
  constexpr std::string_view kWhere = "[relay.oauth2]";
  if (oauth2.token_url.empty()) {
    return Wrong(fmt::format("{} needs token_url, the provider's token endpoint", kWhere));
  }
  if (oauth2.client_id.empty()) {
    return Wrong(
        fmt::format("{} needs client_id, from the provider's list of your applications", kWhere));
  }
  if (oauth2.refresh_token.empty()) {
    return Wrong(
        fmt::format("{} needs refresh_token_file, refresh_token_env, refresh_token_command or "
                    "refresh_token_credential",
                    kWhere));
  }
  if (HasControl(oauth2.client_id) || HasControl(oauth2.scope)) {
    return Wrong(
        fmt::format("client_id or scope in {} has a control character: remove it", kWhere));
  }
  return CheckTokenUrl(oauth2.token_url, "token_url");
}

// Who logs in, and with what: one without the other is a mistake.
absl::Status CheckPair(const CredentialDefinition& definition) {
  const bool has_oauth2 = !definition.oauth2.empty();
  const bool has_secret = !definition.password.empty() || !definition.token.empty() || has_oauth2;
  if (!definition.token.empty() && has_oauth2) {
    return Wrong("both a token and [relay.oauth2] are given: keep one of them");
  }
  if (has_secret && definition.user.empty()) {
    return Wrong("a password or token is given but no user: add user = \"...\" or --user");
  }
  if (!has_secret && !definition.user.empty()) {
    return Wrong(
        fmt::format("user {} has no password: add password_file, password_env, password_command or "
                    "password_credential, or for OAuth2 one of token_... or [relay.oauth2]",
                    Printable(definition.user, 100)));
  }
  if (!has_secret && !definition.authorization_id.empty()) {
    return Wrong("authorization_id is given but no user and password: add them, or leave it out");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCredentials(const CredentialDefinition& definition) {
  absl::Status status = CheckName(definition.user, "user");
  status.Update(CheckName(definition.authorization_id, "authorization_id"));
  status.Update(CheckSources(definition));
  status.Update(CheckOauth2(definition.oauth2));
  status.Update(CheckPair(definition));
  return status;
}

}  // namespace volley::pipeline
