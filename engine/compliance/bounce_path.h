// Signed reverse-paths for VERP: bounces+TOKEN@domain says which copy a bounce is about, and nobody
// can make bounces up for others' addresses.
//
// TOKEN is base32( key id, 1 | tag, 16 | encrypted( campaign, 8 | recipient index, 8 ) ), always
// kBounceTokenChars long: a local part has 64 octets (RFC 5321 §4.5.3.1.1), and base32 because
// relays lower-case local parts. Purpose and version are in the derived key (key_ring.h).
// Deterministic, so retries have the same reverse-path.
//
// Threading: a BouncePathMaker belongs to one thread; the rest are functions without state. Errors:
// making says what is wrong; opening only that it is no good.
#ifndef VOLLEY_ENGINE_COMPLIANCE_BOUNCE_PATH_H_
#define VOLLEY_ENGINE_COMPLIANCE_BOUNCE_PATH_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/compliance/codec.h"
#include "engine/compliance/key_ring.h"

namespace volley::engine::compliance {

inline constexpr size_t kBounceTokenChars = Base32Size(1 + kSivTagBytes + 16);
inline constexpr size_t kLocalPartOctetsMax = 64;
// What is left for "bounces".
inline constexpr size_t kBounceMailboxOctetsMax = kLocalPartOctetsMax - 1 - kBounceTokenChars;

struct BounceClaim {
  uint64_t campaign = 0;   // BounceCampaign() of its id
  uint64_t recipient = 0;  // index in the campaign

  bool operator==(const BounceClaim&) const = default;
};

// A campaign id does not fit: the first 8 octets of its SHA-256, to be looked up among the
// campaigns there are (for two of a million to be the same: 1 in 10^7).
uint64_t BounceCampaign(std::string_view campaign_id);

// One path, where speed does not matter. `mailbox` is "bounces@example.org", canonical.
// InvalidArgument: its local part is no dot-atom or longer than kBounceMailboxOctetsMax, or the
// whole path would be over 254 octets.
absl::StatusOr<std::string> MakeBouncePath(const KeyRing& keys, std::string_view mailbox,
                                           const BounceClaim& claim);

// The reverse-paths of one campaign, one a message. Errors as MakeBouncePath.
class BouncePathMaker {
 public:
  static absl::StatusOr<BouncePathMaker> Make(const KeyRing& keys, std::string_view mailbox,
                                              std::string_view campaign_id);
  // Appends the whole address. Internal: OpenSSL could not.
  absl::Status Append(uint64_t recipient, std::string* out);

 private:
  friend absl::StatusOr<std::string> MakeBouncePath(const KeyRing& keys, std::string_view mailbox,
                                                    const BounceClaim& claim);
  BouncePathMaker(Siv siv, uint8_t key_id, uint64_t campaign);
  static absl::StatusOr<BouncePathMaker> MakeFor(const KeyRing& keys, std::string_view mailbox,
                                                 uint64_t campaign);

  Siv siv_;
  std::string head_;    // key id
  std::string before_;  // "bounces+"
  std::string after_;   // "@example.org"
  uint64_t campaign_;
  std::string plain_, sealed_;
};

// `address`: what the bounce was sent to, in any case. InvalidArgument: not one of `mailbox` made
// with one of `keys`.
absl::StatusOr<BounceClaim> OpenBouncePath(const KeyRing& keys, std::string_view mailbox,
                                           std::string_view address);

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_BOUNCE_PATH_H_
