#include "engine/compliance/key_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/compliance/codec.h"

namespace volley::engine::compliance {
namespace {

constexpr std::string_view kWhite = " \t\r";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhite) - begin + 1);
}

std::optional<uint8_t> ParseId(std::string_view text) {
  uint8_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == 0) return std::nullopt;
  return id;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> DecodeHex(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = HexDigit(text[i]);
    const int low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) {
      Wipe(&bytes);
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

// Base64 in either alphabet, with or without its one "=".
std::optional<std::string> DecodeAnyBase64(std::string_view text) {
  if (text.ends_with('=')) text.remove_suffix(1);
  std::string url(text);
  std::replace(url.begin(), url.end(), '+', '-');
  std::replace(url.begin(), url.end(), '/', '_');
  std::optional<std::string> bytes = DecodeBase64Url(url);
  Wipe(&url);
  return bytes;
}

absl::StatusOr<Secret> ParseKey(std::string_view text) {
  constexpr size_t kHexChars = KeyRing::kKeyBytes * 2;
  constexpr size_t kBase64Chars = 43;  // of 32 bytes, without "="
  std::optional<std::string> bytes;
  if (text.size() == kHexChars) bytes = DecodeHex(text);
  if (text.size() == kBase64Chars || text.size() == kBase64Chars + 1) bytes = DecodeAnyBase64(text);
  if (!bytes || bytes->size() != KeyRing::kKeyBytes) {
    if (bytes) Wipe(&*bytes);
    return absl::InvalidArgumentError(
        "the key is not 32 bytes in hex (64 digits) or base64 (make one with: openssl rand -hex "
        "32)");
  }
  const bool same = std::count(bytes->begin(), bytes->end(), bytes->front()) == KeyRing::kKeyBytes;
  absl::StatusOr<Secret> key = Secret::Take(&*bytes);
  if (same) return absl::InvalidArgumentError("the key is one byte repeated, not a random one");
  return key;
}

}  // namespace

absl::StatusOr<KeyRing> KeyRing::Parse(std::string_view file) {
  if (file.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("a key file of {} bytes: at most {}", file.size(), kFileBytesMax));
  }
  KeyRing ring;
  ring.keys_.reserve(kKeysMax);
  for (size_t number = 1; !file.empty(); ++number) {
    const size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = Trim(file.substr(0, end));
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.empty() || line.front() == '#') continue;
    if (absl::Status status = ring.AddLine(line); !status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: {}", number, std::string(status.message())));
    }
  }
  if (ring.keys_.empty()) return absl::InvalidArgumentError("the key file has no key");
  return ring;
}

absl::Status KeyRing::AddLine(std::string_view line) {
  const size_t id_end = std::min(line.find_first_of(kWhite), line.size());
  const std::optional<uint8_t> id = ParseId(line.substr(0, id_end));
  // Not shown: with the id forgotten this is the key.
  if (!id) return absl::InvalidArgumentError("does not begin with a key id from 1 to 255");
  std::string_view text = Trim(line.substr(id_end));
  // base64 has no '#'
  text = Trim(text.substr(0, text.find('#')));
  absl::StatusOr<Secret> master = ParseKey(text);
  if (!master.ok()) return master.status();
  if (Find(*id, TokenPurpose::kUnsubscribe) != nullptr) {
    return absl::InvalidArgumentError(fmt::format("key id {} is there twice", *id));
  }
  if (keys_.size() == kKeysMax) {
    return absl::InvalidArgumentError(fmt::format("more than {} keys", kKeysMax));
  }
  std::optional<SivKeys> unsubscribe = DeriveSivKeys(*master, "unsubscribe");
  std::optional<SivKeys> bounce = DeriveSivKeys(*master, "bounce");
  if (!unsubscribe || !bounce) return absl::InternalError("OpenSSL cannot do HMAC-SHA-256");
  keys_.push_back({*id, std::move(*unsubscribe), std::move(*bounce)});
  return absl::OkStatus();
}

const SivKeys* KeyRing::Find(uint8_t id, TokenPurpose purpose) const {
  for (const Key& key : keys_) {
    if (key.id == id) return purpose == TokenPurpose::kUnsubscribe ? &key.unsubscribe : &key.bounce;
  }
  return nullptr;
}

}  // namespace volley::engine::compliance
