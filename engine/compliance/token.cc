#include "engine/compliance/token.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"

namespace volley::engine::compliance {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kHeadBytes = 2;  // version and key id: the associated data

absl::Status CheckField(std::string_view name, std::string_view value, size_t bytes_max) {
  if (value.size() <= bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "the {} of an unsubscribe token has {} bytes; at most {}", name, value.size(), bytes_max));
}

absl::Status CheckCampaign(std::string_view list, std::string_view campaign) {
  if (campaign.empty()) return absl::InvalidArgumentError("an unsubscribe token needs a campaign");
  if (absl::Status s = CheckField("list", list, kListBytesMax); !s.ok()) return s;
  return CheckField("campaign", campaign, kCampaignBytesMax);
}

absl::Status CheckRecipient(std::string_view recipient) {
  if (recipient.empty()) {
    return absl::InvalidArgumentError("an unsubscribe token needs a recipient");
  }
  return CheckField("recipient", recipient, kRecipientBytesMax);
}

void AppendField(std::string_view value, std::string* out) {
  out->push_back(static_cast<char>(value.size()));
  out->append(value);
}

std::optional<std::string> TakeField(std::string_view* rest) {
  if (rest->empty()) return std::nullopt;
  const size_t size = static_cast<unsigned char>(rest->front());
  rest->remove_prefix(1);
  if (rest->size() < size) return std::nullopt;
  std::string value(rest->substr(0, size));
  rest->remove_prefix(size);
  return value;
}

std::optional<UnsubscribeClaim> ParseClaim(std::string_view plain) {
  std::optional<std::string> list = TakeField(&plain);
  std::optional<std::string> campaign = TakeField(&plain);
  std::optional<std::string> recipient = TakeField(&plain);
  if (!list || !campaign || !recipient || !plain.empty()) return std::nullopt;
  UnsubscribeClaim claim{std::move(*list), std::move(*campaign), std::move(*recipient)};
  if (!CheckCampaign(claim.list, claim.campaign).ok() || !CheckRecipient(claim.recipient).ok()) {
    return std::nullopt;
  }
  return claim;
}

std::optional<UnsubscribeClaim> Open(const KeyRing& keys, std::string_view token) {
  if (token.size() > kTokenCharsMax) return std::nullopt;
  const std::optional<std::string> bytes = DecodeBase64Url(token);
  if (!bytes || bytes->size() < kTokenBytesMin) return std::nullopt;
  const std::string_view all = *bytes;
  if (static_cast<uint8_t>(all[0]) != kVersion) return std::nullopt;
  const SivKeys* key = keys.Find(static_cast<uint8_t>(all[1]), TokenPurpose::kUnsubscribe);
  if (key == nullptr) return std::nullopt;
  std::optional<Siv> siv = Siv::Make(*key);
  if (!siv) return std::nullopt;
  const auto plain = siv->Open(all.substr(0, kHeadBytes), all.substr(kHeadBytes));
  return plain ? ParseClaim(*plain) : std::nullopt;
}

}  // namespace

TokenMaker::TokenMaker(std::shared_ptr<const KeyRing> keys, std::string_view list,
                       std::string_view campaign)
    : keys_(std::move(keys)), status_(CheckCampaign(list, campaign)) {
  if (!status_.ok()) return;
  head_ = {static_cast<char>(kVersion), static_cast<char>(keys_->signing_id())};
  siv_ = Siv::Make(*keys_->Find(keys_->signing_id(), TokenPurpose::kUnsubscribe));
  if (!siv_) status_ = absl::InternalError("OpenSSL cannot do HMAC-SHA-256 or AES-256-CTR");
  AppendField(list, &plain_);
  AppendField(campaign, &plain_);
  fixed_bytes_ = plain_.size();
}

absl::Status TokenMaker::Append(std::string_view recipient, std::string* out) {
  if (!status_.ok()) return status_;
  if (absl::Status status = CheckRecipient(recipient); !status.ok()) return status;
  plain_.resize(fixed_bytes_);
  AppendField(recipient, &plain_);
  sealed_ = head_;
  if (!siv_->Seal(head_, plain_, &sealed_)) return absl::InternalError("OpenSSL cannot sign");
  AppendBase64Url(sealed_, out);
  return absl::OkStatus();
}

absl::StatusOr<std::string> MakeUnsubscribeToken(const KeyRing& keys,
                                                 const UnsubscribeClaim& claim) {
  // Not owned: the maker is gone before `keys` is.
  TokenMaker maker(std::shared_ptr<const KeyRing>(std::shared_ptr<void>(), &keys), claim.list,
                   claim.campaign);
  std::string token;
  if (absl::Status status = maker.Append(claim.recipient, &token); !status.ok()) return status;
  return token;
}

absl::StatusOr<UnsubscribeClaim> OpenUnsubscribeToken(const KeyRing& keys, std::string_view token,
                                                      const TokenScope& scope) {
  std::optional<UnsubscribeClaim> claim = Open(keys, token);
  const bool in_scope = claim && (scope.list.empty() || scope.list == claim->list) &&
                        (scope.campaign.empty() || scope.campaign == claim->campaign);
  if (!in_scope) return absl::InvalidArgumentError("not a good unsubscribe token");
  return *std::move(claim);
}

}  // namespace volley::engine::compliance
