#include "pipeline/credentials/token_response.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "fmt/format.h"
#include "openssl/crypto.h"
#include "pipeline/credentials/printable.h"
#include "pipeline/credentials/secret_reader.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
namespace dom = simdjson::dom;

constexpr size_t kJsonDepthMax = 32;

// A parsed object whose memory is wiped: simdjson because it keeps its copies of strings in one
// place that can be reached.
class WipedJson {
 public:
  explicit WipedJson(std::string_view json) : parser_(/*max_capacity=*/kSourceBytesMax) {
    if (json.empty() || json.size() > kSourceBytesMax) return;
    if (document_.allocate(json.size()) != simdjson::SUCCESS) return;
    // As many as the longest strings can need; the parser has more behind (document::allocate).
    strings_bytes_ = 5 * json.size() / 3;
    if (parser_.allocate(json.size(), kJsonDepthMax) != simdjson::SUCCESS) return;
    Secret padded = Secret::Sized(json.size() + simdjson::SIMDJSON_PADDING);
    std::copy(json.begin(), json.end(), padded.bytes());
    dom::element root;
    const auto error =
        parser_.parse_into_document(document_, padded.bytes(), json.size(), false).get(root);
    is_object_ = error == simdjson::SUCCESS && root.get(object_) == simdjson::SUCCESS;
  }
  ~WipedJson() {
    if (document_.string_buf) OPENSSL_cleanse(document_.string_buf.get(), strings_bytes_);
  }
  WipedJson(const WipedJson&) = delete;
  WipedJson& operator=(const WipedJson&) = delete;

  bool is_object() const { return is_object_; }

  // A member that is a string; nullopt: not there, or something else.
  std::optional<std::string_view> String(std::string_view name) const {
    std::string_view text;
    if (!is_object_ || object_.at_key(name).get(text) != simdjson::SUCCESS) return std::nullopt;
    return text;
  }
  std::optional<double> Number(std::string_view name) const {
    double number = 0;
    if (!is_object_ || object_.at_key(name).get(number) != simdjson::SUCCESS) return std::nullopt;
    return number;
  }

 private:
  dom::parser parser_;
  dom::document document_;
  size_t strings_bytes_ = 0;
  dom::object object_;
  bool is_object_ = false;
};

// A number, or digits in a string as older endpoints of Microsoft write them; NaN: neither.
double Seconds(const WipedJson& json) {
  if (const std::optional<double> number = json.Number("expires_in")) return *number;
  const std::string digits(json.String("expires_in").value_or("").substr(0, 20));
  char* end = nullptr;
  const double seconds = std::strtod(digits.c_str(), &end);
  return digits.empty() || *end != '\0' ? std::nan("") : seconds;
}

std::optional<absl::Duration> ExpiresIn(const WipedJson& json) {
  const double seconds = Seconds(json);
  if (std::isnan(seconds)) return std::nullopt;
  return std::clamp(absl::Seconds(seconds), absl::ZeroDuration(), kTokenLifeMax);
}

absl::Status Wrong(std::string_view name, std::string_view reason) {
  return absl::InvalidArgumentError(fmt::format("{} {}", name, reason));
}

absl::StatusOr<Secret> TakeToken(std::string_view token, std::string_view name) {
  if (token.empty()) return Wrong(name, "has an empty access token");
  if (token.size() > Secret::kBytesMax) {
    return Wrong(name, fmt::format("has an access token of {} bytes: at most {} can be sent",
                                   token.size(), Secret::kBytesMax));
  }
  if (!IsVisibleAscii(token)) {
    return Wrong(name,
                 "has an access token with a space, a control character or another character "
                 "that no token has");
  }
  return Secret::Make(token);
}

// RFC 6749 §7.1: a token of a type we do not know must not be used.
bool IsBearer(std::string_view type) {
  constexpr std::string_view kBearer = "bearer";
  return std::equal(type.begin(), type.end(), kBearer.begin(), kBearer.end(),
                    [](char a, char b) { return (a | 0x20) == b; });
}

}  // namespace

absl::StatusOr<TokenGrant> ParseTokenResponse(std::string_view text, std::string_view name) {
  const WipedJson json(text);
  if (!json.is_object()) return Wrong(name, "is not a JSON object");
  const std::optional<std::string_view> token = json.String("access_token");
  if (!token) {
    return Wrong(name, "is JSON without \"access_token\" (RFC 6749 section 5.1)");
  }
  // The type is not shown: what endpoints make up may hold anything, the refresh token too.
  if (const auto type = json.String("token_type"); type && !IsBearer(*type)) {
    return Wrong(name, "has a \"token_type\" other than Bearer, which mail servers do not take");
  }
  absl::StatusOr<Secret> access = TakeToken(*token, name);
  if (!access.ok()) return access.status();
  TokenGrant grant{
      .access_token = *std::move(access), .refresh_token = {}, .expires_in = ExpiresIn(json)};
  if (const auto refresh = json.String("refresh_token")) {
    absl::StatusOr<Secret> rotated = Secret::Make(*refresh);
    if (!rotated.ok()) return Wrong(name, "has a refresh token that is too long");
    grant.refresh_token = *std::move(rotated);
  }
  return grant;
}

TokenError ParseTokenError(std::string_view text) {
  const WipedJson json(text);
  const auto field = [&](std::string_view name) {
    return std::string(json.String(name).value_or("").substr(0, TokenError::kFieldBytesMax));
  };
  return {.code = field("error"), .description = field("error_description")};
}

absl::StatusOr<TokenGrant> ParseTokenText(std::string_view text, std::string_view name) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != text.npos && text[start] == '{') return ParseTokenResponse(text, name);
  absl::StatusOr<Secret> line = TakeLine(text, name);
  if (!line.ok()) return line.status();
  absl::StatusOr<Secret> token = TakeToken(line->reveal(), name);
  if (!token.ok()) return token.status();
  return TokenGrant{.access_token = *std::move(token), .refresh_token = {}, .expires_in = {}};
}

}  // namespace volley::pipeline
