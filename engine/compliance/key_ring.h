// KeyRing: the keys that sign and check tokens, with rotation, read from a key file's text:
//
//   # id 1 to 255, and 32 random bytes in hex or base64; the first one signs, all of them check
//   2 8a5d...64 hex digits...
//   1 q83v...43 characters, and "=" or not...
//
// To rotate: add the new line at the end wherever tokens are checked, then move it to the top where
// they are made; leave old lines for as long as people may click on old mail. An id is never used
// again for another key.
//
// Threading: immutable after Parse. Lifetime: tokens hold nothing of it. Errors: name the line,
// never a byte of a key.
#ifndef VOLLEY_ENGINE_COMPLIANCE_KEY_RING_H_
#define VOLLEY_ENGINE_COMPLIANCE_KEY_RING_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/compliance/siv.h"

namespace volley::engine::compliance {

// Each purpose has derived keys of its own: a token of one is noise to another.
enum class TokenPurpose : uint8_t { kUnsubscribe, kBounce };

class KeyRing {
 public:
  static constexpr size_t kKeysMax = 64;  // a rotation a month for five years
  static constexpr size_t kFileBytesMax = 16 * 1024;
  static constexpr size_t kKeyBytes = 32;

  // InvalidArgument: the line and what is wrong with it. The caller clears `file`.
  static absl::StatusOr<KeyRing> Parse(std::string_view file);

  uint8_t signing_id() const { return keys_.front().id; }
  size_t size() const { return keys_.size(); }
  // nullptr: no key of this id.
  const SivKeys* Find(uint8_t id, TokenPurpose purpose) const;

 private:
  struct Key {
    uint8_t id = 0;
    SivKeys unsubscribe;
    SivKeys bounce;
  };

  KeyRing() = default;
  absl::Status AddLine(std::string_view line);

  std::vector<Key> keys_;  // not empty; the first one signs
};

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_KEY_RING_H_
