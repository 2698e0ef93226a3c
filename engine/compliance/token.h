// Unsubscribe tokens: the opaque, hard to forge component of the one-click URL (RFC 8058 §3.1).
//
//   base64url( version 1 | key id, 1 | tag, 16 | encrypted( list, campaign, recipient ) )
//
// each of the three with its length in one octet in front. Nothing of them can be read from the URL
// but how long they are together (siv.h). The same input gives the same token, so that a retry, a
// preview and the body's link are byte for byte the same.
//
// Threading: a TokenMaker belongs to one thread; the rest are functions without state. Lifetime: a
// maker keeps its key ring. Errors: making says what is wrong with its input. Opening says no more
// than that a token is not good: which check failed is of use to a forger only.
#ifndef VOLLEY_ENGINE_COMPLIANCE_TOKEN_H_
#define VOLLEY_ENGINE_COMPLIANCE_TOKEN_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/compliance/codec.h"
#include "engine/compliance/key_ring.h"

namespace volley::engine::compliance {

inline constexpr size_t kListBytesMax = 128;
inline constexpr size_t kCampaignBytesMax = 64;
inline constexpr size_t kRecipientBytesMax = 254;  // RFC 5321 §4.5.3.1.3 without the brackets
inline constexpr size_t kTokenBytesMin = 2 + kSivTagBytes + 3;
inline constexpr size_t kTokenCharsMax =
    Base64UrlSize(kTokenBytesMin + kListBytesMax + kCampaignBytesMax + kRecipientBytesMax);

struct UnsubscribeClaim {
  std::string list;       // may be empty: from all that the sender sends
  std::string campaign;   // CampaignId
  std::string recipient;  // canonical address

  bool operator==(const UnsubscribeClaim&) const = default;
};

// Makes the tokens of one campaign, one a message: about a microsecond each, because OpenSSL's
// contexts are kept between them.
class TokenMaker {
 public:
  // What is wrong with `list` or `campaign` is said by every Append.
  TokenMaker(std::shared_ptr<const KeyRing> keys, std::string_view list, std::string_view campaign);

  // Appends letters, digits, '-' and '_'; at most kTokenCharsMax. InvalidArgument: no campaign or
  // recipient, or one that is too long; `*out` is as it was then.
  absl::Status Append(std::string_view recipient, std::string* out);

 private:
  std::shared_ptr<const KeyRing> keys_;
  absl::Status status_;  // of list, campaign and keys
  std::optional<Siv> siv_;
  std::string head_;   // version and key id
  std::string plain_;  // list and campaign, then the recipient
  size_t fixed_bytes_ = 0;
  std::string sealed_;
};

// One token, where speed does not matter.
absl::StatusOr<std::string> MakeUnsubscribeToken(const KeyRing& keys,
                                                 const UnsubscribeClaim& claim);

// What an endpoint takes; empty: any.
struct TokenScope {
  std::string_view list;
  std::string_view campaign;
};
// InvalidArgument: not a token of these keys, or one of another list or campaign than `scope`'s.
absl::StatusOr<UnsubscribeClaim> OpenUnsubscribeToken(const KeyRing& keys, std::string_view token,
                                                      const TokenScope& scope = {});

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_TOKEN_H_
