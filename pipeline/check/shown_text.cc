#include "pipeline/check/shown_text.h"

#include <algorithm>
#include <optional>

#include "engine/sasl/base64.h"
#include "engine/sasl/mechanism.h"
#include "pipeline/credentials/printable.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using engine::sasl::Mechanism;

// How much of a secret gives it away: servers cut what they repeat. Of base64 eight characters are
// six bytes, and nothing that is no login begins like it.
constexpr size_t kTokenEnough = 16;
constexpr size_t kBase64Enough = 8;
constexpr std::string_view kNotShown = "(the server's words repeat the login and are not shown)";

}  // namespace

void ShownText::HideBeginning(std::string_view secret, size_t enough) {
  if (!secret.empty()) hidden_.push_back(Secret::Concat({secret.substr(0, enough)}));
}

void ShownText::Hide(const engine::sasl::Credentials& credentials) {
  HideBeginning(credentials.password.reveal(), std::string_view::npos);
  HideBeginning(credentials.token.reveal(), kTokenEnough);
  HideBeginning(engine::sasl::EncodeBase64(credentials.password).reveal(), kBase64Enough);
  for (const Mechanism mechanism :
       {Mechanism::kPlain, Mechanism::kXoauth2, Mechanism::kOauthBearer}) {
    const bool has = engine::sasl::UsesToken(mechanism) ? !credentials.token.empty()
                                                        : !credentials.password.empty();
    if (!has) continue;
    auto client = engine::sasl::SaslClient::Make(mechanism, credentials, {});
    if (!client.ok()) continue;
    const std::optional<Secret> response = (*client)->InitialResponse();
    if (!response) continue;
    HideBeginning(engine::sasl::EncodeBase64(*response).reveal(), kBase64Enough);
  }
}

std::string ShownText::operator()(std::string_view text) const {
  const bool repeats = std::any_of(hidden_.begin(), hidden_.end(), [&](const Secret& secret) {
    return text.find(secret.reveal()) != std::string_view::npos;
  });
  if (repeats) return std::string(kNotShown);
  return Printable(text, kBytesMax);
}

}  // namespace volley::pipeline
