#include "engine/sasl/oauth.h"

#include <algorithm>

#include "engine/sasl/saslname.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace volley::engine::sasl {
namespace {

constexpr std::string_view kSeparator = "\x01";

// RFC 6750 §2.1 allows less; providers' tokens are opaque, so only what would break out of the
// message is refused.
bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

absl::Status Check(const OauthMessage& message) {
  if (message.token.empty()) return absl::InvalidArgumentError("the OAuth2 token is empty");
  if (!IsVisibleAscii(message.token)) {
    return absl::InvalidArgumentError(
        "the OAuth2 token has a space, a line end or another character that cannot be sent");
  }
  if (HasControl(message.user)) {
    return absl::InvalidArgumentError("the user name has a control character");
  }
  if (!IsVisibleAscii(message.host)) {
    return absl::InvalidArgumentError("the server's name has a character that cannot be sent");
  }
  return absl::OkStatus();
}

std::string Field(const nlohmann::json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) return {};
  std::string text;
  if (const auto* words = it->get_ptr<const nlohmann::json::string_t*>()) {
    text = words->substr(0, OauthError::kFieldBytesMax);
  } else if (it->is_number_unsigned()) {  // {"status": 401}
    text = std::to_string(it->get<uint64_t>());
  }
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

}  // namespace

OauthError ParseOauthError(std::string_view json) {
  OauthError error;
  // Not an exception, and the parser does not recurse: hostile nesting costs memory, and the size
  // of a challenge bounds that.
  const nlohmann::json object =
      nlohmann::json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return error;
  error.status = Field(object, "status");
  error.scope = Field(object, "scope");
  error.schemes = Field(object, "schemes");
  error.hint = Field(object, "error_description");
  if (error.hint.empty()) error.hint = Field(object, "message");
  return error;
}

bool OauthError::RenewalMayHelp() const {
  return status != "insufficient_scope" && status != "403" && status != "invalid_request";
}

std::string OauthError::Describe() const {
  std::string words = status.empty() ? "no status" : status;
  if (!scope.empty()) words += fmt::format(", scope {}", scope);
  if (!schemes.empty()) words += fmt::format(", schemes {}", schemes);
  if (!hint.empty()) words += fmt::format(": {}", hint);
  return words;
}

absl::StatusOr<Secret> OauthBearerMessage(const OauthMessage& message) {
  if (absl::Status status = Check(message); !status.ok()) return status;
  const std::string authzid =
      message.user.empty() ? std::string() : "a=" + EscapeSaslname(message.user);
  const std::string host =
      message.host.empty() ? std::string() : fmt::format("host={}\x01", message.host);
  const std::string port =
      message.port == 0 ? std::string() : fmt::format("port={}\x01", message.port);
  return Secret::Concat({"n,", authzid, ",", kSeparator, host, port, "auth=Bearer ", message.token,
                         kSeparator, kSeparator});
}

absl::StatusOr<Secret> Xoauth2Message(const OauthMessage& message) {
  if (message.user.empty()) return absl::InvalidArgumentError("XOAUTH2 needs a user name");
  if (absl::Status status = Check(message); !status.ok()) return status;
  return Secret::Concat(
      {"user=", message.user, kSeparator, "auth=Bearer ", message.token, kSeparator, kSeparator});
}

}  // namespace volley::engine::sasl
