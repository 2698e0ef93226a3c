#include "engine/compliance/bounce_path.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"

namespace volley::engine::compliance {
namespace {

constexpr size_t kPathOctetsMax = 254;  // RFC 5321 §4.5.3.1.3 without the brackets
constexpr size_t kClaimBytes = 16;
static_assert(kBounceMailboxOctetsMax >= std::string_view("bounces").size());

struct Mailbox {
  std::string_view local;
  std::string_view domain;
};

bool IsAtomChar(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') ||
         (c != '\0' && std::string_view("!#$%&'*-/=?^_`{|}~.+").find(c) != std::string_view::npos);
}

bool IsDomainChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.';
}

std::optional<Mailbox> Split(std::string_view address) {
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == address.size()) return std::nullopt;
  return Mailbox{address.substr(0, at), address.substr(at + 1)};
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

void AppendNumber(uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint64_t ReadNumber(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

absl::Status CheckMailbox(std::string_view text, const std::optional<Mailbox>& mailbox) {
  if (!mailbox) return absl::InvalidArgumentError("the bounce mailbox has no local part or domain");
  const std::string_view local = mailbox->local;
  if (!std::all_of(local.begin(), local.end(), IsAtomChar) || local.starts_with('.') ||
      local.ends_with('.') || local.find("..") != std::string_view::npos) {
    return absl::InvalidArgumentError("the bounce mailbox has a local part that needs quotes");
  }
  const std::string_view domain = mailbox->domain;
  if (!std::all_of(domain.begin(), domain.end(), IsDomainChar)) {
    return absl::InvalidArgumentError("the bounce mailbox has a domain that is none");
  }
  if (local.size() > kBounceMailboxOctetsMax) {
    return absl::InvalidArgumentError(
        fmt::format("the bounce mailbox has a local part of {} octets; with \"+\" and the token "
                    "there is room for {}",
                    local.size(), kBounceMailboxOctetsMax));
  }
  if (text.size() + 1 + kBounceTokenChars > kPathOctetsMax) {
    return absl::InvalidArgumentError("the bounce mailbox is too long");
  }
  return absl::OkStatus();
}

std::optional<BounceClaim> OpenToken(const KeyRing& keys, std::string_view token) {
  if (token.size() != kBounceTokenChars) return std::nullopt;
  const std::optional<std::string> bytes = DecodeBase32(token);
  if (!bytes || bytes->empty()) return std::nullopt;
  const std::string_view all = *bytes;
  const SivKeys* key = keys.Find(static_cast<uint8_t>(all[0]), TokenPurpose::kBounce);
  if (key == nullptr) return std::nullopt;
  std::optional<Siv> siv = Siv::Make(*key);
  if (!siv) return std::nullopt;
  const auto plain = siv->Open(all.substr(0, 1), all.substr(1));
  if (!plain || plain->size() != kClaimBytes) return std::nullopt;
  const std::string_view claim = *plain;
  return BounceClaim{ReadNumber(claim), ReadNumber(claim.substr(8))};
}

}  // namespace

uint64_t BounceCampaign(std::string_view campaign_id) {
  unsigned char hash[EVP_MAX_MD_SIZE] = {};
  EVP_Digest(campaign_id.data(), campaign_id.size(), hash, nullptr, EVP_sha256(), nullptr);
  return ReadNumber({reinterpret_cast<const char*>(hash), 8});
}

BouncePathMaker::BouncePathMaker(Siv siv, uint8_t key_id, uint64_t campaign)
    : siv_(std::move(siv)), head_(1, static_cast<char>(key_id)), campaign_(campaign) {}

absl::StatusOr<BouncePathMaker> BouncePathMaker::MakeFor(const KeyRing& keys,
                                                         std::string_view mailbox,
                                                         uint64_t campaign) {
  const std::optional<Mailbox> parts = Split(mailbox);
  if (absl::Status status = CheckMailbox(mailbox, parts); !status.ok()) return status;
  std::optional<Siv> siv = Siv::Make(*keys.Find(keys.signing_id(), TokenPurpose::kBounce));
  if (!siv) return absl::InternalError("OpenSSL cannot do HMAC-SHA-256 or AES-256-CTR");
  BouncePathMaker maker(*std::move(siv), keys.signing_id(), campaign);
  maker.before_ = std::string(parts->local) + '+';
  maker.after_ = '@' + std::string(parts->domain);
  return maker;
}

absl::StatusOr<BouncePathMaker> BouncePathMaker::Make(const KeyRing& keys, std::string_view mailbox,
                                                      std::string_view campaign_id) {
  return MakeFor(keys, mailbox, BounceCampaign(campaign_id));
}

absl::Status BouncePathMaker::Append(uint64_t recipient, std::string* out) {
  plain_.clear();
  AppendNumber(campaign_, &plain_);
  AppendNumber(recipient, &plain_);
  sealed_ = head_;
  if (!siv_.Seal(head_, plain_, &sealed_)) return absl::InternalError("OpenSSL cannot sign");
  out->append(before_);
  AppendBase32(sealed_, out);
  out->append(after_);
  return absl::OkStatus();
}

absl::StatusOr<std::string> MakeBouncePath(const KeyRing& keys, std::string_view mailbox,
                                           const BounceClaim& claim) {
  absl::StatusOr<BouncePathMaker> maker = BouncePathMaker::MakeFor(keys, mailbox, claim.campaign);
  if (!maker.ok()) return maker.status();
  std::string path;
  if (absl::Status status = maker->Append(claim.recipient, &path); !status.ok()) return status;
  return path;
}

absl::StatusOr<BounceClaim> OpenBouncePath(const KeyRing& keys, std::string_view mailbox,
                                           std::string_view address) {
  const std::optional<Mailbox> ours = Split(mailbox);
  const std::optional<Mailbox> theirs = Split(address);
  if (absl::Status status = CheckMailbox(mailbox, ours); !status.ok()) return status;
  std::optional<BounceClaim> claim;
  if (theirs && EqualIgnoringCase(ours->domain, theirs->domain) &&
      theirs->local.size() == ours->local.size() + 1 + kBounceTokenChars &&
      theirs->local[ours->local.size()] == '+' &&
      EqualIgnoringCase(theirs->local.substr(0, ours->local.size()), ours->local)) {
    claim = OpenToken(keys, theirs->local.substr(ours->local.size() + 1));
  }
  if (!claim) return absl::InvalidArgumentError("not a good bounce address");
  return *claim;
}

}  // namespace volley::engine::compliance
