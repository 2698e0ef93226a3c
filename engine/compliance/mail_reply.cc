#include "engine/compliance/mail_reply.h"

#include <algorithm>
#include <array>

#include "engine/compliance/codec.h"
#include "engine/compliance/token.h"

namespace volley::engine::compliance {
namespace {

constexpr std::string_view kWord = "unsubscribe-";

std::string Lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

void Consider(std::string_view text, std::vector<std::string>* tokens) {
  const auto end = std::find_if_not(text.begin(), text.end(), IsBase64UrlChar);
  std::string token(text.begin(), end);
  if (token.size() < Base64UrlSize(kTokenBytesMin) || token.size() > kTokenCharsMax ||
      tokens->size() >= kReplyTokensMax ||
      std::find(tokens->begin(), tokens->end(), token) != tokens->end()) {
    return;
  }
  tokens->push_back(std::move(token));
}

void ReadSubject(std::string_view value, std::vector<std::string>* tokens) {
  const std::string lower = Lowered(value);
  for (size_t at = lower.find(kWord); at != std::string::npos; at = lower.find(kWord, at + 1)) {
    Consider(value.substr(at + kWord.size()), tokens);
  }
}

// "+TOKEN@", wherever it stands: a header may have several addresses.
void ReadAddresses(std::string_view value, std::vector<std::string>* tokens) {
  for (size_t at = value.find('@'); at != std::string_view::npos; at = value.find('@', at + 1)) {
    const size_t plus = value.substr(0, at).rfind('+');
    if (plus == std::string_view::npos) continue;
    const std::string_view token = value.substr(plus + 1, at - plus - 1);
    if (std::all_of(token.begin(), token.end(), IsBase64UrlChar)) Consider(token, tokens);
  }
}

void ReadField(std::string_view field, std::vector<std::string>* tokens) {
  constexpr std::array<std::string_view, 4> kAddressFields = {"to", "delivered-to", "x-original-to",
                                                              "envelope-to"};
  const size_t colon = field.find(':');
  if (colon == std::string_view::npos) return;
  std::string name = Lowered(field.substr(0, colon));
  name.erase(name.find_last_not_of(" \t") + 1);
  const std::string_view value = field.substr(colon + 1);
  if (name == "subject") ReadSubject(value, tokens);
  if (std::find(kAddressFields.begin(), kAddressFields.end(), name) != kAddressFields.end()) {
    ReadAddresses(value, tokens);
  }
}

}  // namespace

std::vector<std::string> FindReplyTokens(std::string_view message) {
  message = message.substr(0, kReplyHeaderBytesMax);
  std::vector<std::string> tokens;
  std::string field;
  while (!message.empty()) {
    const size_t end = message.find('\n');
    std::string_view line = message.substr(0, end);
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;  // the end of the header
    if (line.front() != ' ' && line.front() != '\t') {
      ReadField(field, &tokens);
      field.clear();
    }
    field.append(line);  // unfolded (RFC 5322 §2.2.3)
  }
  ReadField(field, &tokens);
  return tokens;
}

}  // namespace volley::engine::compliance
